"""Certify on images that the search has not seen: Learn-then-Test (Angelopoulos et al., arXiv 2110.01052).

Candidates are ordered before the certifying images are looked at. Each is tested at the whole risk, and testing stops
at the first that fails (fixed-sequence testing): with probability 1 - risk, every candidate before it keeps its
guarantee.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, binomtest

# Share of the p-value that is spent on the interval of the rate of disagreement (Berger and Boos, JASA 89, 1994).
NUISANCE_SHARE = 0.02
NUISANCE_GRID = 50
TAIL_DEVIATIONS = 9.0

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class SequenceResult(Generic[T]):
    """The cheapest candidate that is certified, and the tests on the way to it.

    Attributes:
        candidate: None where not even the safest passed.
        p_values: Of each candidate tested, in order; the last one failed unless all passed.
    """

    candidate: T | None
    p_values: tuple[float, ...]


def fixed_sequence_test(candidates: Sequence[T], p_value: Callable[[T], float], risk: float) -> SequenceResult[T]:
    """Test candidates, safest first, until one fails; return the one before it.

    Args:
        candidates: Ordered without looking at the certifying images.
        p_value: Of the hypothesis that a candidate breaks its guarantee.
        risk: The probability with which the result may break its guarantee.
    """
    p_values: list[float] = []
    certified: T | None = None
    for candidate in candidates:
        p_values.append(p_value(candidate))
        if p_values[-1] > risk:
            break
        certified = candidate
    return SequenceResult(certified, tuple(p_values))


def accuracy_p_value(cascade_right: Flags, reference_right: Flags, tolerance: float, risk: float) -> float:
    """Return a p-value of "the cascade is more than `tolerance` less accurate than the reference".

    The two differ only where exactly one is right. Given the rate q of such images, the difference of the two kinds of
    disagreement is a sum over a trinomial, and its tail at the border of the hypothesis is summed exactly. q itself is
    unknown: the largest tail over an exact interval of q is taken, and what the interval may miss is added (Berger and
    Boos).

    Args:
        cascade_right: BOOL [N], on the certifying images.
        reference_right: BOOL [N], on the same.
        tolerance: A share of images, above 0.
        risk: The level at which the p-value will be used; it sets how much is spent on the interval of q.
    """
    count = len(cascade_right)
    lost = int((reference_right & ~cascade_right).sum())
    won = int((cascade_right & ~reference_right).sum())
    missed = risk * NUISANCE_SHARE
    lowest, highest = _exact_interval(lost + won, count, missed)
    rates = np.linspace(max(lowest, tolerance), max(highest, tolerance), NUISANCE_GRID)
    return min(1.0, float(_tails(lost - won, count, rates, tolerance).max()) + missed)


def consistency_p_value(disagrees: Flags, tolerance: float) -> float:
    """Return the exact binomial p-value of "more than `tolerance` of the answers differ"; no labels are needed.

    Args:
        disagrees: BOOL [N], where the cascade's answer differs from the reference's.
        tolerance: A share of images.
    """
    return float(binom.cdf(int(disagrees.sum()), len(disagrees), tolerance))


def images_needed(lost_rate: float, won_rate: float, tolerance: float, risk: float) -> int | None:
    """Return about how many certifying images a candidate of these rates needs; None if no number would do.

    Args:
        lost_rate: Share of images that only the reference has right.
        won_rate: Share of images that only the cascade has right.
        tolerance: A share of images.
        risk: The level of the test.
    """
    room = tolerance - (lost_rate - won_rate)
    if room <= 0:
        return None
    deviation = math.sqrt(max(lost_rate + won_rate, tolerance))
    return math.ceil((NormalDist().inv_cdf(1 - risk) * deviation / room) ** 2)


def _exact_interval(successes: int, trials: int, missed: float) -> tuple[float, float]:
    """Return the Clopper-Pearson interval that misses with at most this probability."""
    found = binomtest(successes, trials).proportion_ci(1 - missed, method="exact")
    return float(found.low), float(found.high)


def _tails(difference: int, count: int, rates: Floats, tolerance: float) -> Floats:
    """Return, for each rate, P(lost - won <= difference) where that share disagrees and `tolerance` more lose than win.

    Args:
        difference: Images lost minus images won.
        count: Images in all.
        rates: FP64 [R], ascending, at least `tolerance`.
        tolerance: The expected share of images lost minus those won.
    """
    middles = count * rates
    spreads = TAIL_DEVIATIONS * np.sqrt(middles * (1 - rates)) + TAIL_DEVIATIONS
    fewest, most = np.floor((middles - spreads).min()), np.ceil((middles + spreads).max())
    disagreements = np.arange(max(0, fewest), min(count, most) + 1)
    lost_shares = (rates + tolerance) / (2 * rates)
    at_most_lost = np.floor((difference + disagreements) / 2)
    within = binom.cdf(at_most_lost, disagreements, lost_shares[:, None])
    return np.asarray((binom.pmf(disagreements, count, rates[:, None]) * within).sum(axis=1), np.float64)
