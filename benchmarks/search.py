"""Time the exhaustive search on real ImageNet predictions, against a plain numpy loop over thresholds.

    python benchmarks/search.py --data FOLDER

Wall-clock and CPU seconds are the medians of interleaved rounds; on a machine that others use, CPU seconds over two
threads say what the wall clock would be without them.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import write_result
from rich.console import Console
from rich.progress import track
from rich.table import Table

from build_cascade.committee import Committee, as_problem, stage_statistics
from build_cascade.exhaustive.committees import Constraints, list_committees
from build_cascade.exhaustive.grid import quantile_thresholds
from build_cascade.exhaustive.grid_search import grid_search
from build_cascade.exhaustive.rules import geometric_weights
from build_cascade.exhaustive.sources import Problem
from build_cascade.imported import read_npz_folder
from build_cascade.topk import TopKPredictions
from build_engines.costs.costs import Costs
from cascade_core.gating import GatingRule
from cascade_core.spec import MAX_STAGES

IMAGES, THRESHOLDS, THREADS, SEED = 25_000, 50, 2, 0
LOOP_CELLS = 1500
EQUAL_WEIGHTS = GatingRule(geometric_weights(1.0, MAX_STAGES))
FIVE = ("squeezenet1_1", "resnet18", "densenet121", "resnet50", "resnet152")
SEVEN_MORE = ("alexnet", "squeezenet1_0", "densenet169", "resnet34", "densenet201", "densenet161", "resnet101")
FOUR = ("squeezenet1_1", "resnet18", "resnet50", "resnet152")


def tasks(names: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], int, float]]:
    """Return backbones, most stages and target seconds of each task."""
    return {
        "5 backbones, ≤ 4": (FIVE, 4, 0.2),
        "12 backbones, ≤ 4": (FIVE + SEVEN_MORE, 4, 1.0),
        "21 backbones, ≤ 3": (names, 3, 2.0),
        "21 backbones, ≤ 4": (names, 4, 15.0),
    }


def run(problem: Problem, stages: int) -> tuple[float, float, int]:
    """Search once; return wall seconds, CPU seconds of all threads, and the cascades evaluated."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    committees = list_committees(problem.costs, Constraints(stages))
    found = grid_search(problem, EQUAL_WEIGHTS, committees=committees, thresholds=THRESHOLDS, threads=THREADS)
    return time.perf_counter() - wall_s, time.process_time() - cpu_s, found.cells


def loop_rate(predictions: TopKPredictions) -> float:
    """Return the cascades a second of a plain loop: for each cell, mask the images stage by stage.

    The prefixes' statistics are given to it for free, and it skips the images that have left.
    """
    stages = stage_statistics(predictions, Committee.of(FOUR))
    grids = [[*quantile_thresholds(stage.confidence, THRESHOLDS), np.inf] for stage in stages[:-1]]
    every = (THRESHOLDS + 1) ** len(grids) // LOOP_CELLS
    cells = list(itertools.islice(itertools.product(*grids), 0, None, every))
    started_s = time.perf_counter()
    for thresholds in cells:
        rows, right = np.arange(len(predictions.class_ids)), 0
        for stage, threshold in zip(stages, (*thresholds, -np.inf), strict=True):
            exits = stage.confidence[rows] >= threshold
            right += int(stage.right[rows[exits]].sum())
            rows = rows[~exits]
    return len(cells) / (time.perf_counter() - started_s)


def measure(predictions: TopKPredictions, costs: Costs, rounds: int) -> dict[str, Any]:
    """Run all tasks and the loop in turn, several times over."""
    chosen = tasks(predictions.names)
    problems = {task: as_problem(predictions.only(names), costs) for task, (names, _, _) in chosen.items()}
    started_s = time.perf_counter()
    run(problems["5 backbones, ≤ 4"], 4)
    first_call_s = time.perf_counter() - started_s
    seen: dict[str, list[tuple[float, float, int]]] = {task: [] for task in chosen}
    rates = []
    for _ in track(range(rounds), "rounds"):
        rates.append(loop_rate(predictions))
        for task, (_, stages, _) in chosen.items():
            seen[task].append(run(problems[task], stages))
    lines = {task: _line(values, chosen[task][2], statistics.median(rates)) for task, values in seen.items()}
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"first_call_s": first_call_s, "loop_cascades_per_s": rates, "peak_gib": peak_gib, "tasks": lines}


def _line(values: list[tuple[float, float, int]], target_s: float, loop_cascades_per_s: float) -> dict[str, float]:
    wall_s, cpu_s = (statistics.median(value[place] for value in values) for place in (0, 1))
    cells = values[0][2]
    return {
        "target_s": target_s,
        "wall_s": wall_s,
        "cpu_s_per_thread": cpu_s / THREADS,
        "cascades": cells,
        "cascades_per_s": cells / wall_s,
        "times_faster_than_loop": cells / loop_cascades_per_s / wall_s,
    }


def show(result: dict[str, Any]) -> Table:
    """Return the result as a table."""
    table = Table("task", "target s", "wall s", "CPU s / 2", "cascades", "a second", "× numpy loop, extrapolated")
    for task, line in result["tasks"].items():
        table.add_row(
            task,
            f"{line['target_s']:g}",
            f"{line['wall_s']:.2f}",
            f"{line['cpu_s_per_thread']:.2f}",
            f"{line['cascades']:.3g}",
            f"{line['cascades_per_s']:.2g}",
            f"{line['times_faster_than_loop']:.0f}",
        )
    return table


def main() -> None:
    """Measure, print the table, write the result."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    predictions, costs = read_npz_folder(options.data)
    rows = np.random.default_rng(SEED).permutation(len(predictions.class_ids))[:IMAGES]
    result = measure(predictions.rows(rows), costs, options.rounds)
    console = Console(width=120)
    console.print(show(result))
    console.print(f"first call, compiling or loading the machine code: {result['first_call_s']:.1f} s")
    console.print(f"peak memory {result['peak_gib']:.2f} GiB; {write_result('search', result)}")


if __name__ == "__main__":
    main()
