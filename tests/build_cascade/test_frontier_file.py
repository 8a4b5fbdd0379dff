"""frontier.json says what its candidates were counted on, and a damaged one is refused with what to run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from build_cascade.committee import Candidate, Committee, with_answers_of
from build_cascade.errors import ChoiceError
from build_cascade.frontier_file import CountedOn, Frontier, read_frontier, write_frontier
from tests.support.random_predictions import random_predictions
from tests.support.reports import sparse

COUNTED = random_predictions(0)
CANDIDATES = [
    Candidate(Committee.of(["a"]), (), 7, 1.0),
    Candidate(Committee.of(["a", "b"], "margin", 1.5, "log_mean"), (float("inf"),), 9, 4.0),
]
RECORDS = [
    {
        "committee": {"stages": ["a"], "weights": [1.0], "confidence": "max_probability", "combine": "mean"},
        "thresholds": [],
        "correct": 7,
        "mean_cost": 1.0,
    },
    {
        "committee": {"stages": ["a", "b"], "weights": [1.0, 1.5], "confidence": "margin", "combine": "log_mean"},
        "thresholds": [float("inf")],
        "correct": 9,
        "mean_cost": 4.0,
    },
]
WHOLE = json.dumps({"counted_on": CountedOn.of(COUNTED).model_dump(), "candidates": RECORDS})


def test_a_frontier_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "frontier.json"
    frontier = Frontier.of(CANDIDATES, COUNTED)
    write_frontier(path, frontier)
    counted_on = {"reference": None, "images": 30, "predictions_sha256": COUNTED.sha256}
    assert json.loads(path.read_text()) == {"counted_on": counted_on, "candidates": RECORDS}
    assert read_frontier(path) == frontier


@pytest.mark.parametrize(
    "text", [None, "[", '[{"committee": 1}]', json.dumps(RECORDS), WHOLE.replace("margin", "luck")]
)
def test_a_damaged_frontier_says_to_search(tmp_path, text):
    path = tmp_path / "frontier.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ChoiceError, match="run build-cascade search"):
        read_frontier(path)


def test_the_fingerprint_is_of_predictions_and_of_what_they_are_judged_by():
    some, other = random_predictions(0), random_predictions(1)
    mixed = replace(some, probabilities={**some.probabilities, "b": other.probabilities["b"]})
    kinds = [some, other, mixed, some.only("ab"), with_answers_of(some, "a"), some.halves()[0], sparse(some)]
    assert len({one.sha256 for one in kinds}) == len(kinds)
    assert random_predictions(0).sha256 == some.only("cba").sha256 == some.sha256
