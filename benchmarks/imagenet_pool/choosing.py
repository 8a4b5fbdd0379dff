"""The cascades that are measured: each the cheapest that is as accurate as one of the best single networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from build_cascade.committee import Candidate, single_candidate
from build_cascade.evaluator import Evaluator
from build_cascade.frontier_search import search_frontier
from build_engines.support.progress import OnProgress

MOST_CASCADES = 4


@dataclass(frozen=True)
class Chosen:
    """A cascade, and the single network that it stands in for.

    Attributes:
        name: Of its Triton model.
        reference: The network whose accuracy on calibration it reaches at the lowest mean MACs.
        candidate: The cascade.
    """

    name: str
    reference: str
    candidate: Candidate


def choose(evaluator: Evaluator, on_progress: OnProgress) -> list[Chosen]:
    """Search once, and choose a cascade for each of the best networks that no cheaper one matches on calibration."""
    frontier = search_frontier(evaluator.calibration, evaluator.costs, on_count=partial(on_progress, "searching"))
    chosen: list[Chosen] = []
    for single in reversed(_undominated(evaluator)):
        (reference,) = single.committee.stages
        cheapest = next((one for one in frontier if one.correct >= single.correct), None)
        is_new = cheapest is not None and all(cheapest != other.candidate for other in chosen)
        if cheapest is not None and is_new and len(cheapest.committee.stages) > 1:
            chosen.append(Chosen(f"cascade_for_{reference}", reference, cheapest))
    return chosen[:MOST_CASCADES]


def _undominated(evaluator: Evaluator) -> list[Candidate]:
    """Return the single networks by cost, each more accurate than all cheaper ones."""
    names = sorted(evaluator.calibration.names, key=lambda name: evaluator.costs[name])
    kept: list[Candidate] = []
    for single in (single_candidate(evaluator.calibration, evaluator.costs, name) for name in names):
        if not kept or single.correct > kept[-1].correct:
            kept.append(single)
    return kept
