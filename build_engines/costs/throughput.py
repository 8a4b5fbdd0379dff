"""Images per second of the served models, in interleaved rounds, until their intervals are narrow or time is up."""

from __future__ import annotations

import datetime
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.stats import t as student

from build_engines.images.canvas import Canvas
from build_engines.repository.served_model import ServedModel
from build_engines.support.progress import OnProgress, ignore_progress
from cascade_core.contract import CLASS_ID, PROBABILITIES, TensorSpec

ROUND_S = 1.0
LEAST_REQUESTS = 4  # of each client in a round, which lasts longer where networks are slow
LEAST_ROUNDS, MOST_ROUNDS = 5, 30  # with fewer, intervals are narrow by chance more often
LEVEL = 0.95
NARROW = 0.05  # half of the interval, relative to the mean
LIMIT_S = 10.0  # for each route
BUSY = 0.5  # of the cores


@dataclass(frozen=True)
class Load:
    """How the served models are called."""

    clients: int = 4
    batch_images: int = 8

    @property
    def in_words(self) -> str:
        """What was measured, for the source of costs."""
        return f"served, {_counted(self.clients, 'client')}, {_counted(self.batch_images, 'image')} a request"


@dataclass(frozen=True)
class Route:
    """The models that every image is sent to, one after another.

    Attributes:
        models: Their names.
        served: How they are served, in words.
        output: What they are asked for.
    """

    models: tuple[str, ...]
    served: str
    output: TensorSpec = PROBABILITIES

    @classmethod
    def to_cascade(cls, name: str, served: str) -> Self:
        """Return the route to a cascade, which is asked for classes."""
        return cls((name,), served, CLASS_ID)


class Throughput(BaseModel):
    """Images per second of one route.

    Attributes:
        images_per_s: Mean of the rounds.
        interval: Its 95 % interval, by Student's t. It covers less often where rounds ended because it was narrow: see
            `benchmarks/interval_coverage.py`.
        rounds: How many there were.
        served: How it is served, in words.
    """

    model_config = ConfigDict(frozen=True)

    images_per_s: float
    interval: tuple[float, float]
    rounds: int
    served: str

    @classmethod
    def of(cls, rates: Sequence[float], served: str) -> Self:
        """Return the mean of two or more rounds."""
        mean, error = statistics.mean(rates), statistics.stdev(rates) / len(rates) ** 0.5
        half = float(student.ppf((1 + LEVEL) / 2, len(rates) - 1)) * error
        return cls(images_per_s=mean, interval=(mean - half, mean + half), rounds=len(rates), served=served)

    @property
    def is_narrow(self) -> bool:
        """Whether more rounds would say little more."""
        return self.rounds >= LEAST_ROUNDS and self.interval[1] - self.images_per_s <= NARROW * self.images_per_s


class Conditions(BaseModel):
    """When, and on how busy a machine, something was measured.

    Attributes:
        load_average: Of the last minute before it began.
        cores: Of this machine.
        date: In UTC, YYYY-MM-DD.
    """

    model_config = ConfigDict(frozen=True)

    load_average: float
    cores: int
    date: str

    @classmethod
    def now(cls) -> Self:
        """Return those of this moment."""
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        return cls(load_average=round(os.getloadavg()[0], 2), cores=os.cpu_count() or 1, date=date)

    @property
    def is_busy(self) -> bool:
        """Whether other work took cores."""
        return self.load_average > BUSY * self.cores

    @property
    def in_words(self) -> str:
        """Say it beside a figure."""
        return f"load average {self.load_average:g} before it on {_counted(self.cores, 'core')}, {self.date}"


DEFAULT_LOAD = Load()


def measure(
    url: str,
    routes: Mapping[str, Route],
    canvases: Canvas,
    on_progress: OnProgress = ignore_progress,
    load: Load = DEFAULT_LOAD,
    limit_s: float = LIMIT_S,
) -> dict[str, Throughput]:
    """Measure the images per second of each route.

    In each round every route is measured once, so that noise affects all alike. Rounds end once all intervals are
    narrow, or the time is up; there are two at least.

    Args:
        url: host:port of Triton's gRPC service.
        routes: By name.
        canvases: UINT8 [N, S, S, 3], the images; shuffled, and sent repeatedly by several clients at once.
        on_progress: Called before the first round, and after each with the number of routes whose interval is narrow.
        load: How many clients, and images a request.
        limit_s: Seconds for each route, after which no further round starts.
    """
    clients = [_Client(url, batches) for batches in _batches(canvases, load)]
    rates: dict[str, list[float]] = {name: [] for name in routes}
    measured: dict[str, Throughput] = {}
    title = f"measuring, {_counted(load.batch_images, 'image')} a request"
    ends_s = time.monotonic() + limit_s * len(routes)
    on_progress(title, 0, len(routes))
    for done in range(1, MOST_ROUNDS + 1):
        for name, route in routes.items():
            rates[name].append(_round(clients, route))
        if done > 1:
            measured = {name: Throughput.of(rates[name], route.served) for name, route in routes.items()}
        narrow = sum(one.is_narrow for one in measured.values())
        on_progress(title, narrow, len(routes))
        if narrow == len(routes) or (measured and time.monotonic() > ends_s):
            break
    return measured


class _Client:
    """One client: it goes on with the images where it stopped, from round to round."""

    def __init__(self, url: str, batches: list[Canvas]) -> None:
        self._url, self._batches, self._sent = url, batches, 0

    def run(self, route: Route) -> int:
        """Send images along a route for a round; return how many."""
        served, started_s, done = [ServedModel(self._url, model) for model in route.models], time.perf_counter(), 0
        requests = 0
        while requests < LEAST_REQUESTS or time.perf_counter() - started_s < ROUND_S:
            batch = self._batches[self._sent % len(self._batches)]
            for model in served:
                model.infer(batch, route.output)
            self._sent, requests, done = self._sent + 1, requests + 1, done + len(batch)
        for model in served:
            model.close()
        return done


def _batches(canvases: Canvas, load: Load) -> list[list[Canvas]]:
    """Return the requests of each client: all images in a random order, each client beginning elsewhere."""
    shuffled = canvases[np.random.default_rng(0).permutation(len(canvases))]
    images = -(-len(shuffled) // load.batch_images) * load.batch_images
    whole = np.resize(shuffled, (images, *shuffled.shape[1:]))
    batches = np.split(whole, images // load.batch_images)
    starts = [client * len(batches) // load.clients for client in range(load.clients)]
    return [batches[start:] + batches[:start] for start in starts]


def _round(clients: Sequence[_Client], route: Route) -> float:
    started_s = time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        counts = list(pool.map(lambda client: client.run(route), clients))
    return float(sum(counts) / (time.perf_counter() - started_s))


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
