"""Milliseconds per image of the served backbones, at given batch sizes: costs for the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from build_engines.costs import throughput
from build_engines.costs.costs import MS, Costs
from build_engines.costs.throughput import Conditions, Load, Route, Throughput
from build_engines.errors import ServedError
from build_engines.images.canvas import Canvas
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.served_model import runtime_of, served_configs
from build_engines.support.progress import OnProgress, ignore_progress

BY_TRITON, IN_PROCESS = "by Triton", "in process"  # how a network is reached
REQUESTS = 4  # different ones, sent over and over


def measure_costs(
    build: PoolBuild, url: str, loads: Sequence[Load], on_progress: OnProgress = ignore_progress
) -> dict[int, Costs]:
    """Measure every backbone of a pool under each load, and write the costs, one file per batch size.

    Images are noise: how long a backbone takes does not depend on what they show.

    Args:
        build: Of a pool whose backbones are served; the costs go into its folder.
        url: host:port of Triton's gRPC service.
        loads: Each of a different batch size.
        on_progress: Called for each round of each backbone.

    Returns:
        Milliseconds per image of each backbone, by batch size.

    Raises:
        ServedError: a backbone is not served, was not made from the last export, or does not take such batches.
        BuildError: a backbone has no up-to-date ONNX file.
    """
    configs = served_configs(build, url)
    for name, config in configs.items():
        _check_batches(name, config, loads)
    routes = {name: Route((name,), BY_TRITON) for name in configs}
    measured = {}
    for load in loads:
        conditions = Conditions.now()
        rates = throughput.measure(url, routes, _noise(build.pool.canvas, load), on_progress, load)
        measured[load.batch_images] = as_costs(rates, load, configs, conditions)
        measured[load.batch_images].write(build.costs_at(load.batch_images))
    return measured


def as_costs(
    measured: Mapping[str, Throughput], load: Load, configs: Mapping[str, Any], conditions: Conditions
) -> Costs:
    """Convert rates to milliseconds per image of each backbone, with what was measured.

    Args:
        measured: Of each backbone, at least.
        load: How they were called.
        configs: Triton's configuration of every backbone.
        conditions: When, and on how busy a machine.
    """
    measured_by = {name: runtime_of(config) for name, config in configs.items()}
    by = " and ".join(sorted(set(measured_by.values())))
    ways = " and ".join(sorted({measured[name].served for name in configs}))
    source = f"{load.in_words}, {ways}, by Triton's backend {by}, {conditions.in_words}"
    return Costs({name: 1000 / measured[name].images_per_s for name in configs}, MS, source, measured_by)


def _check_batches(name: str, config: Any, loads: Sequence[Load]) -> None:  # noqa: ANN401 (protobuf)
    largest = max(load.batch_images for load in loads)
    if largest > config.max_batch_size:
        raise ServedError(
            f"the server's {name!r} takes batches of at most {config.max_batch_size}, not {largest}; "
            "measure smaller ones, or raise its max_batch_size in the pool file and run build-engines repository"
        )


def _noise(canvas: int, load: Load) -> Canvas:
    shape = (REQUESTS * load.batch_images, canvas, canvas, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
