"""Choose a cascade for a pool: search, then select for a goal or under a guarantee."""

from __future__ import annotations

from functools import partial

from build_cascade.committee import Candidate, Committee, single_candidate
from build_cascade.evaluation import ACCURACY, AGREEMENT
from build_cascade.evaluator import Evaluator
from build_cascade.exhaustive.frontier import undominated
from build_cascade.frontier_file import Frontier, write_frontier
from build_cascade.frontier_search import WHOLE_SPACE, free_weight_frontier, search_frontier
from build_cascade.goal import Goal
from build_cascade.greedy_search import greedy_search
from build_cascade.guarantee import CONSISTENCY, Guarantee, select_certified
from build_cascade.predictions import Predictions
from build_cascade.search_space import SearchSpace
from build_cascade.selection import Selection, select
from build_engines.costs.costs import Costs
from build_engines.pool.artifacts import PoolBuild
from build_engines.support.progress import OnProgress, ignore_progress
from cascade_core.spec import MAX_STAGES


def choose_cascade(
    build: PoolBuild,
    evaluator: Evaluator,
    goal: Goal,
    space: SearchSpace = WHOLE_SPACE,
    *,
    reference: str | None = None,
    guarantee: Guarantee | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Selection:
    """Search the cascades of a pool on the calibration images and select one; keep the frontier for the report.

    With a guarantee, one half of the calibration images is searched on, and the other certifies. For consistency the
    answers of the reference stand for labels in both, and no label is looked at.

    Args:
        build: Of the pool, which keeps the frontier.
        evaluator: Of the pool.
        goal: What the cascade must reach; with a guarantee, the record of what was asked for.
        space: Which cascades are looked at.
        reference: The backbone that the cascade is compared with; by default the most accurate on the images that
            are searched on or, for consistency, the one that `Evaluator.judged` takes without labels.
        guarantee: What is to be certified; None for nothing.
        on_progress: Called after each chunk of committees.

    Raises:
        GoalError: no committee is allowed, nothing reaches the goal, or the search would run for hours.
    """
    if guarantee is None:
        compared = evaluator.best_single() if reference is None else reference
        predictions = evaluator.calibration
        frontier = _search(build, predictions, evaluator.costs, goal, space, on_progress)
        return Selection(_select(frontier, predictions, goal), goal, compared)
    if guarantee.kind == CONSISTENCY:
        evaluator = evaluator.judged(reference or evaluator.calibration.reference, by_labels=False)
    compared = evaluator.choosing().best_single() if reference is None else reference
    choosing, certifying = evaluator.calibration.halves()
    alone = single_candidate(choosing, evaluator.costs, compared)
    within = Goal(alone.correct / len(choosing.class_ids) - guarantee.tolerance)
    frontier = _search(build, choosing, evaluator.costs, within, space, on_progress)
    certified = select_certified(frontier, alone, certifying, guarantee)
    return Selection(certified.candidate, goal, compared, certified.statement)


def choose_greedily(
    evaluator: Evaluator,
    reference: str,
    alpha: float = 1.0,
    confidence: str = "max_probability",
    max_stages: int = MAX_STAGES,
) -> Selection:
    """Build a cascade by Streeter's greedy on the calibration images; see `greedy_search` for the arguments.

    Raises:
        GoalError: an argument is out of range, or the reference is not in the pool.
    """
    chosen = greedy_search(evaluator.calibration, evaluator.costs, reference, alpha, confidence, max_stages)
    accuracy = alpha * evaluator.on_calibration(Committee.of([reference])).accuracy
    return Selection(chosen, Goal(accuracy), reference)


def _search(
    build: PoolBuild, predictions: Predictions, costs: Costs, goal: Goal, space: SearchSpace, on_progress: OnProgress
) -> list[Candidate]:
    """Search, weigh the stages that reach the goal freely if the space asks for it, and keep the frontier."""
    frontier = search_frontier(predictions, costs, space, partial(on_progress, "searching"))
    if space.free_weights:
        chosen = _select(frontier, predictions, goal).committee
        weighed = free_weight_frontier(predictions, costs, chosen, partial(on_progress, "weighing"))
        frontier = undominated([*frontier, *weighed], lambda candidate: candidate.correct)
    write_frontier(build.frontier, Frontier.of(frontier, predictions))
    return frontier


def _select(frontier: list[Candidate], predictions: Predictions, goal: Goal) -> Candidate:
    measure = ACCURACY if predictions.reference is None else f"{AGREEMENT} with {predictions.reference}"
    return select(frontier, len(predictions.class_ids), goal, measure)
