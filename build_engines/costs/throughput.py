"""Measure images a second through the served models, interleaved so that noise hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from build_engines.images.canvas import Canvas
from build_engines.repository.served_model import ServedModel

ROUNDS = 3
ROUND_S = 1.0

OnRound = Callable[[], None]


@dataclass(frozen=True)
class Load:
    """Say how the served models are asked."""

    clients: int = 4
    batch_images: int = 8

    @property
    def in_words(self) -> str:
        """Say what was measured."""
        clients, images = _counted(self.clients, "client"), _counted(self.batch_images, "image")
        return f"served, {clients}, {images} a request, median of {ROUNDS} rounds"


DEFAULT_LOAD = Load()


def measure(
    url: str, asks: Mapping[str, list[str]], canvases: Canvas, on_round: OnRound, load: Load = DEFAULT_LOAD
) -> dict[str, float]:
    """Return the median images a second of each way to answer.

    Args:
        url: host:port of Triton's gRPC service.
        asks: For each way, the models that every image is sent to, one after another.
        canvases: UINT8 [N, S, S, 3], the images; sent over and over, in order, by several clients at once.
        on_round: Told when one round of one way is done.
        load: How many clients, and images a request.
    """
    rates: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(ROUNDS):
        for name, models in asks.items():
            rates[name].append(_round(url, models, canvases, load))
            on_round()
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
            model.infer(batch, "class_id" if model.name == "cascade" else "probabilities")
        done += len(batch)
    for model in served:
        model.close()
    return done


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
