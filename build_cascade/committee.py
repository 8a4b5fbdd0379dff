"""Committees by the names of their backbones, and cascades of them as candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from build_cascade.exhaustive.frontier import exit_places
from build_cascade.exhaustive.rules import geometric_weights
from build_cascade.exhaustive.scoring import PrefixStatistics, prefix_statistics
from build_cascade.exhaustive.sources import Problem
from build_cascade.predictions import Predictions
from cascade_core.gating import UNREACHABLE, GatingRule

Answers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Committee:
    """Backbones in the order in which they run, and the rule that combines and gates them.

    Attributes:
        stages: Backbone names.
        rule: With one weight a stage.

    Raises:
        ValueError: there are more or fewer weights than stages.
    """

    stages: tuple[str, ...]
    rule: GatingRule

    def __post_init__(self) -> None:
        if len(self.stages) != len(self.rule.weights):
            raise ValueError(f"{len(self.rule.weights)} weights for {len(self.stages)} stages")

    @classmethod
    def of(
        cls, stages: Sequence[str], confidence: str = "max_probability", ratio: float = 1.0, combine: str = "mean"
    ) -> Self:
        """Return a committee whose stage k has the weight ratio^(k-1)."""
        return cls(tuple(stages), GatingRule(geometric_weights(ratio, len(stages)), confidence, combine))

    @property
    def ensemble_thresholds(self) -> tuple[float, ...]:
        """Return the thresholds that make it an ensemble: no confidence reaches them, every image runs all stages."""
        return (UNREACHABLE,) * (len(self.stages) - 1)


@dataclass(frozen=True)
class Candidate:
    """A cascade, and what it did on the images that it was searched on.

    Attributes:
        committee: Its stages.
        thresholds: Of all stages but the last; infinite where no image exits.
        correct: Right answers.
        mean_cost: Mean cost of an image.
    """

    committee: Committee
    thresholds: tuple[float, ...]
    correct: int
    mean_cost: float


def single_candidate(predictions: Predictions, costs: Mapping[str, float], name: str) -> Candidate:
    """Return a backbone alone as a candidate, counted on some predictions."""
    alone = Candidate(Committee.of([name]), (), 0, costs[name])
    return replace(alone, correct=int(right_answers(predictions, alone).sum()))


def answers(predictions: Predictions, candidate: Candidate) -> Answers:
    """Return the classes that a cascade answers, INT32 [N]."""
    stages = stage_statistics(predictions, candidate.committee)
    left = exit_places(stages, candidate.thresholds)
    return np.asarray(np.stack([stage.predicted for stage in stages])[left, np.arange(len(left))])


def with_answers_of(predictions: Predictions, reference: str) -> Predictions:
    """Return predictions on all images in which a backbone's answers stand for the true classes.

    What is then counted as right is consistent with that backbone; no labels are needed.
    """
    alone = Candidate(Committee.of([reference]), (), 0, 0.0)
    unused = np.zeros_like(predictions.class_ids)
    found = answers(replace(predictions, class_ids=unused), alone)
    return replace(predictions, class_ids=found.astype(np.int64), reference=reference)


def most_agreeing(predictions: Predictions, costs: Mapping[str, float]) -> str:
    """Return the backbone whose answers agree most with the mean prediction of all; of equals, the cheapest.

    Needs no labels. Errors of independently trained networks differ, so their mean is mostly right where most of them
    are, and who agrees with it is mostly the most accurate.
    """
    cheapest_first = sorted(predictions.names, key=lambda name: costs[name])
    total = np.zeros(predictions.probabilities[cheapest_first[0]].shape, np.float32)
    for name in cheapest_first:
        total += predictions.probabilities[name]
    answered = total.argmax(axis=1)
    return max(cheapest_first, key=lambda name: int((predictions.probabilities[name].argmax(axis=1) == answered).sum()))


def right_answers(predictions: Predictions, candidate: Candidate) -> npt.NDArray[np.bool_]:
    """Return where a cascade is right, BOOL [N]."""
    return np.asarray(answers(predictions, candidate) == predictions.class_ids)


def as_problem(predictions: Predictions, costs: Mapping[str, float]) -> Problem:
    """Return predictions and costs as the exhaustive search takes them."""
    values = np.array([costs[name] for name in predictions.names], np.float64)
    return Problem(predictions.names, values, predictions.source(), predictions.class_ids.astype(np.int32))


def stage_statistics(predictions: Predictions, committee: Committee) -> list[PrefixStatistics]:
    """Return the answer and confidence after each stage, on every image; equal to the gate's numbers to the bit."""
    any_costs = dict.fromkeys(committee.stages, 1.0)
    problem = as_problem(predictions.only(committee.stages), any_costs)
    return prefix_statistics(problem, range(len(committee.stages)), committee.rule)
