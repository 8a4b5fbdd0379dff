"""What a user asks of a search, in words and numbers, as goals and promises."""

from __future__ import annotations

import math

from build_cascade.choice import Bench, Goal
from build_cascade.committee import Committee
from build_cascade.errors import GoalError
from build_cascade.guarantee import ACCURACY, CONSISTENCY, Promise

BEST = "best"


def reference_of(given: str | None, bench: Bench) -> str:
    """Name the backbone that a cascade is compared with.

    Args:
        given: A backbone's name; `best`, None or a share of images stand for the most accurate on calibration.
        bench: Of the pool.

    Raises:
        GoalError: there is no such backbone.
    """
    if given is None or given == BEST or _share(given) is not None:
        return bench.best_single()
    if given not in bench.calibration.names:
        raise GoalError(f"no backbone {given!r}; the pool has: {', '.join(bench.calibration.names)}")
    return given


def goal_of(accuracy_at_least: str | None, tolerance: float, mean_cost_at_most: float | None, bench: Bench) -> Goal:
    """Return the goal of a search.

    Args:
        accuracy_at_least: A share, or a backbone's name or `best` for its accuracy; None asks for `best` where no
            cost is bound.
        tolerance: How far below that accuracy the cascade may be.
        mean_cost_at_most: Of an image; None for no bound.
        bench: Of the pool.

    Raises:
        GoalError: a number is out of range, or two contradict each other.
    """
    if not 0 <= tolerance < 1:
        raise GoalError(f"--tolerance is a share of images such as 0.005, not {tolerance}")
    if tolerance > 0 and accuracy_at_least is None and mean_cost_at_most is not None:
        raise GoalError("--tolerance says how far below --accuracy-at-least the cascade may be; give that too")
    if mean_cost_at_most is not None and not 0 < mean_cost_at_most < math.inf:
        raise GoalError(f"--mean-cost-at-most is a number above 0, not {mean_cost_at_most}")
    if accuracy_at_least is None and mean_cost_at_most is not None:
        return Goal(None, mean_cost_at_most)
    return Goal(_accuracy(accuracy_at_least or BEST, bench) - tolerance, mean_cost_at_most)


def promise_of(
    tolerance: float, risk: float | None, kind: str | None, accuracy_at_least: str | None, mean_cost: float | None
) -> Promise | None:
    """Return what is to be certified, None if nothing is.

    Raises:
        GoalError: a number is out of range, or an option does not go with a guarantee.
    """
    if risk is None:
        if kind is not None:
            raise GoalError("--guarantee needs --risk, such as 0.05")
        return None
    if not (0 < risk < 1 and tolerance > 0):
        raise GoalError("a guarantee needs --risk between 0 and 1 and a --tolerance above 0, such as 0.005")
    if kind not in {None, ACCURACY, CONSISTENCY}:
        raise GoalError(f"--guarantee is {ACCURACY} or {CONSISTENCY}, not {kind!r}")
    if mean_cost is not None or _share(accuracy_at_least or BEST) is not None:
        raise GoalError(
            "--risk certifies against a backbone; leave --mean-cost-at-most out, and give --accuracy-at-least a "
            f"backbone's name or {BEST!r}"
        )
    return Promise(tolerance, risk, kind or ACCURACY)


def _accuracy(given: str, bench: Bench) -> float:
    share = _share(given)
    if share is None:
        return bench.on_calibration(Committee.of([reference_of(given, bench)])).accuracy
    if not 0 <= share <= 1:
        raise GoalError(
            f"--accuracy-at-least takes a share such as 0.98, a backbone's name, or {BEST!r}, not {given!r}"
        )
    return share


def _share(given: str) -> float | None:
    try:
        return float(given)
    except ValueError:
        return None
