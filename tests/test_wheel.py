"""Both wheels, installed into environments that have no path to the checkout: every command runs from them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from build_engines.pool.schema import load_pool
from tests.support.helpers import LABELS, backbone_entry, random_canvases, save_random_weights, write_pool

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "triton_cascades": {"build_cascade", "build_engines", "cascade_core", "cascade_serving", "embedded_server"},
    "triton_cascades_client": {"cascade_client"},
}
COMMANDS = ("build-engines", "build-cascade", "serve-repository", "cascade")
OURS = ("triton_cascades", "__editable__")  # what an editable install of the checkout has put there
NOT_SOURCE = (".*", "build", "*.egg-info", "__pycache__", "*.onnx")
ANY_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
WITHOUT = {"PYTHONPATH", "VIRTUAL_ENV"}
# Compiling the search takes longer than all else here, and has tests of its own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in WITHOUT} | {"NUMBA_DISABLE_JIT": "1"}

WHERE_FROM = """
import importlib, importlib.util, sys
print(*(importlib.import_module(name).__file__ for name in sys.argv[1:]), sep="\\n")
assert not importlib.util.find_spec("tests") and "__editable__" not in f"{sys.path} {sys.meta_path}"
"""
CLIENT_ALONE = """
import importlib.util, sys
import numpy as np
from cascade_client import CascadeClient
with CascadeClient(sys.argv[1]) as client:
    print(client.classify([np.zeros((9, 9, 3), np.uint8)])[0].label)
print([name for name in ("torch", "build_engines", "cascade_core", "matplotlib") if importlib.util.find_spec(name)])
"""


@dataclass(frozen=True)
class Installed:
    """An environment, and a folder outside the checkout to run its commands in."""

    environment: Path
    folder: Path

    def run(self, program: str, *arguments: object) -> str:
        command = [self.environment / "bin" / program, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def serving(self, *options: str) -> Iterator[str]:
        """Serve the repository of the folder; the address of its gRPC service."""
        command = [self.environment / "bin" / "serve-repository", *ANY_PORTS, *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, **streams) as server:
            try:
                said = ""
                while "\n  log" not in said:
                    line = server.stdout.readline()
                    assert line, f"{command} ended: {said}"
                    said += line
                yield re.search(r"gRPC +(\S+)", said)[1]
            finally:
                server.send_signal(signal.SIGINT)  # as Ctrl-C does


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """Build both, from a copy: setuptools packs whatever an earlier build has left in the checkout's build/lib."""
    folder = tmp_path_factory.mktemp("wheels")
    source = folder / "source"
    shutil.copytree(ROOT, source, symlinks=True, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ".", "./client"]
    subprocess.run(build, cwd=source, check=True)
    shutil.rmtree(source)
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def workbench(wheels, tmp_path_factory) -> Installed:
    """Both wheels, with links to the packages of others that the tests run on; a pool and labelled images."""
    environment = tmp_path_factory.mktemp("workbench") / "environment"
    venv.create(environment)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(OURS):
            (site_packages(environment) / entry.name).symlink_to(entry)
    pip_install(environment, "--no-deps", "--no-index", *wheels.values())
    folder = tmp_path_factory.mktemp("elsewhere")
    sizes = {"small": 16, "large": 32}
    pool = write_pool(folder, *(backbone_entry(name, input_size=size) for name, size in sizes.items()))
    save_random_weights(load_pool(pool))
    for seed, split in enumerate(("calibration", "test")):
        save_labelled(folder / split, random_canvases(40, seed))
    return Installed(environment, folder)


def pip_install(environment: Path, *arguments: object) -> None:
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    subprocess.run([*pip, "install", "--quiet", "--no-compile", *map(str, arguments)], check=True)


def site_packages(environment: Path) -> Path:
    (site,) = environment.glob("lib/python3*/site-packages")
    return site


