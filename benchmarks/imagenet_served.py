"""Serve a real ImageNet pool whole: accuracy, MACs and images per second of every network and of cascades.

    python benchmarks/imagenet_served.py            # the real pool; with the EfficientNet-Lites too, if converted
    python benchmarks/imagenet_served.py --quick    # a few networks and images, kept in the build folder

The cascades are chosen on the calibration images, each as accurate there as one of the best networks, at the lowest
mean MACs. Everything is served the same way, as a cascade that runs its stages in process: a network is a cascade of
one stage. Networks and cascades are measured in interleaved rounds by four clients, with one and with eight images a
request. "× by MACs" is what a cascade saves on the images that are sent; "× served" is the ratio of images per second,
and in brackets its share of the former.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, write_result
from imagenet_pool.choosing import Chosen, choose
from imagenet_pool.pools import studies
from imagenet_pool.serving import BATCHES, SENT_IMAGES, Served, collect, measure
from imagenet_pool.show import Study, plot, table
from rich.console import Console

from build_cascade.committee import answers
from build_cascade.evaluation import wilson_interval
from build_cascade.evaluator import Evaluator
from build_engines.costs.throughput import Conditions
from build_engines.images.opening import open_splits
from build_engines.images.source import ImageSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import Pool
from build_engines.support.console import ProgressBars, progress_bar

DATA = Path("../shared/imagenet-pool")
LITE = Path("pools/efficientnet-lite.yaml")
BUILD = Path("build")
QUICK_NETWORKS = ("mobilenet_v1_025", "mobilenet_v1_050", "mobilenet_v2", "mobilenet_edgetpu")
QUICK_IMAGES, QUICK_LIMIT_S = 96, 2.0


def study(pool: Pool, sources: tuple[ImageSource, ImageSource], limit_s: float, console: Console) -> Study:
    """Measure one pool: export, predictions, choice, and everything served."""
    build = PoolBuild.of(pool, BUILD)
    with progress_bar(console) as progress:
        report = ProgressBars(progress).report
        evaluator = collect(build, sources, report)
        chosen = choose(evaluator, report)
        images, canvases = sources[1].usable(pool.canvas)
        order = np.random.default_rng(0).permutation(len(images))
        conditions = Conditions.now()
        served = measure(build, chosen, canvases[order], limit_s, report)
    truth = images.class_ids[order]
    rows = [_row(name, served[name], truth, evaluator.costs[name]) for name in evaluator.costs]
    by_name = {row["name"]: row for row in rows}
    rows += [_cascade_row(one, served[one.name], truth, evaluator, order, by_name[one.reference]) for one in chosen]
    rows.sort(key=lambda row: float(row["mean_gmacs"]))
    return {"images": len(images), "canvas": pool.canvas, "conditions": conditions.model_dump(), "rows": rows}


def _row(name: str, seen: Served, truth: Any, mean_gmacs: float) -> dict[str, Any]:  # noqa: ANN401 (numpy)
    right = int((seen.class_ids == truth).sum())
    return {
        "name": name,
        "accuracy": right / len(truth),
        "accuracy_interval_95": wilson_interval(right, len(truth)),
        "mean_gmacs": mean_gmacs,
        "images_per_s": {str(batch): seen.throughput[batch].model_dump() for batch in BATCHES},
    }


def _cascade_row(
    one: Chosen,
    seen: Served,
    truth: Any,  # noqa: ANN401 (numpy)
    evaluator: Evaluator,
    order: Any,  # noqa: ANN401 (numpy)
    reference: dict[str, Any],
) -> dict[str, Any]:
    """Return a cascade's row, compared with the network that it stands in for, on the images that were sent."""
    stages = one.candidate.committee.stages
    paid = np.cumsum([evaluator.costs[name] for name in stages])[seen.exit_stages - 1]
    offline = answers(evaluator.test, one.candidate)[order]
    rates = {batch: seen.throughput[batch].images_per_s for batch in BATCHES}
    return {
        **_row(one.name, seen, truth, float(paid.mean())),
        "stages": stages,
        "exit_rates": [float((seen.exit_stages == place).mean()) for place in range(1, len(stages) + 1)],
        "unlike_offline": int((offline != seen.class_ids).sum()),
        "reference": one.reference,
        "times_by_macs": reference["mean_gmacs"] / float(paid[:SENT_IMAGES].mean()),
        "times_served": {
            str(batch): rates[batch] / reference["images_per_s"][str(batch)]["images_per_s"] for batch in BATCHES
        },
    }


def main() -> None:
    """Measure, print the tables, write the result and the plot."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=DATA, help="pool.yaml, images/calibration and images/test")
    arguments.add_argument("--limit-s", type=float, default=30.0, help="seconds for each row and batch size, at most")
    arguments.add_argument("--quick", action="store_true")
    options = arguments.parse_args()
    if not (options.data / "pool.yaml").is_file():
        raise SystemExit(f"there is no {options.data / 'pool.yaml'}; name the pool's folder with --data")
    console = Console(width=130)
    pools, note = studies(options.data / "pool.yaml", LITE, QUICK_NETWORKS if options.quick else None)
    console.print(note)
    folders = [str(options.data / "images" / split) for split in ("calibration", "test")]
    sources = open_splits(None, folders[0], folders[1], pools[0].labels)
    if options.quick:
        sources = sources[0].sample(QUICK_IMAGES), sources[1].sample(QUICK_IMAGES)
    limit_s = min(options.limit_s, QUICK_LIMIT_S) if options.quick else options.limit_s
    found = {pool.name.removeprefix("imagenet-served-"): study(pool, sources, limit_s, console) for pool in pools}
    for title, one in found.items():
        console.print(table(title, one))
    folder = BUILD / pools[0].name if options.quick else RESULTS
    path = write_result("imagenet-served", {"note": note, "studies": found}, "nvidia-pytriton", folder=folder)
    plot(path.with_suffix(".png"), found)
    console.print(f"{path}\n{path.with_suffix('.png')}")


if __name__ == "__main__":
    main()
