"""The library chooses as the command does: it searches, selects, and keeps the frontier for the report."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from build_cascade.cascade_file import as_cascade, write_cascade
from build_cascade.choosing import choose_cascade, choose_greedily
from build_cascade.cli import app
from build_cascade.committee import Committee, single_candidate
from build_cascade.errors import GoalError
from build_cascade.evaluator import Evaluator
from build_cascade.frontier_file import read_frontier
from build_cascade.goal import Goal, parse_goal
from build_cascade.guarantee import Guarantee, select_certified
from build_cascade.imported import import_pool
from build_cascade.search_space import SearchSpace
from build_cascade.selection import NO_GUARANTEE, select
from build_engines.pool.artifacts import PoolBuild
from cascade_core.spec import read_cascade
from tests.support.reports import COSTS, predictions, sparse


@pytest.fixture
def build(tmp_path):
    return PoolBuild.open(import_pool("elsewhere", sparse(predictions(4)), COSTS, tmp_path), tmp_path)


def test_the_selection_is_of_the_frontier_that_is_kept(build):
    evaluator, goal, seen = Evaluator.read(build), Goal(accuracy_at_least=0.6), []
    chosen = choose_cascade(build, evaluator, goal, on_progress=lambda *progress: seen.append(progress))
    frontier = read_frontier(build.frontier).candidates
    assert chosen.candidate == select(frontier, len(evaluator.calibration.class_ids), goal)
    assert (chosen.goal, chosen.reference, chosen.guarantee) == (goal, evaluator.best_single(), NO_GUARANTEE)
    assert seen[-1] == ("searching", 42, 42)  # 7 committees under 6 rules


def test_a_guarantee_is_certified_on_images_that_were_not_searched(build):
    evaluator, guarantee = Evaluator.read(build), Guarantee(tolerance=0.3, risk=0.1)
    chosen = choose_cascade(build, evaluator, Goal(0.5), reference="large", guarantee=guarantee)
    choosing, certifying = evaluator.calibration.halves()
    reference = single_candidate(choosing, COSTS, "large")
    expected = select_certified(read_frontier(build.frontier).candidates, reference, certifying, guarantee)
    assert (chosen.candidate, chosen.guarantee) == (expected.candidate, expected.statement)


def test_free_weights_are_searched_after_the_rest(build):
    evaluator, titles = Evaluator.read(build), []
    space = SearchSpace(("margin",), free_weights=True)
    choose_cascade(build, evaluator, Goal(0.6), space, on_progress=lambda title, *_: titles.append(title))
    assert list(dict.fromkeys(titles)) == ["searching", "weighing"]


def test_a_greedy_choice_is_recorded_with_the_accuracy_that_it_had_to_reach(build):
    evaluator = Evaluator.read(build)
    chosen = choose_greedily(evaluator, "large", alpha=0.9)
    of_reference = evaluator.on_calibration(Committee.of(["large"]))
    assert chosen.goal == Goal(0.9 * of_reference.accuracy)
    assert chosen.candidate.correct >= 0.9 * of_reference.correct
    with pytest.raises(GoalError, match="alpha"):
        choose_greedily(evaluator, "large", alpha=2.0)


def test_the_command_writes_what_the_library_chooses(build, tmp_path):
    evaluator, by_command, by_library = Evaluator.read(build), tmp_path / "command.json", tmp_path / "library.json"
    goal = parse_goal("best", 0.01, None, evaluator)
    write_cascade(by_library, as_cascade(build.pool, choose_cascade(build, evaluator, goal), evaluator))
    options = ["--accuracy-at-least", "best", "--tolerance", "0.01", "--build", str(tmp_path)]
    done = CliRunner().invoke(app, ["search", str(build.folder / "pool.yaml"), *options, "--output", str(by_command)])
    assert done.exit_code == 0, done.output
    assert read_cascade(by_command) == read_cascade(by_library)
