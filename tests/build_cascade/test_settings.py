"""How a cascade is served is set by hand in cascade.json: choosing a new one keeps it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from build_cascade.cli import app
from build_cascade.settings import SET_BY_HAND, keep_settings
from cascade_core.spec import Cascade, Serving, Stage, read_cascade

COMMANDS = {"search": ["search"], "greedy": ["greedy", "--alpha", "0.5"]}
SERVING = Serving(workers_per_stage=3, max_images_in_flight=8, when_full="wait")
CHOSEN = Cascade("new", 32, ("a", "b"), (Stage("small", threshold=0.5), Stage("large")))
SET = dataclasses.replace(
    CHOSEN, name="old", stages=(Stage("tiny"),), mode="ensemble", max_batch_size=8, serving=SERVING
)


def run(*arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def places(tmp_path):
    """Predictions of two backbones, imported as a pool; cascade.json will lie beside them."""
    generator, source = np.random.default_rng(0), tmp_path / "source"
    source.mkdir()
    for name in ("small", "large"):
        np.savez(
            source / f"{name}.npz", ids=generator.permuted(np.tile([0, 1], (60, 1)), axis=1), probs=[[0.9, 0.1]] * 60
        )
    np.savez(source / "labels.npz", labels=generator.integers(0, 2, 60))
    (source / "models.json").write_text(json.dumps({"small": {"gmacs": 1}, "large": {"gmacs": 3}}))
    run("import-topk", str(source), "--name", "two", "--build", str(tmp_path / "build"))
    return [str(tmp_path / "build/two/pool.yaml"), "--build", str(tmp_path / "build")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_new_choice_keeps_how_the_cascade_is_served_and_says_so(tmp_path, places, command):
    first = run(*COMMANDS[command], *places)
    path = tmp_path / "build/two/cascade.json"
    chosen = read_cascade(path)
    by_hand = {name: getattr(SET, name) for name in SET_BY_HAND}
    path.write_text(dataclasses.replace(chosen, **by_hand, name="before").to_json())
    again = run(*COMMANDS[command], *places)
    assert read_cascade(path) == dataclasses.replace(chosen, **by_hand)
    assert "kept" not in first
    told = "mode ensemble, max_batch_size 8, serving (workers_per_stage 3, max_images_in_flight 8, when_full wait)"
    assert f"kept from the previous file: {told}" in again


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_as_output_is_refused_before_anything_is_searched(tmp_path, places, command):
    done = CliRunner().invoke(app, [*COMMANDS[command], *places, "--output", str(tmp_path)])
    assert done.exit_code == 1
    assert f"{tmp_path} is a folder; name a file, such as --output {tmp_path}/cascade.json" in done.output
    assert "searching" not in done.output


@pytest.mark.parametrize("command", [["report"], ["measure", "--test", "."]])
def test_what_needs_a_cascade_says_how_to_choose_one(tmp_path, places, command):
    before, elsewhere = tmp_path / "build/two/cascade.json", tmp_path / "elsewhere.json"
    for file, options in (
        (before, []),
        (elsewhere, ["--cascade", str(elsewhere)]),
        (tmp_path, ["--cascade", tmp_path]),
    ):
        done = CliRunner().invoke(app, [command[0], *places, *command[1:], *map(str, options)])
        assert done.exit_code == 1
        assert (
            f"there is no cascade.json at {file}; run build-cascade search, or name one with --cascade" in done.output
        )
        assert "Errno" not in done.output


def test_a_file_that_is_not_valid_is_replaced_and_that_is_said(tmp_path):
    path = tmp_path / "cascade.json"
    assert keep_settings(CHOSEN, path) == (CHOSEN, "")
    path.write_text(SET.to_json().replace("workers_per_stage", "workers"))
    kept, told = keep_settings(CHOSEN, path)
    assert kept == CHOSEN
    assert "nothing is kept" in told
    assert "unknown field workers" in told


def test_nothing_is_said_of_settings_that_nobody_changed(tmp_path):
    path = tmp_path / "cascade.json"
    path.write_text(dataclasses.replace(CHOSEN, name="before").to_json())
    assert keep_settings(CHOSEN, path) == (CHOSEN, "")
