"""Select one cascade of a frontier for a stated goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from build_cascade.committee import Candidate
from build_cascade.errors import GoalError
from build_cascade.evaluation import ACCURACY
from build_cascade.goal import Goal

NO_GUARANTEE = "none: chosen on calibration images, reported on test images"


@dataclass(frozen=True)
class Selection:
    """A selected cascade, and what it was selected for.

    Attributes:
        candidate: The cascade.
        goal: What it must reach.
        reference: The backbone that it is compared with.
        guarantee: What is guaranteed, in words.
    """

    candidate: Candidate
    goal: Goal
    reference: str
    guarantee: str = NO_GUARANTEE


def select(frontier: Sequence[Candidate], images: int, goal: Goal, measure: str = ACCURACY) -> Candidate:
    """Return the candidate that a goal asks for.

    Args:
        frontier: By ascending cost and accuracy.
        images: How many images the candidates were counted on.
        goal: What to reach.
        measure: What the share of correct answers is called in the message.

    Raises:
        GoalError: nothing reaches it; the message says what would be possible.
    """
    affordable = [c for c in frontier if goal.cost_at_most is None or c.mean_cost <= goal.cost_at_most]
    if not affordable:
        cheapest = frontier[0]
        raise GoalError(
            f"no cascade costs at most {goal.cost_at_most}; the cheapest costs {cheapest.mean_cost:.4g} "
            f"at an {measure} of {cheapest.correct / images:.2%}"
        )
    if goal.accuracy_at_least is None:
        return affordable[-1]
    accurate = [c for c in affordable if c.correct / images >= goal.accuracy_at_least]
    if not accurate:
        raise GoalError(_out_of_reach(goal, frontier, affordable[-1], images, measure))
    return accurate[0]


def _out_of_reach(goal: Goal, frontier: Sequence[Candidate], best: Candidate, images: int, measure: str) -> str:
    """Return which bound is in the way, and what would be possible."""
    floor = goal.accuracy_at_least or 0.0
    bound = "" if goal.cost_at_most is None else f" at a mean cost of {goal.cost_at_most}"
    reached = f"the best reaches {best.correct / images:.2%} at a mean cost of {best.mean_cost:.4g}"
    sufficient = next((c for c in frontier if c.correct / images >= floor), None)
    if sufficient is not None:
        return (
            f"no cascade reaches an {measure} of {floor:.2%}{bound}; {reached}; "
            f"{floor:.2%} costs {sufficient.mean_cost:.4g}"
        )
    return (
        f"no cascade reaches an {measure} of {floor:.2%}{bound}, nor would a higher mean cost help; {reached} (among "
        "the cascades allowed: --stages, --worst-cost-at-most, --must-include and --confidence limit them)"
    )
