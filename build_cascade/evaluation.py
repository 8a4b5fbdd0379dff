"""The results of a cascade on images: accuracy or agreement with its interval, exit rates, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from build_cascade.committee import Committee
from build_cascade.predictions import Predictions
from cascade_core.gating import Outcome, replay

CONFIDENCE_LEVEL = 0.95
ACCURACY, AGREEMENT = "accuracy", "agreement"


@dataclass(frozen=True)
class Evaluation:
    """The results of a cascade on N images; costs in the unit in which they were given.

    Attributes:
        images: N.
        correct: How many of them were answered right; without labels, how many as by the reference backbone.
        exit_rates: Share of images that exited at each stage.
        mean_cost: Σ cost(k)·P(reached k).
        worst_cost: Σ cost(k).
        reference: The backbone whose answers stood for the true classes; None where these were labels.
    """

    images: int
    correct: int
    exit_rates: tuple[float, ...]
    mean_cost: float
    worst_cost: float
    reference: str | None = None

    @property
    def measure(self) -> str:
        """What the share of correct answers is: accuracy, or agreement with the reference."""
        return ACCURACY if self.reference is None else AGREEMENT

    @property
    def accuracy(self) -> float:
        """The share of images that were right."""
        return self.correct / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.images)

    def mean_cost_by(self, costs: Mapping[str, float], stages: Sequence[str]) -> float:
        """Return the mean cost by other costs of the stages: Σ cost(k)·P(reached k)."""
        reached = np.cumsum(self.exit_rates[::-1])[::-1]
        return float(np.dot([costs[name] for name in stages], reached))

    def as_dict(self) -> dict[str, object]:
        """Return what cascade.json keeps as evidence."""
        return {
            "images": self.images,
            self.measure: self.accuracy,
            f"{self.measure}_interval_95": list(self.interval),
            "exit_rates": list(self.exit_rates),
            "mean_cost": self.mean_cost,
            "worst_cost": self.worst_cost,
        }


def evaluate(
    predictions: Predictions, costs: Mapping[str, float], committee: Committee, thresholds: Sequence[float]
) -> Evaluation:
    """Replay a cascade on predictions; an ensemble is one whose thresholds are all infinite.

    Args:
        predictions: Of at least the committee's backbones.
        costs: Cost of one image in each backbone.
        committee: The stages.
        thresholds: Of all stages but the last.
    """
    outcome = outcome_of(predictions, committee, thresholds)
    stage_costs = [costs[name] for name in committee.stages]
    return Evaluation(
        images=len(predictions.class_ids),
        correct=int((outcome.class_id == predictions.class_ids).sum()),
        exit_rates=_exit_rates(outcome, len(stage_costs)),
        mean_cost=float(np.cumsum(stage_costs)[outcome.exit_stage - 1].mean()),
        worst_cost=float(sum(stage_costs)),
        reference=predictions.reference,
    )


def outcome_of(predictions: Predictions, committee: Committee, thresholds: Sequence[float]) -> Outcome:
    """Replay a cascade on predictions by the served gate."""
    return replay(committee.rule, thresholds, [predictions.probabilities[name] for name in committee.stages])


def wilson_interval(successes: int, trials: int, level: float = CONFIDENCE_LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    found = binomtest(successes, trials).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def _exit_rates(outcome: Outcome, stages: int) -> tuple[float, ...]:
    counts = np.bincount(outcome.exit_stage, minlength=stages + 1)[1:]
    return tuple(float(count) for count in counts / counts.sum())
