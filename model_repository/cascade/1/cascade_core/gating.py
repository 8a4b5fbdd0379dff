"""The gating rule, written once: the served model, the search and the tests all run this file.

After stage k the answer is the weighted mean of the predictions so far. Its confidence is compared with the stage's
threshold: confident images exit, the others go on. ("Wisdom of Committees", Wang et al., ICLR 2022.)

Predictions are rounded to float16 first, as they are stored for the search, so that the server decides on exactly the
numbers that the thresholds were chosen on. Numpy and the standard library only, for Triton's stock container.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Rows = npt.NDArray[np.intp]
Probabilities = npt.NDArray[np.floating[Any]]  # [N, C], of one stage


def max_probability(mean: Floats) -> Floats:
    """Return the largest probability of each row, [N, C] to [N]."""
    return np.asarray(mean.max(axis=1))


def margin(mean: Floats) -> Floats:
    """Return the largest minus the second largest probability of each row, [N, C] to [N]."""
    if mean.shape[1] == 1:
        return mean[:, 0]
    top_two = np.partition(mean, -2, axis=1)[:, -2:]
    return np.asarray(top_two[:, 1] - top_two[:, 0])


def certainty(mean: Floats) -> Floats:
    """Return 1 - H/log(C) of each row, where H is its entropy, [N, C] to [N]; summed in float64 and rounded once."""
    classes = mean.shape[1]
    if classes == 1:
        return np.ones(len(mean), np.float32)
    exact = mean.astype(np.float64)
    entropy = -(exact * np.log(np.where(exact > 0, exact, 1))).sum(axis=1)
    return np.asarray(np.maximum(1 - entropy / np.log(classes), 0), np.float32)


CONFIDENCES: dict[str, Callable[[Floats], Floats]] = {
    "max_probability": max_probability,
    "margin": margin,
    "entropy": certainty,
}

# mean: of the probabilities, the paper's rule; log_mean: their normalised geometric mean, the mean of logarithms;
# last: the stage's own prediction, as in Streeter's cascades.
COMBINES = ("mean", "log_mean", "last")

UNREACHABLE = math.inf  # a threshold that no confidence reaches: every image goes on

EPSILON = 2.0**-24  # stands in for a probability of zero in log_mean: float16's smallest positive number


def _logarithms() -> Floats:
    """Return log(max(p, EPSILON)) FP32 [65536], by the bits of a float16 p: equal inputs, equal bits."""
    positive = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    table = np.full(65536, np.log(EPSILON), np.float32)
    table[: len(positive)] = np.log(np.maximum(positive, EPSILON))
    return table


LOGARITHMS = _logarithms()


@dataclass(frozen=True)
class GatingRule:
    """How the predictions of K stages are combined, and which confidence is compared with an image's thresholds.

    Attributes:
        weights: Of each stage in the mean, positive.
        confidence: A key of `CONFIDENCES`.
        combine: One of `COMBINES`.

    Raises:
        ValueError: a name is unknown, or a weight is not a positive number.
    """

    weights: tuple[float, ...]
    confidence: str = "max_probability"
    combine: str = "mean"

    def __post_init__(self) -> None:
        if self.confidence not in CONFIDENCES:
            raise ValueError(f"confidence {self.confidence!r} is not one of {', '.join(CONFIDENCES)}")
        if self.combine not in COMBINES:
            raise ValueError(f"combine {self.combine!r} is not one of {', '.join(COMBINES)}")
        if not self.weights or not all(0 < weight < math.inf for weight in self.weights):
            raise ValueError(f"weights must be positive numbers, one a stage; got {self.weights}")

    def first(self, stages: int) -> GatingRule:
        """Return the rule of the first stages alone."""
        return replace(self, weights=self.weights[:stages])


@dataclass(frozen=True)
class Outcome:
    """The cascade's answers for N images.

    Attributes:
        class_id: INT32 [N]; -1 where a stage failed.
        confidence: FP32 [N], at the exit stage.
        exit_stage: INT32 [N]; 1 is the first stage, 0 means that the image has not left.
        probabilities: FP32 [N, C], the mean prediction at the exit stage.
        stage_confidence: FP32 [N, K], NaN where a stage did not run.
    """

    class_id: Ints
    confidence: Floats
    exit_stage: Ints
    probabilities: Floats
    stage_confidence: Floats


def stop_at(thresholds: Sequence[float], last_stage: int) -> Floats:
    """Return all K thresholds, FP32 [K], from the first K-1: -inf from `last_stage` on, where every image exits."""
    row = np.array([*thresholds, -np.inf], np.float32)
    row[last_stage - 1 :] = -np.inf
    return row


def accumulate(total: Floats | None, predictions: Probabilities, weight: float, combine: str = "mean") -> Floats:
    """Return the weighted sum FP32 [N, C] with a stage's predictions [N, C] added; `total` is None at stage 1."""
    rounded = predictions.astype(np.float16)
    if combine == "last":
        return rounded.astype(np.float32)
    terms = LOGARITHMS[rounded.view(np.uint16)] if combine == "log_mean" else rounded.astype(np.float32)
    weighted = terms * np.float32(weight)
    return weighted if total is None else total + weighted


