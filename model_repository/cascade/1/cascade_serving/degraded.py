"""Answers for images that a stage failed: the combined prediction of the stages that did answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cascade_core.gating import UNREACHABLE, GatingRule, Outcome, replay


def answer_from_remaining_stages(
    rule: GatingRule, outcome: Outcome, predictions: npt.NDArray[np.float32], failed: Sequence[int]
) -> Outcome:
    """Return the outcome with answers for the images that a stage failed.

    In a cascade that is the answer of the stage before the failed one. The exit stage is the last that answered.

    Args:
        rule: The rule of all K stages.
        outcome: The outcome without those images.
        predictions: FP32 [K, n, C], NaN where a stage has no answer.
        failed: The rows of the images, each with an answer of at least one stage.
    """
    whole = _copy(outcome, predictions.shape[2])
    rows_by_stages: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row in failed:
        rows_by_stages[tuple(np.flatnonzero(~np.isnan(predictions[:, row, 0])).tolist())].append(row)
    for stages, rows in rows_by_stages.items():
        remaining = replace(rule, weights=tuple(rule.weights[stage] for stage in stages))
        part = replay(remaining, [UNREACHABLE] * (len(stages) - 1), [predictions[stage, rows] for stage in stages])
        whole.class_id[rows] = part.class_id
        whole.confidence[rows] = part.confidence
        whole.exit_stage[rows] = stages[-1] + 1
        whole.probabilities[rows] = part.probabilities
        whole.stage_confidence[np.ix_(rows, stages)] = part.stage_confidence
    return whole


def _copy(outcome: Outcome, class_count: int) -> Outcome:
    probabilities = np.zeros((len(outcome.class_id), class_count), np.float32)
    probabilities[:] = outcome.probabilities  # which has one column if no image has left
    return Outcome(
        outcome.class_id.copy(),
        outcome.confidence.copy(),
        outcome.exit_stage.copy(),
        probabilities,
        outcome.stage_confidence.copy(),
    )
