"""frontier.json holds candidates as it always has, and a damaged one is refused with what to run."""

from __future__ import annotations

import json

import pytest

from build_cascade.committee import Candidate, Committee
from build_cascade.errors import ChoiceError
from build_cascade.frontier_file import read_frontier, write_frontier

FRONTIER = [
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


def test_a_frontier_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "frontier.json"
    write_frontier(path, FRONTIER)
    assert path.read_text() == json.dumps(RECORDS, indent=1)
    assert read_frontier(path) == FRONTIER


@pytest.mark.parametrize("text", [None, "[", '[{"committee": 1}]', json.dumps(RECORDS).replace("margin", "luck")])
def test_a_damaged_frontier_says_to_search(tmp_path, text):
    path = tmp_path / "frontier.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ChoiceError, match="run build-cascade search"):
        read_frontier(path)
