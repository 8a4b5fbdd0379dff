"""How predictions are combined and what confidence is: one point of the grid that the search tries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascade_core.gating import COMBINES, CONFIDENCES

_RANK = {"max_probability": 1, "margin": 2}
_SLACK = 0.99  # far more than float32 rounding of a mean of four can take


@dataclass(frozen=True)
class Setting:
    """Say how stages are weighted and combined, and what confidence is.

    Attributes:
        weights: Of the stages, the first stage first; at least as many as there are stages.
        confidence: A key of `cascade_core.gating.CONFIDENCES`.
        combine: One of `cascade_core.gating.COMBINES`.

    Raises:
        ValueError: If a name is unknown or a weight is not positive.
    """

    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    confidence: str = "max_probability"
    combine: str = "mean"

    def __post_init__(self) -> None:
        if self.confidence not in CONFIDENCES:
            raise ValueError(f"confidence {self.confidence!r} is not one of {', '.join(CONFIDENCES)}")
        if self.combine not in COMBINES:
            raise ValueError(f"combine {self.combine!r} is not one of {', '.join(COMBINES)}")
        if not self.weights or not all(0 < weight < math.inf for weight in self.weights):
            raise ValueError(f"weights must be positive numbers, one a stage; got {self.weights}")

    def divisors(self) -> npt.NDArray[np.float32]:
        """Return what each prefix's weighted sum is divided by, float32 [K], as gating.py computes it."""
        if self.combine == "last":
            return np.ones(len(self.weights), np.float32)
        return np.array([np.float32(sum(self.weights[: k + 1])) for k in range(len(self.weights))], np.float32)

    def factors(self) -> npt.NDArray[np.float32]:
        """Return what each stage's prediction is multiplied by, float32 [K]."""
        weights = np.ones(len(self.weights)) if self.combine == "last" else np.array(self.weights)
        return weights.astype(np.float32)

    def cut(self) -> tuple[int, float]:
        """Return (rank, share): a class under `share` times the rank-th largest of every model never matters.

        A stage's weight is at least `share` of any prefix's. The rank-th largest of the mean is therefore at
        least `share` times the rank-th largest of each member, and a class that is below that in every member
        is below it in their mean. Rank 0 says that every positive probability matters: the entropy and
        `log_mean` need them.
        """
        if self.combine == "log_mean" or self.confidence not in _RANK:
            return 0, 0.0
        share = 1.0 if self.combine == "last" else min(self.weights) / sum(self.weights)
        return _RANK[self.confidence], _SLACK * share


def geometric_weights(ratio: float, stages: int) -> tuple[float, ...]:
    """Return the weights ratio^(k-1) of stages k = 1..`stages`; ratio 1 is the paper's rule."""
    return tuple(float(ratio) ** k for k in range(stages))


def settings_grid(
    ratios: Sequence[float], confidences: Sequence[str], combines: Sequence[str] = ("mean",), stages: int = 4
) -> list[Setting]:
    """Return every combination; `last` comes once for each confidence, as weights say nothing there."""
    grid = [
        Setting(geometric_weights(1.0 if combine == "last" else ratio, stages), confidence, combine)
        for combine in combines
        for ratio in ratios
        for confidence in confidences
    ]
    return list(dict.fromkeys(grid))
