"""Every number of the report is what a replay on the test images gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from build_cascade.committee import Committee
from build_cascade.errors import ChoiceError
from build_cascade.evaluator import Evaluator
from build_cascade.frontier_file import Frontier
from build_cascade.report.content import OTHER_COUNTS, Report, committee_of, on_test
from build_engines.costs.costs import Costs
from cascade_core.gating import UNREACHABLE
from tests.support.reports import (
    IMAGES,
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
    replayed = [evaluator.on_test(c.committee, c.thresholds) for c in frontier.candidates]
    assert len(report.frontier) == len(replayed)
    for members, seen in zip(report.frontier, replayed, strict=True):
        assert_alike(members.evaluation, seen)
    assert report.stars
    assert all(star in report.frontier and star.evaluation != report.chosen.evaluation for star in report.stars)
    for members in report.ensembles:
        committee = Committee.of(members.stages)
        assert_alike(members.evaluation, evaluator.on_test(committee, [UNREACHABLE] * (len(members.stages) - 1)))


def test_the_stages_of_another_pool_are_refused(tmp_path):
    cascade, frontier = choice(tmp_path, evaluator_of())
    with pytest.raises(ChoiceError, match="not in this pool"):
        Report.of(evaluator_of(NAMES[:1]), cascade, frontier)


def test_a_frontier_that_was_counted_on_other_predictions_is_not_shown(tmp_path):
    evaluator = replace(evaluator_of(), other_costs=Costs(dict.fromkeys(NAMES, 1.0), "ms", "measured"))
    cascade, own = choice(tmp_path, evaluator)
    by_answers = evaluator.judged("medium").calibration
    relabelled = replace(evaluator.calibration, class_ids=np.roll(evaluator.calibration.class_ids, 1))
    fewer = evaluator.calibration.only(NAMES[:2])
    for other in (by_answers, relabelled, fewer, predictions(7), evaluator.calibration.halves()[1]):
        report = Report.of(evaluator, cascade, Frontier.of(own.candidates, other))
        assert (report.frontier, report.stars, report.frontier_note) == ((), (), OTHER_COUNTS)
    assert Report.of(evaluator, cascade, own).frontier_note == ""


def test_counts_on_the_half_that_chose_are_shown_but_not_held_against_the_whole(tmp_path):
    """Counts on other images than the goal is of do not tell whether it is reached."""
    evaluator = replace(
        evaluator_of(), other_costs=Costs({"small": 1.0, "medium": 1.1, "large": 9.0}, "ms", "measured")
    )
    cascade, own = choice(tmp_path, evaluator)
    half = Frontier.of([replace(c, correct=IMAGES) for c in own.candidates[:1]], evaluator.calibration.halves()[0])
    report = Report.of(evaluator, cascade, half)
    assert len(report.frontier) == 1
    assert "small reaches the goal" not in report.measured_note


def test_kernels_and_gate_agree_beyond_four_backbones():
    names = tuple("abcdef")
    wide = Evaluator(predictions(2, names), predictions(3, names), Costs(dict.fromkeys(names, 1.0)))
    committee = Committee.of(names)
    assert on_test(wide, committee, [UNREACHABLE] * 5) == wide.on_test(committee, [UNREACHABLE] * 5)
