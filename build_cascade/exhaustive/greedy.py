"""Streeter's greedy algorithm: a cascade from a pool of hundreds, stage by stage.

Source: Streeter, "Approximation Algorithms for Cascading Prediction Models", ICML 2018, arXiv 1802.07697.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.frontier import ScoredCascade, score_cascade
from build_cascade.exhaustive.grid import between
from build_cascade.exhaustive.scoring import prefix_statistics
from build_cascade.exhaustive.sources import Problem
from cascade_core.gating import GatingRule

Rows = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Stage:
    """A model with the rows that it would answer, the most confident first, and its threshold."""

    model: int
    rows: Rows
    threshold: float


def greedy(
    problem: Problem,
    reference: int,
    alpha: float = 1.0,
    confidence: str = "max_probability",
    max_stages: int | None = None,
) -> ScoredCascade:
    """Build a cascade that is as accurate as `alpha` times the reference model.

    Each round takes, for every model not yet used, the largest set of its most confident remaining images on
    which it is right at least `alpha` times as often as the reference, and appends the model with the most such images
    for its cost. An image's answer is that of the one model where it exits: nothing is averaged (`combine`
    is `last`).

    The constraint holds on the images of each stage, hence on all of them. The mean cost is at most 4 times
    that of the best cascade whose stages all satisfy the constraint, on these images (Streeter 2018, by
    reduction from min-sum set cover); nothing is guaranteed for new ones. A bound on the stages voids that factor: the
    last stage allowed is the one of the lowest cost that can answer all images that remain.

    Args:
        problem: Predictions of M models on N images.
        reference: The model to compare with; it satisfies the constraint everywhere, so the search ends.
        alpha: In (0, 1].
        confidence: What ranks the images; a key of `cascade_core.gating.CONFIDENCES`.
        max_stages: The most stages; None for no bound.

    Raises:
        ValueError: alpha or the reference is out of range.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must lie in (0, 1], not {alpha}: above 1 not even the reference would satisfy it")
    if not 0 <= reference < len(problem.names):
        raise ValueError(f"the reference must be one of the pool's {len(problem.names)} models, not {reference}")
    stages = _choose_stages(problem, reference, alpha, confidence, max_stages or len(problem.names))
    committee = tuple(stage.model for stage in stages)
    rule = GatingRule((1.0,) * len(stages), confidence, "last")
    return score_cascade(problem, committee, rule, [stage.threshold for stage in stages[:-1]])


def _choose_stages(problem: Problem, reference: int, alpha: float, confidence: str, max_stages: int) -> list[_Stage]:
    """Run the rounds; each model is sorted once, as dropping rows keeps the order."""
    rule = GatingRule((1.0,), confidence, "last")
    singles = [prefix_statistics(problem, (model,), rule)[0] for model in range(len(problem.names))]
    orders = {model: np.argsort(-single.confidence, kind="stable") for model, single in enumerate(singles)}
    remaining = np.ones(problem.images, np.bool_)
    stages: list[_Stage] = []
    while remaining.any():
        for model in orders:
            orders[model] = orders[model][remaining[orders[model]]]
        candidates = [
            _largest_prefix(
                model, rows, singles[model].confidence, singles[model].right, singles[reference].right, alpha
            )
            for model, rows in orders.items()
        ]
        if len(stages) == max_stages - 1:
            candidates = [stage for stage in candidates if len(stage.rows) == remaining.sum()]
        best = max(
            candidates,
            key=lambda stage: (len(stage.rows) / problem.costs[stage.model], -problem.costs[stage.model]),
        )
        stages.append(best)
        remaining[best.rows] = False
        del orders[best.model]
    return stages


def _largest_prefix(
    model: int, rows: Rows, confidence: npt.NDArray[np.float32], right: Bools, reference: Bools, alpha: float
) -> _Stage:
    """Return the longest prefix of the ordered rows on which the model satisfies the constraint; it may be empty.

    Equal confidences are never separated: a threshold could not separate them either.
    """
    scores = confidence[rows]
    ends = np.append(scores[1:] < scores[:-1], True)
    satisfied = np.cumsum(right[rows]) >= alpha * np.cumsum(reference[rows])
    places = np.flatnonzero(ends & satisfied)
    if not len(places):
        return _Stage(model, rows[:0], math.inf)
    count = int(places[-1]) + 1
    threshold = -math.inf if count == len(rows) else float(between(scores[count], scores[count - 1]))
    return _Stage(model, rows[:count], threshold)
