"""Milliseconds per image of the served backbones, at given batch sizes: costs for the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from build_engines.costs import throughput
from build_engines.costs.costs import MS, Costs
from build_engines.costs.throughput import Load
from build_engines.errors import ServedError
from build_engines.images.canvas import Canvas
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.served_model import runtime_of, served_configs
from build_engines.support.progress import OnProgress, ignore_progress

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
    routes = {name: [name] for name in configs}
    measured = {}
    for load in loads:
        rates = throughput.measure(url, routes, _noise(build.pool.canvas, load), on_progress, load)
        measured[load.batch_images] = as_costs(rates, load, configs)
        measured[load.batch_images].write(build.costs_at(load.batch_images))
    return measured


def as_costs(images_per_s: Mapping[str, float], load: Load, configs: Mapping[str, Any]) -> Costs:
    """Convert rates to milliseconds per image of each backbone, with what was measured.

    Args:
        images_per_s: Of each backbone, at least.
        load: How they were called.
        configs: Triton's configuration of every backbone.
    """
    measured_by = {name: runtime_of(config) for name, config in configs.items()}
    source = f"{load.in_words}, by Triton's backend {' and '.join(sorted(set(measured_by.values())))}"
    return Costs({name: 1000 / images_per_s[name] for name in configs}, MS, source, measured_by)


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
