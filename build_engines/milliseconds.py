"""Milliseconds of an image through the served backbones, at given batch sizes: costs to search on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from build_engines import throughput
from build_engines.canvas import Canvas
from build_engines.costs import MS, Costs
from build_engines.errors import ServedError
from build_engines.pool import Backbone, Pool
from build_engines.record import ExportRecord
from build_engines.served import ServedModel, runtime_of
from build_engines.throughput import Load, OnRound
from build_engines.workspace import Workspace

REQUESTS = 4  # different ones, sent over and over


def measure_costs(
    pool: Pool, workspace: Workspace, url: str, loads: Sequence[Load], on_round: OnRound
) -> dict[int, Costs]:
    """Measure every backbone of a pool under each load, and keep the costs, one file a batch size.

    Images are noise: how long a backbone takes does not depend on what they show.

    Args:
        pool: Its backbones are served.
        workspace: Where the costs go.
        url: host:port of Triton's gRPC service.
        loads: Each of another batch size.
        on_round: Told when one round of one backbone is done.

    Returns:
        Milliseconds of an image in each backbone, by batch size.

    Raises:
        ServedError: a backbone is not served, is not the one exported last, or takes no such batch.
        BuildError: a backbone has no up-to-date ONNX file.
    """
    runtimes = {_checked_runtime(pool, backbone, workspace, url, loads) for backbone in pool.backbones}
    asks = {backbone.name: [backbone.name] for backbone in pool.backbones}
    measured = {}
    for load in loads:
        rates = throughput.measure(url, asks, _noise(pool.canvas, load), on_round, load)
        source = f"{load.in_words}, by Triton's backend {' and '.join(sorted(runtimes))}"
        costs = Costs({name: 1000 / rate for name, rate in rates.items()}, MS, source)
        costs.write(workspace.costs_at(load.batch_images))
        measured[load.batch_images] = costs
    return measured


def _checked_runtime(pool: Pool, backbone: Backbone, workspace: Workspace, url: str, loads: Sequence[Load]) -> str:
    record = ExportRecord.required(pool, backbone, workspace)
    with ServedModel(url, backbone.name) as served:
        config = served.config_of(record.onnx_sha256)
    largest = max(load.batch_images for load in loads)
    if largest > config.max_batch_size:
        raise ServedError(
            f"the server's {backbone.name!r} takes batches of at most {config.max_batch_size}, not {largest}; "
            "ask for less, or raise its max_batch_size in the pool file and run build-engines repository"
        )
    return runtime_of(config)


def _noise(canvas: int, load: Load) -> Canvas:
    shape = (REQUESTS * load.batch_images, canvas, canvas, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
