"""What a search says of its choice: accuracy, cost, and whether measured time would choose otherwise."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from build_cascade.cli import app
from build_cascade.committee import Candidate, Committee
from build_cascade.expectation import expectation_notes, expected_table
from build_cascade.frontier_search import search_frontier
from build_cascade.goal import Goal
from build_cascade.imported import import_pool
from build_cascade.measured_choice import measured_choice_note
from build_cascade.report.content import Report
from build_cascade.report.table import accuracy_in_words, table
from build_cascade.selection import Selection, select
from build_engines.costs.costs import Costs
from build_engines.images.source import UNLABELLED
from tests.support.reports import COSTS, IMAGES, NAMES, choice, evaluator_of, predictions, sparse

BUDGET = 0.3
ALIKE_MS = Costs({"small": 1.0, "medium": 1.1, "large": 1.2}, "ms", "measured by hand")


def selection_of(evaluator, goal, **changes):
    frontier = search_frontier(evaluator.calibration, evaluator.costs)
    return Selection(select(frontier, IMAGES, goal), goal, evaluator.best_single(), **changes), frontier


def shown(renderable):
    console = Console(width=200, record=True)
    console.print(renderable)
    return console.export_text()


def test_the_cascade_stands_beside_the_best_single_backbone_on_both_splits():
    evaluator = evaluator_of()
    selection, _ = selection_of(evaluator, Goal(cost_at_most=BUDGET))
    text = shown(expected_table(evaluator, selection))
    chosen = selection.candidate
    for committee, thresholds in ((chosen.committee, chosen.thresholds), (Committee.of(["large"]), ())):
        for split in (evaluator.on_calibration, evaluator.on_test):
            assert accuracy_in_words(split(committee, thresholds)) in text
    assert " ms " not in text


def test_costs_in_the_other_unit_stand_beside_the_first(tmp_path):
    evaluator = replace(evaluator_of(), other_costs=ALIKE_MS)
    selection, _ = selection_of(evaluator, Goal(accuracy_at_least=0.8))
    chosen = selection.candidate
    ms = evaluator.on_test(chosen.committee, chosen.thresholds).mean_cost_by(ALIKE_MS, chosen.committee.stages)
    assert "mean ms on test" in shown(expected_table(evaluator, selection))
    assert f"{ms:.3g}" in shown(expected_table(evaluator, selection))
    assert min(ALIKE_MS.values()) <= ms <= sum(ALIKE_MS.values())
    by_ms = replace(evaluator, costs=ALIKE_MS)
    assert by_ms.on_test(chosen.committee, chosen.thresholds).mean_cost == pytest.approx(ms)
    report = Report.of(evaluator, *choice(tmp_path, evaluator))
    assert "│ ms" in shown(table(report, choice(tmp_path, evaluator)[0], {})).replace("┃", "│")


@pytest.mark.parametrize("budget", [0.2, 0.25, BUDGET, 10.0])
def test_the_mean_cost_is_held_against_its_budget(budget):
    evaluator = evaluator_of()
    selection, _ = selection_of(evaluator, Goal(cost_at_most=budget))
    cost = evaluator.on_test(selection.candidate.committee, selection.candidate.thresholds).mean_cost
    note = expectation_notes(evaluator, selection)[0]
    assert note.startswith(f"mean cost on test {cost:.4g} GMACs, ")
    assert ("within" in note) == (cost <= budget)
    assert f"budget of {budget:g}" in note


@pytest.mark.parametrize(
    ("above", "said"), [(2e-4, "0.02% above"), (3e-5, "0.003% above"), (1e-12, "within"), (0.3, "30% above")]
)
def test_a_mean_cost_above_its_budget_is_never_0_per_cent_above(above, said):
    evaluator = evaluator_of()
    chosen = Candidate(Committee.of(["large"]), (), 0, COSTS["large"])
    selection = Selection(chosen, Goal(cost_at_most=COSTS["large"] / (1 + above)), "large")
    assert said in expectation_notes(evaluator, selection)[0]


@pytest.mark.parametrize(
    "options",
    [
        ["search", "--accuracy-at-least", "0.7"],
        ["search", "--mean-cost-at-most", str(BUDGET)],
        ["search", "--accuracy-at-least", "medium", "--tolerance", "0.1"],
        ["greedy", "--alpha", "0.9"],
    ],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_the_advice_that_is_printed_can_be_followed(tmp_path, options, labelled):
    some = predictions(4)
    known = some if labelled else replace(some, class_ids=np.full_like(some.class_ids, UNLABELLED))
    pool = import_pool("elsewhere", sparse(known), COSTS, tmp_path)

    def run(command, *others):
        done = CliRunner().invoke(app, [command, str(pool), *others, "--build", str(tmp_path)], env={"COLUMNS": "300"})
        assert done.exit_code == 0, done.output
        return done.output

    told = run(*options)
    advised = re.search(r"build-cascade (search --accuracy-at-least .*?) certifies", told)[1].split()
    assert "guarantee: none: chosen" not in run(*advised)
    assert ("greedy --reference names another" in told) == (not labelled and "medium" not in options)
    run("greedy", "--reference", "medium")


def test_a_guarantee_is_advised_unless_there_is_one():
    evaluator = evaluator_of()
    goal = Goal(accuracy_at_least=0.8)
    assert "--risk" in expectation_notes(evaluator, selection_of(evaluator, goal)[0])[-1]
    assert expectation_notes(evaluator, selection_of(evaluator, goal, guarantee="certified")[0]) == []


def test_measured_time_that_would_choose_otherwise_is_told():
    """All networks take about the same time: then the large one alone is the better choice."""
    evaluator = replace(evaluator_of(), other_costs=ALIKE_MS)
    large = evaluator.on_calibration(Committee.of(["large"])).accuracy
    selection, frontier = selection_of(evaluator, Goal(accuracy_at_least=large - 0.02))
    assert len(selection.candidate.committee.stages) > 1
    note = measured_choice_note(evaluator, selection.candidate, frontier, selection.goal.accuracy_at_least)
    assert "measured by hand" in note
    assert "large reaches the goal for 1.2 ms" in note


def test_time_that_is_as_the_macs_are_changes_nothing():
    ms = Costs({name: 7 * COSTS[name] for name in NAMES}, "ms", "measured")
    for evaluator in (replace(evaluator_of(), other_costs=ms), evaluator_of()):
        selection, frontier = selection_of(evaluator, Goal(accuracy_at_least=0.8))
        assert measured_choice_note(evaluator, selection.candidate, frontier, 0.8) == ""


def test_the_best_by_time_needs_the_accuracy_of_the_goal():
    evaluator = replace(evaluator_of(), other_costs=Costs({"small": 0.1, "medium": 9, "large": 9}, "ms", "measured"))
    seen = evaluator.on_calibration(Committee.of(["large"]))
    chosen = Candidate(Committee.of(["large"]), (), seen.correct, seen.mean_cost)
    assert measured_choice_note(evaluator, chosen, [], None) == ""


def test_the_command_prints_what_it_expects(tmp_path):
    pool = import_pool("elsewhere", sparse(predictions(4)), COSTS, tmp_path)
    command = ["search", str(pool), "--mean-cost-at-most", str(BUDGET), "--build", str(tmp_path)]
    told = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.output
    for expected in ("accuracy on calibration % (95%)", "cascade", "large", f"budget of {BUDGET}", "--risk"):
        assert expected in told.output
