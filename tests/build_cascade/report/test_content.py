"""Every number of the report is what a replay on the test images gives."""

from __future__ import annotations

import pytest

from build_cascade.committee import Committee
from build_cascade.errors import ChoiceError
from build_cascade.evaluator import Evaluator
from build_cascade.goal import Goal
from build_cascade.report.content import Report, committee_of, on_test
from build_engines.costs.costs import Costs
from cascade_core.gating import UNREACHABLE
from tests.support.reports import (
    NAMES,
    assert_alike,
    choice,
    evaluator_of,
    predictions,
)


def test_every_row_is_what_the_gate_replays(tmp_path, evaluator):
    cascade, frontier = choice(tmp_path, evaluator)
    report = Report.of(evaluator, cascade, frontier)
    committee = committee_of(cascade)
    expected = {name: evaluator.on_test(Committee.of([name])) for name in NAMES}
    expected["ensemble of all"] = evaluator.on_test(Committee.of(NAMES), [UNREACHABLE] * 2)
    expected["cascade"] = evaluator.on_test(committee, cascade.thresholds)
    for name in cascade.operating_points:
        expected[f"  {name}"] = evaluator.on_test(committee, cascade.thresholds_at(name))
    assert [row.name for row in report.rows] == list(expected)
    for row in report.rows:
        assert_alike(row.evaluation, expected[row.name])


def test_line_stars_and_squares_are_what_the_gate_replays(tmp_path, evaluator):
    cascade, frontier = choice(tmp_path, evaluator)
    report = Report.of(evaluator, cascade, frontier)
    replayed = [evaluator.on_test(c.committee, c.thresholds) for c in frontier]
    assert len(report.frontier) == len(replayed)
    for members, seen in zip(report.frontier, replayed, strict=True):
        assert_alike(members.evaluation, seen)
    assert report.stars
    assert all(star in report.frontier and star.evaluation != report.chosen.evaluation for star in report.stars)
    for members in report.ensembles:
        committee = Committee.of(members.stages)
        assert_alike(members.evaluation, evaluator.on_test(committee, [UNREACHABLE] * (len(members.stages) - 1)))


@pytest.mark.parametrize("part", ["cascade", "frontier"])
def test_the_stages_of_another_pool_are_refused(tmp_path, part):
    cascade, frontier = choice(tmp_path, evaluator_of())
    smaller, within = evaluator_of(NAMES[:1]), choice(tmp_path, evaluator_of(NAMES[:1]), Goal(0.1))
    mixed = (cascade, within[1]) if part == "cascade" else (within[0], frontier)
    with pytest.raises(ChoiceError, match="not in this pool"):
        Report.of(smaller, *mixed)


def test_kernels_and_gate_agree_beyond_four_backbones():
    names = tuple("abcdef")
    wide = Evaluator(predictions(2, names), predictions(3, names), Costs(dict.fromkeys(names, 1.0)))
    committee = Committee.of(names)
    assert on_test(wide, committee, [UNREACHABLE] * 5) == wide.on_test(committee, [UNREACHABLE] * 5)
