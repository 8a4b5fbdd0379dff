"""Milliseconds as served: measured by build-engines profile, searched on and shown by build-cascade."""

from __future__ import annotations

import dataclasses
import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from build_cascade.cli import app as build_cascade
from build_cascade.report.content import ENSEMBLE
from build_cascade.served_throughput import ServedThroughput
from build_engines.cli import app as build_engines
from build_engines.costs import throughput
from build_engines.costs.costs import Costs
from build_engines.costs.latency import measure_costs
from build_engines.costs.throughput import Load
from build_engines.pool.artifacts import PoolBuild
from cascade_core.contract import CASCADE
from cascade_core.spec import Serving, read_cascade
from embedded_server import EmbeddedServer
from embedded_server.preflight import backbones
from tests.support.helpers import CLASSES, LABELS, random_canvases
from tests.support.serving import slow_down

PER_CLASS = 8


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch):
    for name, value in (("ROUND_S", 0.05), ("LEAST_REQUESTS", 1), ("MOST_ROUNDS", 2)):
        monkeypatch.setattr(throughput, name, value)


@pytest.fixture
def build(tiny_build, tmp_path):
    """One with the shared ONNX files, to be filled."""
    (tmp_path / "build" / "tiny").mkdir(parents=True)
    (tmp_path / "build" / "tiny" / "onnx").symlink_to(tiny_build.folder / "onnx")
    return PoolBuild.of(tiny_build.pool, tmp_path / "build")


@pytest.fixture
def images(tmp_path):
    for place, canvas in enumerate(random_canvases(PER_CLASS * CLASSES, seed=4)):
        path = tmp_path / "images" / LABELS[place % CLASSES] / f"{place:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(canvas).save(path)
    return tmp_path / "images"


def run(app, *arguments):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_cascade_is_chosen_on_measured_milliseconds(server, tiny_pool, build, images, tmp_path):
    pool, root, url = tiny_pool.folder / "pool.yaml", build.folder.parent, ("--url", server.addresses.grpc)
    shown = run(build_engines, "profile", pool, "--batch", 1, "--batch", 8, *url, "--build", root)
    assert "ms, batch 1" in shown
    assert "ms, batch 8" in shown
    for batch in (1, 8):
        costs = Costs.read(build.costs_at(batch))
        assert costs.unit == "ms"
        assert set(costs) == {"small", "medium", "large"}
        assert f"1 client, {batch} image" in costs.source
        assert "backend python (model.onnx, CPU)" in costs.source
        assert costs.measured_by == dict.fromkeys(costs, "python (model.onnx, CPU)")
        assert str(build.costs_at(batch)) in shown
    run(build_cascade, "predict", pool, "--calibration", images, "--test", images, *url, "--build", root)
    given = ("--costs", build.costs_at(8), "--build", root)
    output = tmp_path / "cascade.json"
    run(build_cascade, "search", pool, *given, "--output", output)
    cascade = read_cascade(output)
    assert cascade.cost_unit == "ms"
    assert cascade.evidence["costs"]["source"] == Costs.read(build.costs_at(8)).source
    assert cascade.evidence["predicted_by"] == {s.model: "python (model.onnx, CPU)" for s in cascade.stages}
    for stage in cascade.stages:
        assert stage.cost == Costs.read(build.costs_at(8))[stage.model]
    frontier = json.loads(build.frontier.read_text())["candidates"]
    paid = Costs.read(build.costs_at(8)).values()
    assert all(min(paid) * 0.99 <= candidate["mean_cost"] <= sum(paid) * 1.01 for candidate in frontier)
    table = run(build_cascade, "report", pool, *given, "--cascade", output)
    assert "ms" in table or "µs" in table
    assert table.index("worst") < table.index("MACs")  # the costs it was not chosen by come second
    assert "Costs shown are in MACs" not in (build.report_on(output) / "index.html").read_text()


def test_costs_of_another_runtime_than_answered_are_used_and_said(server, tiny_pool, build, images, tmp_path):
    pool, root = tiny_pool.folder / "pool.yaml", build.folder.parent
    folders = ("--calibration", images, "--test", images)
    run(build_cascade, "predict", pool, *folders, "--url", server.addresses.grpc, "--build", root)

    def searched(measured_by):
        Costs(dict.fromkeys(("small", "medium", "large"), 1.0), "ms", "clock", measured_by).write(tmp_path / "ms.json")
        given = ("--costs", tmp_path / "ms.json", "--output", tmp_path / "cascade.json")
        return run(build_cascade, "search", pool, *given, "--build", root)

    assert "note:" not in searched({})
    assert "note:" not in searched({"small": "python (model.onnx, CPU)"})
    said = searched({"small": "tensorrt (model.plan, GPU)"})
    assert "note: the costs are milliseconds of tensorrt (model.plan, GPU), the predictions by python" in said
    assert (tmp_path / "cascade.json").is_file()


