"""Whether measured costs would choose another cascade than counted ones: multiply-accumulates are not time."""

from __future__ import annotations

from collections.abc import Sequence

from build_cascade.committee import Candidate, Committee, as_problem, single_candidate
from build_cascade.evaluator import Evaluator
from build_cascade.exhaustive.frontier import score_cascade
from build_engines.costs.costs import MS, Costs

COMPARED = 40  # cascades of the frontier
ALIKE = 0.01  # a cost that is lower by less is no reason to choose anew


def measured_choice_note(
    evaluator: Evaluator, chosen: Candidate, frontier: Sequence[Candidate], accuracy_at_least: float | None
) -> str:
    """Return a note that another cascade of the search, or a single backbone, reaches the goal in less measured time.

    Args:
        evaluator: Of the pool.
        chosen: The cascade, counted on the calibration images or on those of them that it was searched on.
        frontier: Of the search, counted on the same images.
        accuracy_at_least: The goal; by default, and at most, the accuracy of the chosen one.

    Returns:
        An empty text where nothing was measured, the costs are measured ones, or the choice stays.
    """
    measured = evaluator.other_costs
    if measured is None or measured.unit != MS:
        return ""
    images = len(evaluator.calibration.class_ids)
    needed = min(chosen.correct, images if accuracy_at_least is None else accuracy_at_least * images)
    reaching = [candidate for candidate in frontier if candidate.correct >= needed]
    singles = [single_candidate(evaluator.calibration, evaluator.costs, name) for name in evaluator.calibration.names]
    reaching = reaching[:: 1 + len(reaching) // COMPARED] + [one for one in singles if one.correct >= needed]
    own = mean_cost(evaluator, chosen, measured)
    costs = {id(candidate): mean_cost(evaluator, candidate, measured) for candidate in reaching}
    best = min(reaching, key=lambda candidate: costs[id(candidate)], default=chosen)
    if costs.get(id(best), own) >= own * (1 - ALIKE):
        return ""
    return (
        f"by the milliseconds measured here ({measured.source}) the choice would differ: "
        f"{' → '.join(best.committee.stages)} reaches the goal for {costs[id(best)]:.3g} ms an image, this one for "
        f"{own:.3g}; search with --costs to choose by time"
    )


def mean_cost(evaluator: Evaluator, candidate: Candidate, costs: Costs) -> float:
    """Return a cascade's mean cost on the calibration images, by given costs."""
    committee: Committee = candidate.committee
    problem = as_problem(evaluator.calibration.only(committee.stages), costs)
    return score_cascade(problem, tuple(range(len(committee.stages))), committee.rule, candidate.thresholds).mean_cost
