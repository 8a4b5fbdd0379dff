"""The steps of choosing a cascade, each from files to files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from build_cascade.choice import Bench, Goal, choose
from build_cascade.committee import Candidate
from build_cascade.errors import PredictionError
from build_cascade.exhaustive.frontier import undominated
from build_cascade.frontier_file import write_frontier
from build_cascade.frontier_search import free_weight_frontier
from build_cascade.frontier_search import search_frontier as find_frontier
from build_cascade.guarantee import Guaranteed, Promise, choose_certified, single, split
from build_cascade.predict import Collection
from build_cascade.predictions import Predictions
from build_cascade.provenance import check_notes
from build_cascade.search_space import SearchSpace
from build_cascade.topk import SparsePredictions, read_set, write_set
from build_engines.costs.costs import Costs
from build_engines.images.folder import ImageFolder
from build_engines.pool.artifacts import PoolBuild, holds_build
from build_engines.pool.schema import PLAIN_NAME, PRETRAINED
from build_engines.repository.served_model import ServedModel
from build_engines.support.atomic_files import write_text_whole

SPLITS = ("calibration", "test")
UNKNOWN_SIZE = 224
COUNTED = "multiply-accumulates of the exported graph, attention included"
CALIBRATION_SHARE = 0.5  # of imported predictions, where the rest is the test images
CHOOSING_SHARE = 0.5  # of the calibration images, where the rest certifies
SPLIT_SEED = 0

OnProgress = Callable[[str, int, int], None]


def uncollected(build: PoolBuild, split: str, images: ImageFolder, configs: Mapping[str, Any]) -> list[Collection]:
    """Return the collections that are missing or not of what is served, one a backbone.

    Args:
        build: Of a pool whose backbones are served.
        split: `calibration` or `test`.
        images: The labelled images.
        configs: Triton's configuration of every backbone.
    """
    collections = [
        Collection(
            backbone=built.name,
            config=configs[built.name],
            images=images,
            canvas=build.pool.canvas,
            labels=build.pool.labels,
            folder=build.predictions(split),
        )
        for built in build
    ]
    return [collection for collection in collections if not collection.is_done]


def collect(missing: Sequence[Collection], split: str, url: str, tell: OnProgress) -> None:
    """Collect what is missing of one split through the served backbones.

    Raises:
        ServedError: a backbone is no longer served.
        ImageFolderError: an image cannot be used.
    """
    for collection in missing:
        title, total = f"{collection.backbone} on {split}", len(collection.images)
        with ServedModel(url, collection.backbone) as served:
            for done in collection.run(served):
                tell(title, done, total)


def read_bench(build: PoolBuild, costs_file: Path | None = None) -> Bench:
    """Read what cascades are judged by: predictions on both splits, and costs.

    Args:
        build: Of the pool.
        costs_file: Costs to use instead of the counted multiply-accumulates.

    Raises:
        PredictionError: predictions are missing or damaged.
        BuildError: a backbone has no up-to-date ONNX file, and so no cost.
        CostError: the costs file is damaged, or lacks a backbone.
    """
    names = [built.name for built in build]
    given = None if costs_file is None else Costs.read(costs_file).only(names)
    if build.imported.is_dir():
        predictions, costs = read_set(build.imported, names)
        return Bench(*split(predictions, CALIBRATION_SHARE, SPLIT_SEED), given or costs)
    manifests = {built.name: built.require_manifest() for built in build}
    onnx = {name: manifest.onnx_sha256 for name, manifest in manifests.items()}
    predicted_by = check_notes([build.predictions(split) for split in SPLITS], onnx, build.pool.labels)
    calibration, test = (Predictions.read(build.predictions(split), names) for split in SPLITS)
    counted = Costs({name: manifest.gmacs for name, manifest in manifests.items()}, source=COUNTED)
    return Bench(calibration, test, given or counted, predicted_by)


def search_frontier(
    bench: Bench, build: PoolBuild, space: SearchSpace, tell: OnProgress, weighed_for: Goal | None = None
) -> list[Candidate]:
    """Search on the calibration images and keep the frontier.

    Args:
        bench: Of the pool.
        build: Of the pool, where the frontier is kept.
        space: Which cascades are looked at.
        tell: Told of a title, what is done, and the total.
        weighed_for: The stages that reach this goal get free weights, one a stage, in a second search.
    """
    found = find_frontier(bench.calibration, bench.costs, space, partial(tell, "searching"))
    if weighed_for is not None:
        chosen = choose(found, len(bench.calibration.class_ids), weighed_for).committee
        weighed = free_weight_frontier(bench.calibration, bench.costs, chosen, partial(tell, "weighing"))
        found = undominated([*found, *weighed], lambda candidate: candidate.correct)
    write_frontier(build.frontier, found)
    return found


def search_certified(
    bench: Bench,
    build: PoolBuild,
    space: SearchSpace,
    promise: Promise,
    reference: str,
    tell: OnProgress,
    free_weights: bool,
) -> Guaranteed:
    """Search on one half of the calibration images and certify on the other; keep the frontier."""
    choosing, certifying = split(bench.calibration, CHOOSING_SHARE, SPLIT_SEED)
    alone = single(choosing, bench.costs, reference)
    goal = Goal(alone.correct / len(choosing.class_ids) - promise.tolerance) if free_weights else None
    found = search_frontier(replace(bench, calibration=choosing), build, space, tell, goal)
    return choose_certified(found, alone, certifying, promise)


def import_set(name: str, predictions: SparsePredictions, costs: Costs, build: Path) -> Path:
    """Write imported predictions and a pool file for them; return the pool file.

    The pool file says nothing of canvas and input sizes that was not known: it serves the search and the report.

    Raises:
        PredictionError: the name is no plain one, or that of a pool whose build lies there.
    """
    _check_name(name, build)
    folder, classes = build / name, predictions.probabilities.classes
    labels = "\n".join(str(class_id) for class_id in range(classes))
    entry = {"weights": PRETRAINED, "input_size": UNKNOWN_SIZE, "classes": classes}
    backbones = [{"name": backbone, "architecture": backbone, **entry} for backbone in predictions.names]
    content = {"name": name, "canvas": UNKNOWN_SIZE, "labels": "labels.txt", "backbones": backbones}
    write_text_whole(folder / "labels.txt", labels)
    write_set(folder / "imported", predictions, costs)
    write_text_whole(folder / "pool.yaml", yaml.safe_dump(content, sort_keys=False))
    return folder / "pool.yaml"


def _check_name(name: str, build: Path) -> None:
    if not re.fullmatch(PLAIN_NAME, name):
        raise PredictionError(f"--name {name!r} is no plain name: use letters, digits, '_', '.' and '-', no '/'")
    if holds_build(build / name):
        raise PredictionError(
            f"{build / name} holds what was built of a pool of this name, which imported predictions would hide; "
            "choose another --name"
        )
