"""Show what cascades of ImageNet classifiers save: the ResNets, each combination rule, and the best of all models."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from environment import write_result
from rich.console import Console
from rich.progress import track

from build_cascade.committee import Candidate, single_candidate
from build_cascade.evaluation import evaluate
from build_cascade.frontier_search import search_frontier
from build_cascade.guarantee import Guarantee, select_certified
from build_cascade.imported import read_npz_folder
from build_cascade.predictions import Predictions
from build_cascade.search_space import SearchSpace
from cascade_core.gating import COMBINES, CONFIDENCES

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
REFERENCES = RESNETS[2:]
PAPER = SearchSpace(confidences=("max_probability",), ratios=(1.0,))
BEST = SearchSpace(confidences=("margin",), ratios=(1.25,))
GUARANTEE = Guarantee(tolerance=0.005, risk=0.05)
CHOOSING_SHARE = 0.5

Row = dict[str, Any]


def resnets(data: Predictions, costs: Mapping[str, float], splits: int) -> list[Row]:
    """Return the saving at equal accuracy on the choosing half, and what is lost on the other, over random splits."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in RESNETS[1:]}
    for seed in track(range(splits), "ResNets"):
        choosing, reporting = data.only(RESNETS).split(0.5, seed)
        frontier = search_frontier(choosing, costs, PAPER)
        for name, pairs in found.items():
            chosen = _cheapest(frontier, single_candidate(choosing, costs, name).correct)
            pairs.append((costs[name] / chosen.mean_cost, _gain(reporting, costs, name, chosen)))
    return [
        {
            "reference": name,
            "times_cheaper": mean(times for times, _ in pairs),
            "times_cheaper_deviation": stdev(times for times, _ in pairs),
            "short_on_reporting": mean(gain < 0 for _, gain in pairs),
        }
        for name, pairs in found.items()
    ]


def combinations(data: Predictions, costs: Mapping[str, float], splits: int) -> list[Row]:
    """Return the mean saving of every combination rule and confidence measure, equal weights, the same splits."""
    rows: dict[tuple[str, str], Row] = {}
    for seed in track(range(splits), "combinations"):
        choosing, _ = data.only(RESNETS).split(0.5, seed)
        for combine in COMBINES:
            for confidence in CONFIDENCES:
                frontier = search_frontier(choosing, costs, SearchSpace((confidence,), (combine,), ratios=(1.0,)))
                row = rows.setdefault((combine, confidence), {"combine": combine, "confidence": confidence})
                for name in REFERENCES:
                    chosen = _cheapest(frontier, single_candidate(choosing, costs, name).correct)
                    row[name] = row.get(name, 0.0) + costs[name] / chosen.mean_cost / splits
    return list(rows.values())


def best_cascades(data: Predictions, costs: Mapping[str, float]) -> list[Row]:
    """Return the best cascades of all models for each reference: naive and certified, with and without a bound."""
    calibration, test = data.split(0.5, 0)
    choosing, certifying = calibration.split(CHOOSING_SHARE, 0)
    rows = []
    for name in track(REFERENCES, "best of all models"):
        for worst in (None, costs[name] * 1.5):
            space = SearchSpace(BEST.confidences, ratios=BEST.ratios, max_stages=3, worst_cost=worst)
            floor = single_candidate(calibration, costs, name).correct - GUARANTEE.tolerance * len(
                calibration.class_ids
            )
            naive = _cheapest(search_frontier(calibration, costs, space), floor)
            on_half = search_frontier(choosing, costs, space)
            reference = single_candidate(choosing, costs, name)
            certified = select_certified(on_half, reference, certifying, GUARANTEE).candidate
            for choice, chosen in (("naive", naive), ("certified", certified)):
                rows.append(_described(test, costs, name, chosen) | {"choice": choice, "worst_cost_at_most": worst})
    return rows


def _cheapest(frontier: list[Candidate], least_correct: float) -> Candidate:
    return next(candidate for candidate in frontier if candidate.correct >= least_correct)


def _gain(reporting: Predictions, costs: Mapping[str, float], reference: str, chosen: Candidate) -> float:
    seen = evaluate(reporting, costs, chosen.committee, chosen.thresholds)
    return seen.accuracy - single_candidate(reporting, costs, reference).correct / seen.images


def _described(test: Predictions, costs: Mapping[str, float], reference: str, chosen: Candidate) -> Row:
    seen = evaluate(test, costs, chosen.committee, chosen.thresholds)
    return {
        "reference": reference,
        "stages": " → ".join(chosen.committee.stages),
        "times_cheaper": costs[reference] / seen.mean_cost,
        "gain_on_test": _gain(test, costs, reference, chosen),
        "worst_cost": seen.worst_cost,
    }


def main() -> None:
    """Measure, print, write the result."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--splits", type=int, default=20)
    options = arguments.parse_args()
    data, costs = read_npz_folder(options.data)
    result = {
        "resnets": resnets(data, costs, options.splits),
        "combinations": combinations(data, costs, max(1, options.splits // 4)),
        "best": best_cascades(data, costs),
    }
    console = Console(width=160)
    for part in result.values():
        for row in part:
            console.print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
    console.print(write_result("imagenet", {"splits": options.splits, **result}))


if __name__ == "__main__":
    main()