def test_all_that_is_served_is_measured_once_and_again_when_it_is_served_otherwise(
    server, repository_copy, tiny_pool, build, images
):
    cascade = repository_copy / "cascade" / "cascade.json"
    arguments = ("measure", tiny_pool.folder / "pool.yaml", "--build", build.folder.parent, "--test", images)
    arguments += ("--cascade", cascade, "--url")
    assert "reused" not in run(build_cascade, *arguments, server.addresses.grpc)
    speeds = ServedThroughput.of(build, cascade)
    assert set(speeds.rows) == {"small", "medium", "large", ENSEMBLE, CASCADE}
    otherwise = build.folder / "otherwise.json"
    for change in ({"confidence": "margin"}, {"mode": "ensemble"}, {"serving": Serving(reach="auto")}):
        otherwise.write_text(dataclasses.replace(read_cascade(cascade), **change).to_json())
        assert ServedThroughput.of(build, otherwise) is None
    costs = Costs.read(build.measured_costs)
    assert costs == {name: 1000 / speeds.rows[name].images_per_s for name in ("small", "medium", "large")}
    assert costs.measured_by == dict.fromkeys(costs, "python (model.onnx, CPU)")
    assert "reused" in run(build_cascade, *arguments, server.addresses.grpc)
    assert "measured" in run(build_cascade, *arguments, server.addresses.grpc, "--again")
    config = repository_copy / "medium" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 8", "max_batch_size: 16"))
    with EmbeddedServer(repository_copy) as other:
        assert "reused" not in run(build_cascade, *arguments, other.addresses.grpc)
        assert "reused" in run(build_cascade, *arguments, other.addresses.grpc)


def test_another_cascade_than_the_served_one_is_not_measured(server, tiny_pool, tiny_cascade, build, images, tmp_path):
    shorter = dataclasses.replace(tiny_cascade.stages[1], threshold=None)
    otherwise = {
        "stages": (tiny_cascade.stages[0], shorter),
        "confidence": "margin",
        "mode": "ensemble",
    }
    for place, (field, value) in enumerate(otherwise.items()):
        points = {} if field == "stages" else tiny_cascade.operating_points
        other = dataclasses.replace(tiny_cascade, operating_points=points, **{field: value})
        path = tmp_path / f"{place}.json"
        path.write_text(other.to_json())
        arguments = ["measure", tiny_pool.folder / "pool.yaml", "--build", build.folder.parent, "--test", images]
        arguments += ["--cascade", path, "--url", server.addresses.grpc]
        result = CliRunner().invoke(build_cascade, [str(argument) for argument in arguments])
        assert result.exit_code == 1, field
        assert "the server's cascade does not answer as" in " ".join(result.output.split()), field
        assert not build.throughput.exists()


def test_without_a_batch_nothing_is_asked(tiny_pool, tmp_path):
    shown = run(build_engines, "profile", tiny_pool.folder / "pool.yaml", "--build", tmp_path, "--url", "127.0.0.1:1")
    assert "GMACs" in shown
    assert "ms, batch" not in shown


def refused(server_url, pool, build, batch=1):
    arguments = ["profile", pool.folder / "pool.yaml", "--batch", batch, "--url", server_url]
    arguments += ["--build", build.folder.parent]
    result = CliRunner().invoke(build_engines, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    return " ".join(result.output.split())


def test_what_cannot_be_measured_is_said(server, tiny_pool, build, tmp_path):
    url = server.addresses.grpc
    assert "is it served? (make serve" in refused("127.0.0.1:1", tiny_pool, build)
    assert "takes batches of at most 8, not 9" in refused(url, tiny_pool, build, 9)
    assert "run build-engines export" in refused(url, tiny_pool, PoolBuild.of(tiny_pool, tmp_path / "nothing"))
    assert not build.costs_at(9).exists()


def test_another_export_than_the_served_one_is_refused(server, tiny_pool, build, monkeypatch):
    from build_engines.repository import served_model

    monkeypatch.setattr(served_model, "MADE_FROM", "nothing")
    assert "was not made from the last export" in refused(server.addresses.grpc, tiny_pool, build)


def test_several_clients_may_ask_at_once(server, build):
    progress = set()
    load_of_two = Load(clients=2, batch_images=4)
    measured = measure_costs(build, server.addresses.grpc, [load_of_two], lambda *told: progress.add(told))
    assert ("measuring, 4 images a request", 0, 3) in progress
    assert {(title, total) for title, _, total in progress} == {("measuring, 4 images a request", 3)}
    assert all(cost > 0 for cost in measured[4].values())
    assert measured[4].source.startswith("served, 2 clients, 4 images a request, by Triton")
    assert "load average" in measured[4].source


def test_what_is_measured_is_the_served_backbone_in_milliseconds_of_an_image(repository_copy, build):
    """A backbone that takes at least 40 ms a call costs that at batch 1, and an eighth of it at batch 8."""
    slow_down(repository_copy, "medium", 0.04)
    loads = [Load(clients=1, batch_images=size) for size in (1, 8)]
    with EmbeddedServer(repository_copy, models=backbones(repository_copy)) as server:
        measured = measure_costs(build, server.addresses.grpc, loads)
    assert measured[1]["medium"] >= 40
    assert 5 <= measured[8]["medium"] < measured[1]["medium"]
    assert measured[8]["small"] < measured[8]["medium"]
