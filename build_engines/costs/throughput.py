"""Images per second of the served models, measured in interleaved rounds so that noise affects all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from build_engines.images.canvas import Canvas
from build_engines.repository.served_model import ServedModel
from build_engines.support.progress import OnProgress, ignore_progress, tracked
from cascade_core.contract import CASCADE, CLASS_ID, PROBABILITIES

ROUNDS = 3
ROUND_S = 1.0


@dataclass(frozen=True)
class Load:
    """How the served models are called."""

    clients: int = 4
    batch_images: int = 8

    @property
    def in_words(self) -> str:
        """What was measured, for the source of costs."""
        clients, images = _counted(self.clients, "client"), _counted(self.batch_images, "image")
        return f"served, {clients}, {images} a request, median of {ROUNDS} rounds"


DEFAULT_LOAD = Load()


def measure(
    url: str,
    routes: Mapping[str, list[str]],
    canvases: Canvas,
    on_progress: OnProgress = ignore_progress,
    load: Load = DEFAULT_LOAD,
) -> dict[str, float]:
    """Measure the median images per second of each route.

    Args:
        url: host:port of Triton's gRPC service.
        routes: By name, the models that every image is sent to, one after another.
        canvases: UINT8 [N, S, S, 3], the images; sent repeatedly, in order, by several clients at once.
        on_progress: Called for each round of each route.
        load: How many clients, and images a request.
    """
    rates: dict[str, list[float]] = {name: [] for name in routes}
    title = f"measuring, {_counted(load.batch_images, 'image')} a request"
    for name in tracked(list(routes) * ROUNDS, title, on_progress):
        rates[name].append(_round(url, routes[name], canvases, load))
    return {name: statistics.median(values) for name, values in rates.items()}


def _round(url: str, models: list[str], canvases: Canvas, load: Load) -> float:
    started_s = time.perf_counter()
    client = partial(_client, url, models, canvases, load, started_s)
    with ThreadPoolExecutor(load.clients) as pool:
        counts = list(pool.map(client, range(load.clients)))
    return sum(counts) / (time.perf_counter() - started_s)


def _client(url: str, models: list[str], canvases: Canvas, load: Load, started_s: float, client: int) -> int:
    served = [ServedModel(url, model) for model in models]
    done = 0
    while time.perf_counter() - started_s < ROUND_S:
        start = (client * len(canvases) // load.clients + done) % max(len(canvases) - load.batch_images, 1)
        batch = canvases[start : start + load.batch_images]
        for model in served:
            model.infer(batch, CLASS_ID if model.name == CASCADE else PROBABILITIES)
        done += len(batch)
    for model in served:
        model.close()
    return done


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
