"""benchmarks/gpu.py: its parts, and its small form from pool files to result through the real server."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_bench.building import build_backbones
from gpu_bench.costs import Cost, costs, mean_gmacs
from gpu_bench.deck import SIZE, candidates, deal, thresholds_of
from gpu_bench.measure import Budget, Meter, StudyRecord, measure, prepare
from gpu_bench.runtimes import best_runtime, load
from gpu_bench.servers import NotServedError
from gpu_bench.studies import STUDIES
from gpu_bench.summary import summarise
from rich.console import Console

from build_engines.export.timm_source import TimmSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.runtimes import RUNTIMES
from cascade_core.gating import GatingRule, replay

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
LINES = [pytest.param(study, line, id=line.name) for study in STUDIES.values() for line in study.lines]
OF_THE_PAPER = {"vit_large_at_384": 2.3, "efficientnet_b7": 5.4}  # times fewer multiply-accumulates


def predict(images, seed=0, classes=10):
    """A stage that costs nothing: random projections of coarse pixels."""
    coarse = images[:, ::6, ::6].reshape(len(images), -1) / 255 - 0.5
    logits = coarse @ np.random.default_rng(seed).normal(size=(coarse.shape[1], classes))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("study", "line"), LINES)
def test_shares_of_exits_are_exact_in_a_deck_and_what_is_compared_is_there(study, line):
    counts = [share * SIZE for share in line.exits]
    assert sum(counts) == pytest.approx(SIZE)
    assert counts == pytest.approx([round(count) for count in counts])
    assert len(line.exits) == len(line.stages)
    assert {*line.stages, *filter(None, [line.against])} <= {other.name for other in study.lines}
    assert line.is_cascade == bool(line.against)


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_one_cascade_at_least_saves_what_the_paper_says(study):
    counted = costs(study.pool("fp32", small=False))
    alone = {line.name: mean_gmacs(line, counted) for line in study.lines if not line.is_cascade}
    saved = {
        name: [alone[name] / mean_gmacs(line, counted) for line in study.lines if line.against == name]
        for name in alone.keys() & OF_THE_PAPER.keys()
    }
    assert saved
    for name, ratios in saved.items():
        assert pytest.approx(OF_THE_PAPER[name], rel=0.02) in ratios


@pytest.mark.parametrize("exits", [(1.0,), (0.66, 0.34), (0.5, 0.32, 0.18)], ids=str)
def test_a_deck_leaves_at_the_rates_given_and_knows_its_answers(exits):
    images = candidates(48)
    predictions = [predict(images, seed) for seed in range(len(exits))]
    thresholds = thresholds_of(predictions, exits)
    rule = GatingRule((1.0,) * len(exits))
    of_all = replay(rule, thresholds, predictions).exit_stage
    assert [np.mean(of_all == stage + 1) for stage in range(len(exits))] == pytest.approx(exits, abs=0.01)
    deck = deal(images, predictions, exits, thresholds)
    assert [np.mean(deck.exit_stage == stage + 1) for stage in range(len(exits))] == pytest.approx(exits)
    again = replay(rule, thresholds, [predict(deck.images, seed) for seed in range(len(exits))])
    np.testing.assert_array_equal(again.class_id, deck.class_id)
    np.testing.assert_array_equal(again.exit_stage, deck.exit_stage)
    assert len(set(deck.class_id)) == 10


def test_a_deck_is_of_clear_images():
    images = candidates(48)
    predictions = [predict(images)]
    top_two = np.sort(predict(deal(images, predictions, (1.0,), ()).images), axis=1)[:, -2:]
    of_all = np.sort(predictions[0], axis=1)[:, -2:]
    assert (top_two[:, 0] / top_two[:, 1]).max() <= np.median(of_all[:, 0] / of_all[:, 1])


def test_a_deck_is_of_many_classes_where_one_is_the_clearest():
    sure = np.full((150, 10), 0.01, np.float32)
    sure[:, 0] = 0.91
    others = np.full((250, 10), 0.05, np.float32)
    others[np.arange(250), 1 + np.arange(250) % 9] = 0.55
    deck = deal(candidates(8), [np.concatenate([sure, others])], (1.0,), ())
    assert set(deck.class_id) == set(range(10))


@pytest.fixture
def study():
    vit = STUDIES["vit"].small()
    return dataclasses.replace(
        vit, lines=tuple(line for line in vit.lines if "224" in line.name and "384" not in line.name)
    )


@contextmanager
def no_server():
    raise NotServedError("there is none")
    yield


def measured(study, folder, record):
    pool = study.pool("fp32", small=True)
    predicts = {backbone.name: partial(predict, seed=place) for place, backbone in enumerate(pool.backbones)}
    prepared = prepare(study, pool, predicts, folder / "repository", folder / "decks")
    meter = partial(Meter, study, Budget(1, 0, 0.01), None, lambda _: None)
    measure(meter, prepared, no_server, record, folder / "record.json")
    return summarise(study, record.rounds, costs(pool), pool.canvas**2 * 3)


def test_without_a_server_it_measures_in_process_and_says_why(study, tmp_path):
    record = StudyRecord("key")
    lines = measured(study, tmp_path, record)
    assert record.not_served == "there is none"
    assert lines.keys() == {"vit_base_at_224", "vit_large_at_224", "b224_l224"}
    assert {mode for seen in lines.values() for mode in ("in_process", "served") if mode in seen} == {"in_process"}
    assert {seen["in_process"]["wrong"] for seen in lines.values()} == {0}
    assert StudyRecord.resume(tmp_path / "record.json", "key", "there is none") == record
    assert StudyRecord.resume(tmp_path / "record.json", "key", None) == StudyRecord("key")  # now there is one
    assert StudyRecord.resume(tmp_path / "record.json", "another", "there is none") == StudyRecord(
        "another", [], "there is none"
    )


def test_wrong_answers_are_counted(study, tmp_path, monkeypatch):
    halves = lambda _, deck: [deck.take(np.arange(50)), spoilt(deck.take(np.arange(50)))]  # noqa: E731
    monkeypatch.setattr("gpu_bench.in_process.InProcess._groups", halves)
    lines = measured(study, tmp_path, StudyRecord("key"))
    assert lines["b224_l224"]["in_process"]["wrong"] == lines["b224_l224"]["in_process"]["images"] / 2


def spoilt(deck):
    return dataclasses.replace(deck, class_id=deck.class_id + 1)


def test_time_that_is_up_leaves_out_rounds_but_not_the_first():
    assert Budget(rounds=5, end_s=0, slice_s=1).allows(0, 0)
    assert not Budget(rounds=5, end_s=0, slice_s=1).allows(1, 0)
    assert Budget(rounds=5, end_s=float("inf"), slice_s=1).allows(4, 60)
    assert not Budget(rounds=5, end_s=float("inf"), slice_s=1).allows(5, 60)


def test_ratios_are_taken_within_rounds_and_shares_of_the_card(study):
    def one(rates, flops):
        lines = {
            name: {
                "in_process": {
                    "images_per_second": rate,
                    "wrong": 0,
                    "images": 1,
                    "latency_ms": {},
                    "latency_ms_by_exit": {},
                }
            }
            for name, rate in zip(("vit_base_at_224", "vit_large_at_224", "b224_l224"), rates, strict=True)
        }
        return {"limits": {"flops": flops, "bytes_per_s": 1e6}, "lines": lines}

    rounds = [one((4, 1, 2), 1e12), one((40, 10, 30), 1e13), one((4, 2, 8), 1e12)]
    backbones = {"vit_base_at_224": Cost(10, 400), "vit_large_at_224": Cost(100, 4000)}
    lines = summarise(study, rounds, backbones, 50)
    assert lines["b224_l224"]["in_process"]["ratio"] == 3
    assert lines["b224_l224"]["gmacs"] == pytest.approx(50)
    assert lines["b224_l224"]["gmacs_ratio"] == pytest.approx(2)
    assert lines["vit_large_at_224"]["in_process"]["tflops"] == pytest.approx(0.4)
    assert lines["vit_large_at_224"]["in_process"]["share_of_flops"] == pytest.approx(0.2)
    # The median rate, 4 a second: in calls of four, a quarter of the weights and a canvas.
    assert lines["vit_base_at_224"]["in_process"]["share_of_bytes"] == pytest.approx(4 * (400 / 4 + 50) / 1e6)


@pytest.mark.skipif("embedded" not in best_runtime()[0], reason="there is a GPU")
def test_on_a_cpu_it_says_why_nothing_faster_is_taken():
    assert best_runtime()[1].keys() == {"tensorrt", "torch"}


@pytest.mark.skipif("torch" not in RUNTIMES, reason="there is no such runtime")
def test_a_program_answers_in_this_process_what_its_backbone_does(tmp_path):
    pool = STUDIES["vit"].pool("fp16", small=True)
    pool = pool.model_copy(update={"backbones": pool.backbones[:1]})
    name = pool.backbones[0].name
    build_backbones(PoolBuild(pool, tmp_path), tmp_path / "repository", "torch", Console(quiet=True))
    images = candidates(pool.canvas)[:5]
    with torch.inference_mode():
        expected = TimmSource(pool, pool.backbones[0]).torch_module()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(load("torch", tmp_path / "repository" / name / "1")(images), expected, rtol=0.05)
    assert (tmp_path / "repository" / name / "config.pbtxt").is_file()


@pytest.mark.server
def test_the_small_form_runs_from_pool_files_to_the_result(tmp_path):
    command = [sys.executable, SCRIPT, "--small", "--studies", "vit", "--rounds", "1", "--slice-s", "0.2"]
    folders = ["--build", tmp_path / "build", "--output", tmp_path, "--runtime", "embedded"]
    done = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = tmp_path.glob("gpu-small-embedded-*.json")
    assert result.with_suffix(".png").stat().st_size > 10_000
    study = json.loads(result.read_text())["studies"]["vit"]
    assert study["not_served_because"] is None
    assert study["lines"].keys() == {line.name for line in STUDIES["vit"].lines}
    for line in study["lines"].values():
        for mode in ("in_process", "served"):
            assert line[mode]["images_per_second"] > 0
            assert line[mode]["wrong"] == 0
        assert line["served"]["images_per_call"].keys() == set(line["stages"])
    again = subprocess.run([*command, *folders], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "exporting" in done.stdout
    assert "exporting" not in again.stdout
    assert json.loads(result.read_text())["studies"] == json.loads(json.dumps({"vit": study}))
