"""Count how often a choice breaks its promise on unseen images, over random splits of real ImageNet predictions.

    python benchmarks/coverage.py --data FOLDER

Each split has images to choose on, to certify on, and to hold out. The certified choice promises an accuracy within the
tolerance of a reference backbone at a risk; the naive choice is the cheapest cascade that keeps it on all the images
which the certified one may choose and certify on. Both are judged twice: on the held-out images, whose own noise counts
as broken promises too, and on all images, the population that the splits are drawn from, of which the promise is made.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from environment import write_result
from rich.console import Console
from rich.progress import track
from rich.table import Table

from build_cascade.committee import Candidate, right_answers, single_candidate
from build_cascade.evaluation import wilson_interval
from build_cascade.frontier_search import search_frontier
from build_cascade.goal import Goal
from build_cascade.guarantee import Guarantee, select_certified
from build_cascade.imported import read_npz_folder
from build_cascade.search_space import SearchSpace
from build_cascade.selection import select
from build_cascade.topk import TopKPredictions
from build_engines.costs.costs import Costs

POOL = ("squeezenet1_1", "resnet18", "resnet34", "densenet121", "resnet50", "resnet101", "resnet152")
REFERENCES = ("resnet50", "resnet101", "resnet152")
SPACE = SearchSpace(confidences=("margin",), ratios=(1.0,), max_stages=3)
CHOOSE, CERTIFY = 10_000, 15_000
Rows = npt.NDArray[np.intp]
GUARANTEE = Guarantee(tolerance=0.005, risk=0.1)


@dataclass(frozen=True)
class Trial:
    """One choice's loss of accuracy against the reference, on held-out and on all images, and its saving."""

    lost: float
    lost_overall: float
    times_cheaper: float


def trials(data: TopKPredictions, costs: Costs, seed: int) -> dict[str, dict[str, Trial]]:
    """Split once; return the trial of both choices for every reference."""
    order = np.random.default_rng(seed).permutation(len(data.class_ids))
    choosing, certifying = (data.rows(part) for part in np.split(order[: CHOOSE + CERTIFY], [CHOOSE]))
    held_out = order[CHOOSE + CERTIFY :]
    both = data.rows(order[: CHOOSE + CERTIFY])
    found, found_on_both = search_frontier(choosing, costs, SPACE), search_frontier(both, costs, SPACE)
    result = {}
    for name in REFERENCES:
        certified = select_certified(found, single_candidate(choosing, costs, name), certifying, GUARANTEE).candidate
        floor = single_candidate(both, costs, name).correct / len(both.class_ids) - GUARANTEE.tolerance
        naive = select(found_on_both, len(both.class_ids), Goal(accuracy_at_least=floor))
        chosen = {"certified": certified, "naive": naive}
        result[name] = {choice: _judge(data, held_out, costs, name, candidate) for choice, candidate in chosen.items()}
    return result


def _judge(data: TopKPredictions, held_out: Rows, costs: Costs, reference: str, candidate: Candidate) -> Trial:
    right = right_answers(data, candidate).astype(float)
    lost = right_answers(data, single_candidate(data, costs, reference)) - right
    return Trial(float(lost[held_out].mean()), float(lost.mean()), costs[reference] / candidate.mean_cost)


def summarise(all_trials: list[dict[str, dict[str, Trial]]]) -> dict[str, Any]:
    """Return how often each choice broke the promise, with an exact-coverage interval, and how cheap it was."""
    lines = {}
    for name in REFERENCES:
        for choice in ("certified", "naive"):
            seen = [trial[name][choice] for trial in all_trials]
            broken = sum(trial.lost > GUARANTEE.tolerance for trial in seen)
            broken_overall = sum(trial.lost_overall > GUARANTEE.tolerance for trial in seen)
            lines[f"{name}, {choice}"] = {
                "splits": len(seen),
                "broken": broken,
                "broken_share_interval_95": wilson_interval(broken, len(seen)),
                "broken_overall": broken_overall,
                "broken_overall_share_interval_95": wilson_interval(broken_overall, len(seen)),
                "median_accuracy_lost": float(np.median([trial.lost for trial in seen])),
                "median_times_cheaper": float(np.median([trial.times_cheaper for trial in seen])),
            }
    return lines


def show(lines: dict[str, Any]) -> Table:
    """Return the result as a table."""
    title = f"within {GUARANTEE.tolerance:.1%} of the reference at a risk of {GUARANTEE.risk:.0%}"
    table = Table("reference, choice", "broken: held out", "broken: all images", "lost", "times cheaper", title=title)
    for name, line in lines.items():
        table.add_row(
            name,
            *(_share(line, which) for which in ("broken", "broken_overall")),
            f"{line['median_accuracy_lost']:.2%}",
            f"{line['median_times_cheaper']:.2f}",
        )
    return table


def _share(line: dict[str, Any], which: str) -> str:
    low, high = line[f"{which}_share_interval_95"]
    return f"{line[which] / line['splits']:.1%} ({low:.1%} – {high:.1%})"


def main() -> None:
    """Run the splits, print the table, write the result."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--splits", type=int, default=200)
    options = arguments.parse_args()
    predictions, costs = read_npz_folder(options.data)
    data = predictions.only(POOL)
    console = Console(width=120)
    lines = summarise([trials(data, costs, seed) for seed in track(range(options.splits), "splits", console=console)])
    console.print(show(lines))
    settings = {"pool": POOL, "choose": CHOOSE, "certify": CERTIFY, "held_out": len(data.class_ids) - CHOOSE - CERTIFY}
    console.print(f"{write_result('coverage', {**settings, **vars(GUARANTEE), 'lines': lines})}")


if __name__ == "__main__":
    main()