def save_labelled(root: Path, canvases: np.ndarray) -> None:
    for place, canvas in enumerate(canvases):
        folder = root / LABELS[place % len(LABELS)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(folder / f"{place}.png")


@pytest.fixture(scope="module")
def repository(workbench) -> Path:
    workbench.run("build-engines", "export", "pool.yaml")
    workbench.run("build-engines", "repository", "pool.yaml")
    return workbench.folder / "model_repository"


@pytest.fixture(scope="module")
def chosen(workbench, repository) -> Path:
    with workbench.serving("--backbones-only") as url:
        splits = ("--calibration", "calibration", "--test", "test")
        workbench.run("build-cascade", "predict", "pool.yaml", *splits, "--url", url)
    both = ("--must-include", "small", "--must-include", "large")
    workbench.run("build-cascade", "search", "pool.yaml", "--tolerance", 0.9, *both)
    return repository / "cascade" / "cascade.json"


@pytest.fixture(scope="module")
def url(workbench, chosen) -> Iterator[str]:
    with workbench.serving() as url:
        yield url


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_wheel_has_every_file_of_its_packages_and_no_other(wheels, distribution):
    metadata = f"{distribution}-{wheels[distribution].name.split('-')[1]}.dist-info"
    names = set(zipfile.ZipFile(wheels[distribution]).namelist())
    packaged = {name for name in names if not name.startswith(f"{metadata}/")}
    assert packaged == {file for package in PACKAGES[distribution] for file in files_of(source_of(package), package)}
    assert {f"{package}/py.typed" for package in PACKAGES[distribution]} <= packaged
    assert f"{metadata}/licenses/LICENSE" in names


def source_of(package: str) -> Path:
    return Path(importlib.util.find_spec(package).origin).parent


def test_installed_they_add_no_other_name_to_site_packages(workbench):
    added = (path for path in site_packages(workbench.environment).iterdir() if not path.is_symlink())
    assert {path.name for path in added if path.suffix != ".dist-info"} == set.union(*PACKAGES.values())


def test_every_package_is_imported_from_the_environment(workbench):
    packages = sorted(set.union(*PACKAGES.values()))
    site = site_packages(workbench.environment)
    assert workbench.run("python", "-c", WHERE_FROM, *packages).split() == [
        str(site / package / "__init__.py") for package in packages
    ]


def test_every_command_prints_the_one_version(workbench, wheels):
    (version,) = {path.name.split("-")[1] for path in wheels.values()}
    for command in COMMANDS:
        assert workbench.run(command, "--version").split()[1:] == [version], command


def test_the_cascades_entry_is_whole(repository):
    written, kept = (files_of(folder / "cascade") for folder in (repository, ROOT / "model_repository"))
    assert written == kept


def files_of(folder: Path, called: str = ".") -> dict[str, bytes]:
    """The files that are kept of a folder: neither caches nor, in the cascade's entry, what is built."""
    paths = (path for path in folder.rglob("[!.]*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(called / path.relative_to(folder)): path.read_bytes() for path in paths if path.name != "cascade.json"}


def test_the_report_is_written(workbench, chosen):
    assert "cascade" in workbench.run("build-cascade", "report", "pool.yaml")
    assert (workbench.folder / "build" / "tiny" / "report" / "index.html").is_file()


def test_the_cascade_is_served_and_classifies_canvases_and_encoded_images(workbench, url):
    images = sorted((workbench.folder / "test").rglob("*.png"))
    by_canvas, encoded = (
        [
            json.loads(line)
            for line in workbench.run("cascade", "classify", *images, "--json", "--url", url, *how).splitlines()
        ]
        for how in ((), ("--encoded",))
    )
    assert len(by_canvas) == len(images)
    assert {answer["label"] for answer in by_canvas} <= set(LABELS)
    assert {answer["exit_stage"] for answer in by_canvas} <= {1, 2}
    assert encoded == by_canvas


def test_the_clients_wheel_alone_classifies(wheels, url, tmp_path):
    """With its dependencies from the index, in an environment that has nothing else."""
    client = Installed(tmp_path / "environment", tmp_path)
    venv.create(client.environment)
    pip_install(client.environment, wheels["triton_cascades_client"])
    label, workbench = client.run("python", "-c", CLIENT_ALONE, url).splitlines()
    assert label in LABELS
    assert workbench == "[]"
