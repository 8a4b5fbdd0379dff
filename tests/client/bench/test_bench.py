"""`cascade bench` with the real perf_analyzer on the real server, and what it refuses to measure."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from cascade_client import CascadeClient
from cascade_client.bench.served import Model, Server, models_beside
from cascade_client.contract import CLASS_ID
from embedded_server import EmbeddedServer
from tests.support.helpers import CANVAS, LABELS, random_canvases

PERF_ANALYZER = os.environ.get("CASCADE_PERF_ANALYZER") or shutil.which(
    "perf_analyzer",
    path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",  # noqa: PTH120
)
needs_perf_analyzer = pytest.mark.skipif(not PERF_ANALYZER, reason="no perf_analyzer; make perf-analyzer fetches it")
MODELS = ["cascade", "large", "medium", "small"]


def labelled_by(client, folder, canvases):
    """Put images into the folder of the class that the cascade answers, and a wrong one first into every folder."""
    for name in LABELS:
        (folder / name).mkdir(parents=True)
        Image.fromarray(canvases[0]).save(folder / name / "wrong.png")
    for place, (canvas, answer) in enumerate(zip(canvases, client.classify(list(canvases)), strict=True)):
        Image.fromarray(canvas).save(folder / answer.label / f"{place}.png")
    return folder


@pytest.fixture(scope="module")
def images(server, tmp_path_factory):
    with CascadeClient(server.addresses.grpc) as client:
        return labelled_by(client, tmp_path_factory.mktemp("labelled") / "images", random_canvases(120, seed=3))


@pytest.fixture
def stand_in(tmp_path):
    """A program in the place of perf_analyzer, for what is refused before anything is measured."""
    path = tmp_path / "perf_analyzer"
    path.write_text("#!/bin/sh\n[ $1 = --version ] || exit 99\n")
    path.chmod(0o755)
    return path


def bench(server, images, *options):
    program = "from cascade_client.cli import app; app()"
    command = [sys.executable, "-c", program, "bench", images, "--url", server.addresses.grpc, *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@needs_perf_analyzer
def test_everything_is_measured_written_and_shown(server, images, tmp_path):
    options = ["--concurrency", "1,3", "--batch", "1,4", "--rounds", "1", "--window-s", "0.3", "--exit-mix", "60,25,15"]
    done = bench(server, images, *options, "--perf-analyzer", PERF_ANALYZER, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert result["top1"]["cascade"] == pytest.approx(121 / 125)
    assert sorted(result["top1"]) == MODELS
    assert result["exit_mix"] == pytest.approx([0.6, 0.25, 0.15], abs=0.01)
    assert result["images"] == 125
    assert len(result["runs"]) == 4 * 4
    for level in result["latency_by_exit_stage"]:
        assert all(level[stage]["requests"] > 0 for stage in "123")
    rows = list(csv.DictReader((tmp_path / "out" / "bench.csv").open()))
    assert [row["model"] for row in rows[:4]] == MODELS
    assert all(float(row["images_per_s"]) > 0 for row in rows)
    assert {row["faster_than"] for row in rows if row["model"] == "cascade"} <= {"small", "medium", "large"}
    assert all((tmp_path / "out" / name).stat().st_size > 10_000 for name in ("throughput.png", "exits.png"))
    assert all(word in done.stdout for word in ("images/s", "p50 / p99 ms", *MODELS))


@needs_perf_analyzer
def test_a_named_backbone_and_ensemble_are_measured_alone(server, images, tmp_path):
    options = ["--concurrency", "2", "--batch", "2", "--rounds", "1", "--window-s", "0.2", "--no-plots"]
    options += ["--backbone", "small", "--ensemble", "large", "--perf-analyzer", PERF_ANALYZER]
    done = bench(server, images, *options, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    medians = json.loads((tmp_path / "bench.json").read_text())["medians"]
    assert {line["model"]: line["faster_than"] for line in medians} == {
        "cascade": "small",
        "large": "small",
        "small": None,
    }
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "ghost"], "serves no cascade called 'ghost'"),
        (["--model", "small"], "is not a cascade"),
        (["--backbone", "ghost"], "'ghost' is not found"),
        (["--backbone", "decode"], "'decode' is not a classifier"),
        (["--batch", "8,9"], "takes at most 8 images per request, not 9"),
        (["--batch", "0"], "invalid --batch '0': expected comma-separated numbers of at least 1"),
        (["--concurrency", "many"], "invalid --concurrency 'many'"),
        (["--exit-mix", "60,40"], "needs 3 shares, one per stage"),
        (["--exit-mix", "0,0,0"], "must sum to 100 or 1, not to 0"),
        (["--exit-mix", "60,25,25"], "shares of --exit-mix must sum to 100 or 1, not to 110"),
    ],
)
def test_nonsense_is_refused(server, images, stand_in, options, says):
    done = bench(server, images, "--perf-analyzer", stand_in, "--no-plots", *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_server_program_or_images_it_says_so(server, images, stand_in, tmp_path):
    done = bench(server, images, "--perf-analyzer", tmp_path / "missing", "--no-plots")
    assert "make perf-analyzer" in done.stderr
    done = bench(server, tmp_path, "--perf-analyzer", stand_in, "--no-plots")
    assert "have no images" in done.stderr
    done = bench(server, images, "--perf-analyzer", stand_in, "--no-plots", "--url", "127.0.0.1:1")
    assert "is the server running?" in done.stderr


def test_images_of_another_cascade_are_refused(server, images, stand_in, tmp_path):
    shutil.copytree(images, tmp_path / "wrong")
    names = [tmp_path / "wrong" / name for name in LABELS]
    for place, name in enumerate(names):
        name.rename(tmp_path / "wrong" / f"turned{place}")
    for place in range(len(names)):
        (tmp_path / "wrong" / f"turned{place}").rename(names[(place + 1) % len(names)])
    done = bench(server, tmp_path / "wrong", "--perf-analyzer", stand_in, "--no-plots")
    assert "about as many as guessing" in done.stderr


CONSTANT = """
import numpy as np
import triton_python_backend_utils as pb_utils
class TritonPythonModel:
    def execute(self, requests):
        images = [pb_utils.get_input_tensor_by_name(request, "image").as_numpy() for request in requests]
        tensors = [pb_utils.Tensor("probabilities", np.ones((len(part), 5), np.float32)) for part in images]
        return [pb_utils.InferenceResponse([tensor]) for tensor in tensors]
"""


def test_a_backbone_of_another_canvas_is_refused_where_named_and_else_left_out(repository_copy, images, stand_in):
    odd = repository_copy / "odd"
    (odd / "1").mkdir(parents=True)
    config = (repository_copy / "large" / "config.pbtxt").read_text()
    (odd / "config.pbtxt").write_text(config.replace('"large"', '"odd"').replace(f"dims: {CANVAS}", "dims: 64"))
    (odd / "1" / "model.py").write_text(CONSTANT)
    with EmbeddedServer(repository_copy) as server:
        done = bench(server, images, "--perf-analyzer", stand_in, "--no-plots", "--backbone", "odd")
        assert f"a canvas of 64 pixels and 'cascade' one of {CANVAS}" in done.stderr
        with Server(server.addresses.grpc) as asked:
            beside = models_beside(asked, Model("cascade", CANVAS, 16, CLASS_ID))
    assert [model.name for model in beside] == ["large", "medium", "small"]
