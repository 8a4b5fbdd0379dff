"""The table of answers, in a terminal as narrow as one may be."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cascade_client.cli import _answers
from cascade_client.results import Classification

LABEL = "great white shark, white shark, man-eater, Carcharodon carcharias"


def test_long_labels_fold_between_words():
    answer = Classification(2, LABEL, 0.25, 3, degraded=False, stage_confidence=(0.1, 0.2, 0.25))
    file = Path("photographs/of/a/holiday/at/the/sea", 40 * "x", "0001.jpg")
    console = Console(width=60, record=True)
    console.print(_answers([file], [answer], None))
    cells = [line.split("│")[1].split() for line in console.export_text().splitlines() if "│" in line]
    assert [word for cell in cells for word in cell] == LABEL.split()