def mean_prediction(total: Floats, weights: Sequence[float], combine: str = "mean") -> Floats:
    """Return the combined prediction FP32 [N, C] of the stages whose weighted sum is `total`."""
    if combine == "last":
        return total
    mean = total / np.float32(sum(weights))
    if combine == "mean":
        return mean
    exact = mean.astype(np.float64)
    shares = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


class GateState:
    """The gate's state for N images on their way through the stages; the caller supplies each stage's predictions.

    Attributes:
        open_rows: The rows of the images that have not left, ascending.
    """

    def __init__(self, rule: GatingRule, thresholds: Floats) -> None:
        """Start before stage 1.

        Args:
            rule: The rule, of K stages.
            thresholds: FP32 [N, K], one row per image; -inf at the stage where it exits at the latest.
        """
        count = len(thresholds)
        self._rule = rule
        self._thresholds = thresholds
        self._stage = 0
        self._total: Floats | None = None
        self._answers: Floats | None = None
        self._exit_stage = np.zeros(count, np.int32)
        self._stage_confidence = np.full((count, len(rule.weights)), np.nan, np.float32)
        self.open_rows: Rows = np.arange(count)

    def advance(self, predictions: Probabilities) -> None:
        """Apply the next stage's predictions [len(open_rows), C]; images that are confident enough exit."""
        rule = self._rule
        self._total = accumulate(self._total, predictions, rule.weights[self._stage], rule.combine)
        self._stage += 1
        mean = mean_prediction(self._total, rule.weights[: self._stage], rule.combine)
        confidence = CONFIDENCES[rule.confidence](mean)
        exits = confidence >= self._thresholds[self.open_rows, self._stage - 1]
        self._stage_confidence[self.open_rows, self._stage - 1] = confidence
        self._record_exits(self.open_rows[exits], mean[exits])
        self._keep(~exits)

    def drop(self, rows: Rows) -> None:
        """Take out images, by row, that a stage failed; they get no answer here."""
        self._keep(~np.isin(self.open_rows, rows))

    def outcome(self) -> Outcome:
        """Return the answers so far; of classes that tie, the first is the answer."""
        rows = np.arange(len(self._exit_stage))
        answers = np.zeros((len(rows), 1), np.float32) if self._answers is None else self._answers
        has_left = self._exit_stage > 0
        class_id = np.where(has_left, answers.argmax(axis=1), -1).astype(np.int32)
        confidence = np.where(has_left, self._stage_confidence[rows, self._exit_stage - 1], np.nan).astype(np.float32)
        return Outcome(class_id, confidence, self._exit_stage, answers, self._stage_confidence)

    def _record_exits(self, rows: Rows, mean: Floats) -> None:
        if self._answers is None:
            self._answers = np.zeros((len(self._exit_stage), mean.shape[1]), np.float32)
        self._answers[rows] = mean
        self._exit_stage[rows] = self._stage

    def _keep(self, mask: npt.NDArray[np.bool_]) -> None:
        self.open_rows = self.open_rows[mask]
        if self._total is not None:
            self._total = self._total[mask]


def replay(
    rule: GatingRule, thresholds: Sequence[float], predictions: Sequence[Probabilities], last_stage: int | None = None
) -> Outcome:
    """Run the cascade on predictions made before.

    Args:
        rule: The rule, of K stages.
        thresholds: Those of the first K-1 stages.
        predictions: K arrays [N, C], one per stage.
        last_stage: The stage at which every image exits at the latest; K by default.
    """
    row = stop_at(thresholds, last_stage or len(rule.weights))
    gate = GateState(rule, np.broadcast_to(row, (len(predictions[0]), len(row))))
    for stage_predictions in predictions:
        gate.advance(stage_predictions[gate.open_rows])
    return gate.outcome()
