"""Export a pool, collect its predictions, and measure single networks and cascades served the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from build_cascade.evaluator import Evaluator
from build_cascade.predict import collect_split
from build_cascade.predictions import SPLITS
from build_engines.costs import throughput
from build_engines.costs.latency import IN_PROCESS
from build_engines.costs.throughput import Load, Route, Throughput
from build_engines.export.export import check_exported, export_pool
from build_engines.images.canvas import Canvas
from build_engines.images.source import ImageSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.cascade_entry import write_cascade_entry
from build_engines.repository.served_model import ServedModel, served_configs
from build_engines.repository.writer import write_repository
from build_engines.support.progress import OnProgress
from cascade_core import spec
from cascade_core.contract import ALONE_SUFFIX, CLASS_ID, EXIT_STAGE
from cascade_core.spec import Cascade, Serving, Stage, as_written
from embedded_server import EmbeddedServer
from imagenet_pool.choosing import Chosen

BATCHES = (1, 8)
CLIENTS = 4
SENT_IMAGES = 256
ASKED = 16  # images a request, where accuracy is counted
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Served:
    """What one served network or cascade did.

    Attributes:
        class_ids: INT64 [N], its answers to the test images.
        exit_stages: INT64 [N].
        throughput: By images a request.
    """

    class_ids: Ids
    exit_stages: Ids
    throughput: Mapping[int, Throughput]


def collect(build: PoolBuild, sources: Sequence[ImageSource], on_progress: OnProgress) -> Evaluator:
    """Export what is not exported, write the repository, and collect predictions through the served backbones."""
    check_exported(export_pool(build, sources[0], on_progress))
    repository = repository_of(build)
    write_repository(build, repository, encoded=False, alone=True)
    with EmbeddedServer(repository, models=[built.name for built in build]) as server:
        url = server.addresses.grpc
        for split, source in zip(SPLITS, sources, strict=True):
            collect_split(build, split, source, url, served_configs(build, url), on_progress)
    return Evaluator.read(build)


def measure(
    build: PoolBuild, chosen: Sequence[Chosen], canvases: Canvas, limit_s: float, on_progress: OnProgress
) -> dict[str, Served]:
    """Serve every network as a cascade of one stage beside the chosen cascades, and measure all, by their names.

    Args:
        build: Of a pool that `collect` has prepared.
        chosen: The cascades.
        canvases: UINT8 [N, S, S, 3], the test images; the first ones are sent for speed.
        limit_s: Seconds for each row and batch size, after which no further round starts.
        on_progress: Called as the work goes on.
    """
    repository = repository_of(build)
    for one in chosen:
        write_cascade_entry(repository, one.name, as_cascade(build, one))
    models = {built.name: built.name + ALONE_SUFFIX for built in build} | {one.name: one.name for one in chosen}
    routes = {name: Route.to_cascade(model, IN_PROCESS) for name, model in models.items()}
    with EmbeddedServer(repository, models=list(models.values())) as server:
        url = server.addresses.grpc
        answers = {name: _answers(url, model, canvases) for name, model in models.items()}
        rates = {
            batch: throughput.measure(url, routes, canvases[:SENT_IMAGES], on_progress, Load(CLIENTS, batch), limit_s)
            for batch in BATCHES
        }
    return {name: Served(*answers[name], {batch: rates[batch][name] for batch in BATCHES}) for name in models}


def as_cascade(build: PoolBuild, chosen: Chosen) -> Cascade:
    """Return a chosen cascade as it is served: its stages in its own process."""
    committee, rule = chosen.candidate.committee, chosen.candidate.committee.rule
    thresholds = [*map(as_written, chosen.candidate.thresholds), None]
    stages = tuple(
        Stage(name, weight=weight, threshold=threshold, cost=build[name].require_manifest().gmacs)
        for name, weight, threshold in zip(committee.stages, rule.weights, thresholds, strict=True)
    )
    return Cascade(
        chosen.name,
        build.pool.canvas,
        build.pool.labels,
        stages,
        combine=rule.combine,
        confidence=rule.confidence,
        serving=Serving(reach=spec.IN_PROCESS),
    )


def repository_of(build: PoolBuild) -> Path:
    """Return the model repository, which is of this benchmark alone."""
    return build.folder / "repository"


def _answers(url: str, model: str, canvases: Canvas) -> tuple[Ids, Ids]:
    columns: list[list[Any]] = [[], []]
    with ServedModel(url, model) as served:
        for start in range(0, len(canvases), ASKED):
            batch = canvases[start : start + ASKED]
            for column, output in zip(columns, (CLASS_ID, EXIT_STAGE), strict=True):
                column.append(served.infer(batch, output)[:, 0])
    class_ids, exit_stages = (np.concatenate(column).astype(np.int64) for column in columns)
    return class_ids, exit_stages
