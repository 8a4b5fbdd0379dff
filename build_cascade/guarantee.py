"""Choose with a guarantee: the cheapest cascade that is certified on images which the choice has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from build_cascade.certify import Flags, accuracy_p_value, images_needed, walk
from build_cascade.predictions import Predictions
from build_cascade.search import Candidate, Committee, stage_statistics

STEP = 0.97  # each candidate of the walk costs at most this share of the one before it


@dataclass(frozen=True)
class Promise:
    """State what is to hold on new images of the same kind.

    Attributes:
        tolerance: How much less accurate than the reference the cascade may be, a share of images.
        risk: The probability with which the promise may be broken.
    """

    tolerance: float
    risk: float


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
    reference_right = right_answers(certifying, reference)
    found = walk(
        candidates,
        lambda c: accuracy_p_value(right_answers(certifying, c), reference_right, promise.tolerance, promise.risk),
        promise.risk,
    )
    tested = len(found.p_values)
    if found.candidate is None:
        return Guaranteed(reference, _refusal(candidates, reference_right, certifying, promise), tested)
    statement = (
        f"accuracy on new images of the same kind is at most {promise.tolerance:.2%} below that of "
        f"{reference.committee.stages[0]}, at a risk of {promise.risk:.0%} (Learn-then-Test on "
        f"{len(reference_right)} images)"
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


def right_answers(predictions: Predictions, candidate: Candidate) -> Flags:
    """Return where a cascade is right, BOOL [N]."""
    stages = stage_statistics(predictions, candidate.committee)
    still_in = np.ones(len(predictions.class_ids), np.bool_)
    right = np.zeros_like(still_in)
    for stage, threshold in zip(stages, (*candidate.thresholds, -np.inf), strict=True):
        exits = still_in & (stage.confidence >= np.float32(threshold))
        right |= exits & stage.right
        still_in &= ~exits
    return right


def split(predictions: Predictions, share: float, seed: int) -> tuple[Predictions, Predictions]:
    """Split images at random: a share to choose on, the rest to certify on."""
    order = np.random.default_rng(seed).permutation(len(predictions.class_ids))
    cut = round(share * len(order))
    return predictions.rows(np.sort(order[:cut])), predictions.rows(np.sort(order[cut:]))


def single(predictions: Predictions, costs: Mapping[str, float], name: str) -> Candidate:
    """Return a backbone alone as a candidate, counted on some predictions."""
    alone = Candidate(Committee.of([name]), (), 0, costs[name])
    return Candidate(alone.committee, (), int(right_answers(predictions, alone).sum()), costs[name])


def _refusal(candidates: Sequence[Candidate], reference_right: Flags, certifying: Predictions, promise: Promise) -> str:
    head = "none: no cascade could be certified; the reference backbone is used alone"
    if not candidates:
        return f"{head} (no cascade was cheaper)"
    right = right_answers(certifying, candidates[0])
    lost, won = float((reference_right & ~right).mean()), float((right & ~reference_right).mean())
    needed = images_needed(lost, won, promise.tolerance, promise.risk)
    hint = (
        f"the safest was {lost - won:.2%} less accurate there"
        if needed is None
        else f"about {needed} images would be needed"
    )
    return f"{head} ({hint}, {len(right)} were there to certify on)"
