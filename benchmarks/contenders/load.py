"""Clients, in a process of their own: ask a contender over HTTP as fast as it answers, and check every answer."""

from __future__ import annotations

import http.client
import itertools
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from contenders.workload import CANVAS, CLASSES, EXIT_SHARES, Images, images_of

WARM_UP_S = 0.5
DECK = 120  # images; the shares of the exits are exact in it
PROBABILITIES = "probabilities"
HEADER_LENGTH = "Inference-Header-Content-Length"
EXITS = tuple(range(1, len(EXIT_SHARES) + 1))


@dataclass(frozen=True)
class Target:
    """The address of a contender.

    Attributes:
        port: On the loopback.
        path: Of the HTTP request.
        outputs: What to ask Triton for; empty for a server that takes bytes and answers JSON.
    """

    port: int
    path: str
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Load:
    """The load that clients generate.

    Attributes:
        clients: Concurrent clients, each waiting for its answer.
        batch: Images per request.
        seconds: Duration.
        exits: The exits that images have, all three by their shares if empty.
    """

    clients: int
    batch: int
    seconds: float
    exits: tuple[int, ...] = ()


@dataclass
class Seen:
    """What clients saw: images a second, and milliseconds of each request by the last exit among its images."""

    images_per_second: float = 0.0
    latencies_ms: dict[int, list[float]] = field(default_factory=lambda: {stage: [] for stage in EXITS})
    wrong: int = 0


class Clients:
    """A pool of client processes, separate from the servers'."""

    def __init__(self, processes: int) -> None:
        self._pool = multiprocessing.get_context("spawn").Pool(processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()

    def measure(self, target: Target, loads: Sequence[Load], seed: int) -> list[Seen]:
        """Ask under several loads side by side, a process each; return what each saw after a warm-up.

        Raises:
            ConnectionError: the contender did not answer.
        """
        return self._pool.starmap(_ask_for_a_while, [(target, load, seed) for load in loads], chunksize=1)


def _ask_for_a_while(target: Target, load: Load, seed: int) -> Seen:
    seen, lock, failures = Seen(), threading.Lock(), []
    begin_s = time.monotonic() + WARM_UP_S

    def client(number: int) -> None:
        try:
            for latency_ms, last_exit, is_right in _answers(target, load, (seed, number), begin_s):
                with lock:
                    seen.latencies_ms[last_exit].append(latency_ms)
                    seen.wrong += not is_right
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(load.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise ConnectionError(f"{target.path}: {failures[0]!r}")
    seen.images_per_second = load.batch * sum(map(len, seen.latencies_ms.values())) / load.seconds
    return seen


def _answers(target: Target, load: Load, seed: tuple[int, int], begin_s: float) -> Iterator[tuple[float, int, bool]]:
    """Ask one request after another; yield each one's milliseconds, the last exit of its images, and if it is right."""
    ask, deck = _asker(target), itertools.cycle(_deck(load, np.random.default_rng(seed)))
    while (start_s := time.monotonic()) < begin_s + load.seconds:
        images, classes, exits = next(deck)
        answer = ask(images)
        latency_ms = (time.monotonic() - start_s) * 1e3
        if start_s >= begin_s:
            yield latency_ms, max(exits), answer["class_id"] == classes and answer.get("exit_stage", exits) == exits


def _deck(load: Load, rng: np.random.Generator) -> list[tuple[Images, list[int], list[int]]]:
    counts = [round(share * DECK) for share in EXIT_SHARES]
    every = np.repeat(EXITS, counts) if not load.exits else np.resize(load.exits, DECK)
    exits = rng.permutation(every)
    images, classes = images_of(exits, rng)
    starts = range(0, DECK, load.batch)
    return [
        (images[i : i + load.batch], classes[i : i + load.batch].tolist(), exits[i : i + load.batch].tolist())
        for i in starts
    ]


def _asker(target: Target) -> Callable[[Images], dict[str, list[int]]]:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)

    def ask(images: Images) -> dict[str, list[int]]:
        body, headers = images.tobytes(), {"Content-Type": "application/octet-stream"}
        if target.outputs:
            head = _triton_head(len(images), target.outputs)
            body, headers = head + body, headers | {HEADER_LENGTH: str(len(head))}
        connection.request("POST", target.path, body, headers)
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != http.client.OK:
            raise ConnectionError(f"{reply.status} {content[:200]!r}")
        return _triton_answer(content, reply.headers) if target.outputs else json.loads(content)

    return ask


def _triton_head(images: int, outputs: tuple[str, ...]) -> bytes:
    size = images * CANVAS * CANVAS * 3
    image = {"name": "image", "shape": [images, CANVAS, CANVAS, 3], "datatype": "UINT8"}
    wanted = [{"name": name, "parameters": {"binary_data": name == PROBABILITIES}} for name in outputs]
    return json.dumps({"inputs": [image | {"parameters": {"binary_data_size": size}}], "outputs": wanted}).encode()


def _triton_answer(content: bytes, headers: Mapping[str, str]) -> dict[str, list[int]]:
    size = int(headers.get(HEADER_LENGTH, len(content)))
    answers = {output["name"]: output.get("data") for output in json.loads(content[:size])["outputs"]}
    if PROBABILITIES in answers:  # of a backbone alone
        return {"class_id": np.frombuffer(content[size:], np.float32).reshape(-1, CLASSES).argmax(1).tolist()}
    return answers
