"""Select with a guarantee: the cheapest cascade that is certified on images which the search has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from build_cascade.certify import accuracy_p_value, consistency_p_value, fixed_sequence_test, images_needed
from build_cascade.committee import Answers, Candidate, answers
from build_cascade.errors import GoalError
from build_cascade.evaluator import Evaluator
from build_cascade.goal import BEST, parse_share
from build_cascade.predictions import Predictions

ACCURACY, CONSISTENCY = "accuracy", "consistency"
STEP = 0.97  # each candidate of the sequence costs at most this share of the one before it


@dataclass(frozen=True)
class Guarantee:
    """What is to hold on new images of the same kind.

    Attributes:
        tolerance: How much less accurate than the reference the cascade may be, a share of images; or, for
            consistency, the share on which its answer may differ from the reference's.
        risk: The probability with which the guarantee may be broken.
        kind: `accuracy` or `consistency`; the latter needs no labels on the certifying images.

    Raises:
        GoalError: a number is out of range, or there is no such kind.
    """

    tolerance: float
    risk: float
    kind: str = ACCURACY

    def __post_init__(self) -> None:
        if not (0 < self.risk < 1 and self.tolerance > 0):
            raise GoalError("a guarantee needs --risk between 0 and 1 and a --tolerance above 0, such as 0.005")
        if self.kind not in {ACCURACY, CONSISTENCY}:
            raise GoalError(f"--guarantee is {ACCURACY} or {CONSISTENCY}, not {self.kind!r}")

    def p_value(self, found: Answers, reference: Answers, class_ids: Answers) -> float:
        """Return the p-value of "the guarantee is broken", from answers INT32 [N] and true classes."""
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
        """Return what is guaranteed."""
        if self.kind == CONSISTENCY:
            return f"at most {self.tolerance:.2%} of answers on new images of the same kind differ from {reference}'s"
        return f"accuracy on new images of the same kind is at most {self.tolerance:.2%} below that of {reference}"


def parse_guarantee(
    tolerance: float,
    risk: float | None,
    kind: str | None,
    accuracy_at_least: str | None,
    mean_cost: float | None,
    labelled: bool = True,
) -> Guarantee | None:
    """Return the guarantee that the options of a search name, None if they name none.

    Args:
        tolerance: See `Guarantee`.
        risk: See `Guarantee`; None for no guarantee.
        kind: `accuracy` or `consistency`; None for accuracy where there are labels to judge by, else consistency.
        accuracy_at_least: Must not be a share of images.
        mean_cost: Must be None.
        labelled: Whether calibration is judged by its labels.

    Raises:
        GoalError: a number is out of range, or an option does not go with a guarantee.
    """
    if risk is None:
        if kind is not None:
            raise GoalError("--guarantee needs --risk, such as 0.05")
        return None
    if kind == ACCURACY and not labelled:
        raise GoalError(
            f"an {ACCURACY} cannot be certified without labels; leave --guarantee out, or give {CONSISTENCY}"
        )
    guarantee = Guarantee(tolerance, risk, kind or (ACCURACY if labelled else CONSISTENCY))
    if mean_cost is not None or parse_share(accuracy_at_least or BEST) is not None:
        raise GoalError(
            "--risk certifies against a backbone; leave --mean-cost-at-most out, and give --accuracy-at-least a "
            f"backbone's name or {BEST!r}"
        )
    return guarantee


def parse_consistency(
    consistent_with: str | None, accuracy_at_least: str | None, kind: str | None, evaluator: Evaluator
) -> str | None:
    """Return the backbone whose answers stand for labels, None for labels or, where none are used, the default one.

    Args:
        consistent_with: The backbone, if it is named.
        accuracy_at_least: A share, `best`, or the name of the reference; None for `best`.
        kind: Of the guarantee; for consistency no labels are used.
        evaluator: Of the pool, judged by labels if there are any.

    Raises:
        GoalError: two backbones are named, or one that the pool does not have.
    """
    named = accuracy_at_least if accuracy_at_least and accuracy_at_least != BEST else None
    if named is not None and parse_share(named) is not None:
        named = None
    if consistent_with is not None and named not in {None, consistent_with}:
        raise GoalError(f"the reference is {named!r} and --consistent-with {consistent_with!r}; leave one of them out")
    by_labels = kind != CONSISTENCY and evaluator.calibration.reference is None
    return consistent_with if by_labels else consistent_with or named


@dataclass(frozen=True)
class CertifiedCandidate:
    """The certified cascade, or the reference backbone where none could be certified.

    Attributes:
        candidate: The cascade.
        statement: What is guaranteed, in words; or why nothing is.
        tested: How many candidates were tested.
    """

    candidate: Candidate
    statement: str
    tested: int


def select_certified(
    frontier: Sequence[Candidate],
    reference: Candidate,
    certifying: Predictions,
    guarantee: Guarantee,
) -> CertifiedCandidate:
    """Test from the safest cascade to the cheapest and return the last one that is certified.

    Args:
        frontier: Found on the choosing images, by ascending cost and accuracy.
        reference: A single backbone, counted on the choosing images.
        certifying: Predictions on images that neither the search nor the order of the tests has seen.
        guarantee: What is to hold.
    """
    candidates = safest_first(frontier, reference)
    expected, class_ids = answers(certifying, reference), certifying.class_ids
    found = fixed_sequence_test(
        candidates, lambda c: guarantee.p_value(answers(certifying, c), expected, class_ids), guarantee.risk
    )
    tested = len(found.p_values)
    if found.candidate is None:
        return CertifiedCandidate(reference, _none_certified(candidates, expected, certifying, guarantee), tested)
    statement = (
        f"{guarantee.in_words(reference.committee.stages[0])}, at a risk of {guarantee.risk:.0%} (Learn-then-Test on "
        f"{len(class_ids)} images)"
    )
    return CertifiedCandidate(found.candidate, statement, tested)


def safest_first(frontier: Sequence[Candidate], reference: Candidate) -> list[Candidate]:
    """Return the cascades that are cheaper than the reference, the most accurate first, thinned by cost."""
    chosen: list[Candidate] = []
    bound = reference.mean_cost
    for candidate in reversed(frontier):
        if candidate.mean_cost < bound:
            chosen.append(candidate)
            bound = candidate.mean_cost * STEP
    return chosen


def _none_certified(
    candidates: Sequence[Candidate], expected: Answers, certifying: Predictions, guarantee: Guarantee
) -> str:
    head = "none: no cascade could be certified; the reference backbone is used alone"
    if not candidates:
        return f"{head} (no cascade was cheaper)"
    lost, won = guarantee.rates(answers(certifying, candidates[0]), expected, certifying.class_ids)
    images = len(expected)
    return f"{head} ({_shortfall(lost, won, guarantee, images)}, {images} were available to certify on)"


def _shortfall(lost: float, won: float, guarantee: Guarantee, images: int) -> str:
    needed = images_needed(lost, won, guarantee.tolerance, guarantee.risk)
    if needed is None:
        return f"the safest cascade lost {lost - won:.2%} there"
    # An estimate, which the exact test may have refused already.
    return f"about {needed} images would be needed" if needed > images else "a few more images would be needed"
