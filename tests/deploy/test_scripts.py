"""The scripts that run inside NVIDIA's container, as far as they go without it: its commands are stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


def python_of(version, pip):
    """Return a stand-in for an image's Python: it answers as of a version, and prints the rest; Pillow it has none."""
    judge = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
    return f"""case "$*" in
      --version) echo "Python {".".join(map(str, version))}";;
      *version_info*) exec {sys.executable} -c "{judge}" "$2";;
      "-m pip "*) echo python3 "$@"; {pip};;
      *) echo python3 "$@"; [ "$*" != "-c import PIL" ];;
    esac"""


@pytest.fixture
def run(tmp_path):
    """Run a script; `python3` and `tritonserver` only print how they are called."""

    def run(script, package="", variables=None, *arguments, python=(3, 12, 3), pip="true"):
        for name, code in {
            "dpkg-query": f"echo {package}" if package else "exit 1",
            "python3": python_of(python, pip),
            "tritonserver": 'echo tritonserver "$@"',
        }.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
            (tmp_path / name).chmod(0o755)
        environment = {"PATH": f"{tmp_path}:{os.defpath}", "TMPDIR": str(tmp_path)} | (variables or {})
        return subprocess.run(
            [DEPLOY / script, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize(
    ("package", "variables", "wheel"),
    [
        ("10.13.3.9-1+cuda13.0", {}, "tensorrt-cu13-bindings==10.13.3.9.*"),
        ("10.9.0.34-1+cuda12.8", {}, "tensorrt-cu12-bindings==10.9.0.34.*"),
        ("", {"TRT_VERSION": "11.1.0.106+cuda13.3"}, "tensorrt-cu13-bindings==11.1.0.106.*"),
        ("", {"TRT_VERSION": "10.8.0.43", "CUDA_VERSION": "12.8.0"}, "tensorrt-cu12-bindings==10.8.0.43.*"),
    ],
)
def test_the_bindings_are_of_the_images_own_tensorrt(run, package, variables, wheel):
    done = run("engines", package, variables, "pools/vit.yaml", "--trtexec")
    assert done.returncode == 0, done.stderr
    install, plan = done.stdout.splitlines()
    assert wheel in install.split()
    assert "torch" not in install
    assert plan.endswith("plan pools/vit.yaml --trtexec")


def test_an_image_without_tensorrt_is_a_message(run):
    done = run("engines")
    assert done.returncode == 1
    assert "this image has no libnvinfer10" in done.stderr


def test_an_image_of_an_older_python_is_a_message(run):
    done = run("engines", "10.5.0.18-1+cuda12.6", python=(3, 10, 12))
    assert done.returncode == 1
    assert (
        "this image has Python 3.10.12, but 3.11 or newer is required; set TRITON_IMAGE to 25.01 or later"
        in done.stderr
    )


def test_the_server_gets_its_options_and_without_a_cascade_serves_the_backbones(run):
    done = run("serve", "", {}, "--log-verbose=1")
    assert done.stdout.splitlines() == [
        "tritonserver --model-repository=/models --model-load-thread-count=1 --exit-on-error=false --log-verbose=1"
    ]
    assert "there is no cascade.json" in done.stderr


@pytest.fixture
def models(tmp_path):
    models = tmp_path / "models"
    (models / "cascade").mkdir(parents=True)
    (models / "cascade" / "cascade.json").touch()
    (models / "decode").mkdir()
    return models


def test_pillow_is_installed_where_python_models_see_it(run, models):
    """PYTHONPATH is not read by the stub of the embedded server's Triton."""
    looked, installed, served = run("serve", "", {"MODELS": str(models)}).stdout.splitlines()
    assert looked == "python3 -c import PIL"
    assert installed.startswith("python3 -m pip install")
    assert installed.endswith("pillow")
    assert "--target" not in installed
    assert served == f"tritonserver --model-repository={models} --model-load-thread-count=1"


def test_without_pillow_and_network_all_but_decode_is_served(run, models):
    done = run("serve", "", {"MODELS": str(models)}, pip="false")
    assert "write the repository with --no-encoded" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("--model-load-thread-count=1 --exit-on-error=false")
