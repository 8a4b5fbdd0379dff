"""What the search reads off a gating rule (scale, classes that cannot matter), and the grid of rules that it tries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cascade_core.gating import GatingRule

_RANK = {"max_probability": 1, "margin": 2}
_SLACK = 0.99  # far more than float32 rounding of a mean of four can take

Floats = npt.NDArray[np.float32]


class Scale(NamedTuple):
    """How a rule scales predictions, equal to `cascade_core.gating` to the bit.

    Attributes:
        factors: float32 [K], what each stage's prediction is multiplied by.
        divisors: float32 [K], what each prefix's weighted sum is divided by.
    """

    factors: Floats
    divisors: Floats


class ClassCutoff(NamedTuple):
    """A bound under which a class never matters: `share` times the `rank`-th largest probability, in every model.

    Attributes:
        rank: 1 or 2; 0 where every positive probability matters.
        share: At most 1.
    """

    rank: int
    share: float


def scale_of(rule: GatingRule) -> Scale:
    """Return the factors and divisors of a rule."""
    if rule.combine == "last":
        ones = np.ones(len(rule.weights), np.float32)
        return Scale(ones, ones)
    sums = [np.float32(sum(rule.weights[: k + 1])) for k in range(len(rule.weights))]
    return Scale(np.array(rule.weights).astype(np.float32), np.array(sums, np.float32))


def cutoff_of(rule: GatingRule) -> ClassCutoff:
    """Return which classes a rule can do without.

    A stage's weight is at least `share` of any prefix's. The rank-th largest of the mean is therefore at least `share`
    times the rank-th largest of each member, and a class that is below that in every member is below it in their mean.
    The entropy and `log_mean` need every positive probability.
    """
    if rule.combine == "log_mean" or rule.confidence not in _RANK:
        return ClassCutoff(0, 0.0)
    share = 1.0 if rule.combine == "last" else min(rule.weights) / sum(rule.weights)
    return ClassCutoff(_RANK[rule.confidence], _SLACK * share)


def geometric_weights(ratio: float, stages: int) -> tuple[float, ...]:
    """Return the weights ratio^(k-1) of stages k = 1..`stages`; ratio 1 is the paper's rule."""
    return tuple(float(ratio) ** k for k in range(stages))


def rule_grid(
    ratios: Sequence[float], confidences: Sequence[str], combines: Sequence[str] = ("mean",), stages: int = 4
) -> list[GatingRule]:
    """Return every combination; `last` comes once for each confidence, as it has no use for weights."""
    grid = [
        GatingRule(geometric_weights(1.0 if combine == "last" else ratio, stages), confidence, combine)
        for combine in combines
        for ratio in ratios
        for confidence in confidences
    ]
    return list(dict.fromkeys(grid))
