"""How often a stage errs on its most confident images: risk against coverage (El-Yaniv and Wiener, JMLR 11, 2010)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from build_cascade.committee import Committee, stage_statistics
from build_cascade.exhaustive.scoring import PrefixStatistics
from build_cascade.predictions import Predictions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The risk and coverage of one stage, with those before it, at every confidence.

    Attributes:
        name: Of the stage's backbone.
        coverage: float64 [P], shares of all images, ascending to 1; one for each confidence that occurs.
        risk: float64 [P], share of wrong answers among the covered images.
        chosen: (coverage, risk) at the stage's threshold; None for the last stage and where no image exits.
    """

    name: str
    coverage: Floats
    risk: Floats
    chosen: tuple[float, float] | None


def curves(predictions: Predictions, committee: Committee, thresholds: Sequence[float]) -> list[Curve]:
    """Return one curve for each stage.

    Args:
        predictions: Of at least the committee's backbones.
        committee: The stages.
        thresholds: Of all stages but the last.
    """
    statistics = stage_statistics(predictions, committee)
    return [
        Curve(name, *risk_coverage(stage), None if threshold is None else _at(stage, threshold))
        for name, stage, threshold in zip(committee.stages, statistics, (*thresholds, None), strict=True)
    ]


def risk_coverage(stage: PrefixStatistics) -> tuple[Floats, Floats]:
    """Return (coverage, risk); images of equal confidence are covered together, as a threshold would."""
    order = np.argsort(-stage.confidence, kind="stable")
    confidence, wrong = stage.confidence[order], ~stage.right[order]
    ends = np.append(np.flatnonzero(np.diff(confidence)), len(order) - 1)
    covered = ends + 1
    return covered / len(order), np.cumsum(wrong)[ends] / covered


def _at(stage: PrefixStatistics, threshold: float) -> tuple[float, float] | None:
    covered = stage.confidence >= np.float32(threshold)
    if not covered.any():
        return None
    return float(covered.mean()), float((~stage.right[covered]).mean())
