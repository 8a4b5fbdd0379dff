"""The frontier of ensembles: committees of which every image runs all stages, and which no other ensemble beats."""

from __future__ import annotations

import math
from collections.abc import Mapping

from build_cascade.committee import Committee, as_problem
from build_cascade.exhaustive.committees import Constraints, ModelIndices, list_committees
from build_cascade.exhaustive.frontier import Ensemble
from build_cascade.exhaustive.grid_search import grid_search
from build_cascade.exhaustive.rules import geometric_weights
from build_cascade.exhaustive.sources import Problem
from build_cascade.predictions import Predictions
from cascade_core.gating import GatingRule
from cascade_core.spec import MAX_STAGES

MOST_COMMITTEES = 2500  # take a second on 25,000 images


def best_ensembles(predictions: Predictions, costs: Mapping[str, float]) -> list[Committee]:
    """Return the ensembles of two or more backbones, of equal weights, that no other beats; cheapest first.

    Args:
        predictions: Of the pool, on the images to choose on.
        costs: Cost of one image in each backbone.
    """
    problem = as_problem(predictions, costs)
    committees = [c for c in list_committees(problem.costs, Constraints(_most_members(problem))) if len(c) > 1]
    if not committees:
        return []
    return [
        Committee.of([problem.names[place] for place in found.committee])
        for found in _undominated(_ensembles(problem, committees))
    ]


def _ensembles(problem: Problem, committees: list[ModelIndices]) -> list[Ensemble]:
    """Count the right answers of ensembles; the search tries one threshold a stage as well, the fewest it can."""
    rule = GatingRule(geometric_weights(1.0, MAX_STAGES))
    found = grid_search(problem, rule, committees=committees, thresholds=1)
    return found.ensembles(problem.costs)


def _most_members(problem: Problem) -> int:
    """Return the most members, at least two, for which there are not too many committees."""
    models, members = len(problem.names), 2
    while members < MAX_STAGES and sum(math.comb(models, m) for m in range(2, members + 2)) <= MOST_COMMITTEES:
        members += 1
    return members


def _undominated(ensembles: list[Ensemble]) -> list[Ensemble]:
    kept: list[Ensemble] = []
    for ensemble in sorted(ensembles, key=lambda ensemble: (ensemble.cost, -ensemble.right)):
        if not kept or ensemble.right > kept[-1].right:
            kept.append(ensemble)
    return kept
