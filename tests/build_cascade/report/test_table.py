"""The terminal shows every row, in narrow windows too."""

from __future__ import annotations

import re

from rich.console import Console

from build_cascade.evaluator import Evaluator
from build_cascade.goal import Goal
from build_cascade.report.content import Report
from build_cascade.report.table import accuracy_in_words, table
from build_engines.costs.costs import Costs
from tests.support.reports import (
    choice,
    evaluator_of,
    measured_at,
    predictions,
)


def test_the_terminal_shows_every_row(tmp_path):
    evaluator = evaluator_of()
    cascade, frontier = choice(tmp_path, evaluator)
    console = Console(width=200, record=True)
    report = Report.of(evaluator, cascade, frontier)
    console.print(table(report, cascade, {"large": measured_at(77.6)}))
    text = console.export_text()
    for row in report.rows:
        assert re.search(rf"│ {row.name} +│ {re.escape(accuracy_in_words(row.evaluation))} +│", text)
    assert re.search("│ 78 +│ in process", text)


def test_in_80_columns_long_names_are_whole_and_nothing_is_cut(tmp_path):
    names = ("mobilenetv2_050_at_160", "mobilenetv2_120d_at_224")
    evaluator = Evaluator(predictions(0, names), predictions(1, names), Costs(dict.fromkeys(names, 0.3)))
    cascade, frontier = choice(tmp_path, evaluator, Goal(accuracy_at_least=0.1))
    console = Console(width=80, record=True)
    console.print(table(Report.of(evaluator, cascade, frontier), cascade, dict.fromkeys(names, measured_at(1234.0))))
    text = console.export_text()
    assert all(f"│ {name}" in text for name in names)
    assert "…" not in text
