"""What a search must reach: an accuracy, a mean cost, or both."""

from __future__ import annotations

import math
from dataclasses import dataclass

from build_cascade.committee import Committee
from build_cascade.errors import GoalError
from build_cascade.evaluator import Evaluator

BEST = "best"


@dataclass(frozen=True)
class Goal:
    """What a cascade must reach on the images that it is chosen on.

    Attributes:
        accuracy_at_least: A share of right answers; then the cheapest such cascade is chosen.
        cost_at_most: Mean cost of an image, in the unit of the costs; alone, the most accurate such cascade is chosen.
    """

    accuracy_at_least: float | None = None
    cost_at_most: float | None = None


def parse_goal(
    accuracy_at_least: str | None, tolerance: float, mean_cost_at_most: float | None, evaluator: Evaluator
) -> Goal:
    """Return the goal that the options of a search name.

    Args:
        accuracy_at_least: A share, or a backbone's name or `best` for its accuracy; None asks for `best` unless the
            mean cost is bounded.
        tolerance: How far below that accuracy the cascade may be.
        mean_cost_at_most: Of an image; None for no bound.
        evaluator: Of the pool.

    Raises:
        GoalError: a number is out of range, or two options contradict each other.
    """
    if not 0 <= tolerance < 1:
        raise GoalError(f"--tolerance is a share of images such as 0.005, not {tolerance}")
    if tolerance > 0 and accuracy_at_least is None and mean_cost_at_most is not None:
        raise GoalError("--tolerance is how far below --accuracy-at-least the cascade may be; give that too")
    if mean_cost_at_most is not None and not 0 < mean_cost_at_most < math.inf:
        raise GoalError(f"--mean-cost-at-most is a number above 0, not {mean_cost_at_most}")
    if accuracy_at_least is None and mean_cost_at_most is not None:
        return Goal(None, mean_cost_at_most)
    return Goal(_parse_accuracy(accuracy_at_least or BEST, evaluator) - tolerance, mean_cost_at_most)


def parse_reference(option: str | None, evaluator: Evaluator, *, certified: bool = False) -> str:
    """Return the name of the backbone that a cascade is compared with.

    Args:
        option: A backbone's name; `best`, None or a share of images stand for the most accurate on calibration.
        evaluator: Of the pool.
        certified: Whether the comparison is to be certified; then the certifying images do not pick the backbone.

    Raises:
        GoalError: there is no such backbone.
    """
    if option is None or option == BEST or parse_share(option) is not None:
        return (evaluator.choosing() if certified else evaluator).best_single()
    if option not in evaluator.calibration.names:
        raise GoalError(f"no backbone {option!r}; the pool has: {', '.join(evaluator.calibration.names)}")
    return option


def parse_share(option: str) -> float | None:
    """Return an option's number, None if it is not one."""
    try:
        return float(option)
    except ValueError:
        return None


def _parse_accuracy(option: str, evaluator: Evaluator) -> float:
    share = parse_share(option)
    if share is None:
        return evaluator.on_calibration(Committee.of([parse_reference(option, evaluator)])).accuracy
    if not 0 <= share <= 1:
        raise GoalError(
            f"--accuracy-at-least takes a share such as 0.98, a backbone's name, or {BEST!r}, not {option!r}"
        )
    return share
