"""Clients, in processes of their own: ask the server over gRPC as fast as it answers, and check every answer."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult

from cascade_core.contract import CLASS_ID, EXIT_STAGE, IMAGE, PROBABILITIES
from gpu_bench.deck import Deck

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Load:
    """The load that clients generate.

    Attributes:
        clients: Concurrent clients, each waiting for its answer.
        batch: Images per request.
        seconds: Duration, after a warm-up.
        warm_up_s: Duration of the warm-up.
    """

    clients: int
    batch: int
    seconds: float
    warm_up_s: float = 1.0


@dataclass
class Seen:
    """What clients saw: milliseconds of each request by the last exit among its images, and wrong answers."""

    latencies_ms: dict[int, list[float]] = field(default_factory=dict)
    images: int = 0
    wrong: int = 0

    def add(self, other: Seen) -> None:
        """Add what another client saw."""
        self.images += other.images
        self.wrong += other.wrong
        for exit_stage, latencies_ms in other.latencies_ms.items():
            self.latencies_ms.setdefault(exit_stage, []).extend(latencies_ms)


class Clients:
    """A pool of client processes, separate from the server's."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool = multiprocessing.get_context("spawn").Pool(processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()

    def ask(self, url: str, model: str, deck: Path, load: Load) -> Seen:
        """Ask about a deck, over and over; return what was seen after the warm-up.

        Raises:
            InferenceServerException: the model did not answer.
        """
        processes = min(self._processes, load.clients)
        begin_s = time.monotonic() + load.warm_up_s
        work = [(url, model, deck, load, begin_s, range(first, load.clients, processes)) for first in range(processes)]
        return _sum(self._pool.starmap(_ask_side_by_side, work, chunksize=1))


def _sum(parts: Iterable[Seen]) -> Seen:
    total = Seen()
    for part in parts:
        total.add(part)
    return total


@dataclass(frozen=True)
class Request:
    """A tensor that is ready to be sent, with the right answers for its images."""

    tensor: InferInput
    class_id: npt.NDArray[np.int32]
    exit_stage: npt.NDArray[np.int32]

    def wrong(self, result: InferResult) -> int:
        """Count the images whose class or exit is not the right one."""
        class_id, exit_stage = result.as_numpy(CLASS_ID.name), result.as_numpy(EXIT_STAGE.name)
        if class_id is None:  # a backbone alone
            return int(np.sum(result.as_numpy(PROBABILITIES.name).argmax(axis=1) != self.class_id))
        right = (class_id[:, 0] == self.class_id) & (exit_stage[:, 0] == self.exit_stage)
        return int(np.sum(~right))


@lru_cache(2)
def _requests(deck: Path, batch: int) -> list[Request]:
    """Return requests in which each image of a deck comes equally often."""
    dealt = Deck.load(deck)
    rows = np.arange(math.lcm(len(dealt.images), batch)).reshape(-1, batch) % len(dealt.images)
    return [_request(dealt, some) for some in rows]


def _request(deck: Deck, rows: npt.NDArray[np.intp]) -> Request:
    tensor = InferInput(IMAGE.name, list(deck.images[rows].shape), IMAGE.datatype)
    tensor.set_data_from_numpy(deck.images[rows])
    return Request(tensor, deck.class_id[rows], deck.exit_stage[rows])


def _ask_side_by_side(url: str, model: str, deck: Path, load: Load, begin_s: float, numbers: range) -> Seen:
    parts, failures, requests = [], [], _requests(deck, load.batch)
    begin_s = max(begin_s, time.monotonic() + load.warm_up_s / 2)  # the first process that reads a deck may be late

    def client(number: int) -> None:
        try:
            parts.append(_ask_for_a_while(url, model, requests, load, begin_s, number))
        except Exception as error:  # raised again by the thread that waits
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return _sum(parts)


def _ask_for_a_while(url: str, model: str, requests: list[Request], load: Load, begin_s: float, number: int) -> Seen:
    seen, end_s = Seen(), begin_s + load.seconds
    first = number * len(requests) // load.clients
    with InferenceServerClient(url) as client:
        outputs = [InferRequestedOutput(name) for name in _outputs(client, model)]
        for request in itertools.cycle([*requests[first:], *requests[:first]]):
            asked_s = time.monotonic()
            if asked_s >= end_s:
                return seen
            result = client.infer(model, [request.tensor], outputs=outputs, client_timeout=TIMEOUT_S)
            answered_s = time.monotonic()
            if begin_s <= answered_s <= end_s:
                latency_ms = {int(request.exit_stage.max()): [(answered_s - asked_s) * 1e3]}
                seen.add(Seen(latency_ms, load.batch, request.wrong(result)))
    return seen


def _outputs(client: InferenceServerClient, model: str) -> list[str]:
    names = {output.name for output in client.get_model_metadata(model).outputs}
    return [CLASS_ID.name, EXIT_STAGE.name] if EXIT_STAGE.name in names else [PROBABILITIES.name]
