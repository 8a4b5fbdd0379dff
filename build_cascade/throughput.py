"""Measure images a second through the served models, interleaved so that noise hits all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from build_cascade.served import ServedModel
from build_engines.canvas import Canvas

CLIENTS = 4
BATCH_IMAGES = 8
ROUNDS = 3
ROUND_S = 1.0
HOW = f"served, {CLIENTS} clients, {BATCH_IMAGES} images a request, median of {ROUNDS} rounds"

Ask = Callable[[Canvas], None]


def measure(
    url: str, asks: Mapping[str, list[str]], canvases: Canvas, on_round: Callable[[], None]
) -> dict[str, float]:
    """Return the median images a second of each way to answer.

    Args:
        url: host:port of Triton's gRPC service.
        asks: For each way, the models that every image is sent to, one after another.
        canvases: UINT8 [N, S, S, 3], the images; sent over and over, in order, by several clients at once.
        on_round: Told when one round of one way is done.
    """
    rates: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(ROUNDS):
        for name, models in asks.items():
            rates[name].append(_round(url, models, canvases))
            on_round()
    return {name: statistics.median(values) for name, values in rates.items()}


def _round(url: str, models: list[str], canvases: Canvas) -> float:
    started_s = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        counts = list(pool.map(lambda client: _client(url, models, canvases, client, started_s), range(CLIENTS)))
    return sum(counts) / (time.perf_counter() - started_s)


def _client(url: str, models: list[str], canvases: Canvas, client: int, started_s: float) -> int:
    served = [ServedModel(url, model) for model in models]
    done = 0
    while time.perf_counter() - started_s < ROUND_S:
        start = (client * len(canvases) // CLIENTS + done) % max(len(canvases) - BATCH_IMAGES, 1)
        batch = canvases[start : start + BATCH_IMAGES]
        for model in served:
            model.infer(batch, "class_id" if model.name == "cascade" else "probabilities")
        done += len(batch)
    for model in served:
        model.close()
    return done
