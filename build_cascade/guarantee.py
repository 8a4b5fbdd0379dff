"""Choose with a guarantee: the cheapest cascade that is certified on images which the choice has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from build_cascade.certify import Flags, accuracy_p_value, consistency_p_value, images_needed, walk
from build_cascade.committee import Candidate, Committee, stage_statistics
from build_cascade.exhaustive.frontier import exit_places
from build_cascade.predictions import Predictions

ACCURACY, CONSISTENCY = "accuracy", "consistency"
Answers = npt.NDArray[np.integer[Any]]
STEP = 0.97  # each candidate of the walk costs at most this share of the one before it


@dataclass(frozen=True)
class Promise:
    """State what is to hold on new images of the same kind.

    Attributes:
        tolerance: How much less accurate than the reference the cascade may be, a share of images; or, for
            consistency, the share on which its answer may differ from the reference's.
        risk: The probability with which the promise may be broken.
        kind: `accuracy` or `consistency`; the latter needs no labels on the certifying images.
    """

    tolerance: float
    risk: float
    kind: str = ACCURACY

    def p_value(self, found: Answers, reference: Answers, class_ids: Answers) -> float:
        """Return the p-value of "the promise is broken", from answers INT32 [N] and true classes."""
        if self.kind == CONSISTENCY:
            return consistency_p_value(found != reference, self.tolerance)
        return accuracy_p_value(found == class_ids, reference == class_ids, self.tolerance, self.risk)

    def rates(self, found: Answers, reference: Answers, class_ids: Answers) -> tuple[float, float]:
        """Return the shares of images that count against the cascade and for it."""
        if self.kind == CONSISTENCY:
            return float((found != reference).mean()), 0.0
        right, reference_right = found == class_ids, reference == class_ids
        return float((reference_right & ~right).mean()), float((right & ~reference_right).mean())

    def in_words(self, reference: str) -> str:
        """Say what is promised."""
        if self.kind == CONSISTENCY:
            return f"at most {self.tolerance:.2%} of answers on new images of the same kind differ from {reference}'s"
        return f"accuracy on new images of the same kind is at most {self.tolerance:.2%} below that of {reference}"


@dataclass(frozen=True)
class Guaranteed:
    """Hold the certified cascade, or the reference backbone where none could be certified.

    Attributes:
        candidate: The choice.
        statement: What is guaranteed, in words; or why nothing is.
        tested: How many candidates were tested.
    """

    candidate: Candidate
    statement: str
    tested: int


def choose_certified(
    frontier: Sequence[Candidate],
    reference: Candidate,
    certifying: Predictions,
    promise: Promise,
) -> Guaranteed:
    """Walk from the safest cascade to the cheapest and keep the last one that is certified.

    Args:
        frontier: Found on the choosing images, by ascending cost and accuracy.
        reference: A single backbone, counted on the choosing images.
        certifying: Predictions on images that neither the search nor the order of the walk has seen.
        promise: What is to hold.
    """
    candidates = safest_first(frontier, reference)
    expected, class_ids = answers(certifying, reference), certifying.class_ids
    found = walk(candidates, lambda c: promise.p_value(answers(certifying, c), expected, class_ids), promise.risk)
    tested = len(found.p_values)
    if found.candidate is None:
        return Guaranteed(reference, _refusal(candidates, expected, certifying, promise), tested)
    statement = (
        f"{promise.in_words(reference.committee.stages[0])}, at a risk of {promise.risk:.0%} (Learn-then-Test on "
        f"{len(class_ids)} images)"
    )
    return Guaranteed(found.candidate, statement, tested)


def safest_first(frontier: Sequence[Candidate], reference: Candidate) -> list[Candidate]:
    """Return the cascades that are cheaper than the reference, the most accurate first, thinned by cost."""
    chosen: list[Candidate] = []
    bound = reference.mean_cost
    for candidate in reversed(frontier):
        if candidate.mean_cost < bound:
            chosen.append(candidate)
            bound = candidate.mean_cost * STEP
    return chosen


def answers(predictions: Predictions, candidate: Candidate) -> Answers:
    """Return the classes that a cascade answers, INT32 [N]."""
    stages = stage_statistics(predictions, candidate.committee)
    left = exit_places(stages, candidate.thresholds)
    return np.asarray(np.stack([stage.predicted for stage in stages])[left, np.arange(len(left))])


def right_answers(predictions: Predictions, candidate: Candidate) -> Flags:
    """Return where a cascade is right, BOOL [N]."""
    return np.asarray(answers(predictions, candidate) == predictions.class_ids)


def split(predictions: Predictions, share: float, seed: int) -> tuple[Predictions, Predictions]:
    """Split images at random: a share to choose on, the rest to certify on."""
    order = np.random.default_rng(seed).permutation(len(predictions.class_ids))
    cut = round(share * len(order))
    return predictions.rows(np.sort(order[:cut])), predictions.rows(np.sort(order[cut:]))


def single(predictions: Predictions, costs: Mapping[str, float], name: str) -> Candidate:
    """Return a backbone alone as a candidate, counted on some predictions."""
    alone = Candidate(Committee.of([name]), (), 0, costs[name])
    return Candidate(alone.committee, (), int(right_answers(predictions, alone).sum()), costs[name])


def _refusal(candidates: Sequence[Candidate], expected: Answers, certifying: Predictions, promise: Promise) -> str:
    head = "none: no cascade could be certified; the reference backbone is used alone"
    if not candidates:
        return f"{head} (no cascade was cheaper)"
    rates = promise.rates(answers(certifying, candidates[0]), expected, certifying.class_ids)
    return f"{head} ({_shortfall(*rates, promise, len(expected))}, {len(expected)} were there to certify on)"


def _shortfall(lost: float, won: float, promise: Promise, images: int) -> str:
    needed = images_needed(lost, won, promise.tolerance, promise.risk)
    if needed is None:
        return f"the safest cascade lost {lost - won:.2%} there"
    # An estimate, which the exact test may have refused already.
    return f"about {needed} images would be needed" if needed > images else "a few more images would be needed"
