"""What no server can beat: the same networks called in process; and what sleeping stages allow."""

from __future__ import annotations

import heapq
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np

from contenders.gate import Gate
from contenders.load import EXITS
from contenders.stages import load
from contenders.workload import CALL_MS, EXIT_SHARES, STAGES, images_of

WARM_UP_S = 0.5
ROWS = 240


def ideal_images_per_second(networks: Path, batch: int, seconds: float) -> float:
    """Run the cascade in process, one process a core; return images a second of all."""
    cores = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        return sum(pool.starmap(_run, [(networks, batch, seconds)] * cores))


def _run(networks: Path, batch: int, seconds: float) -> float:
    stages = [load(name, networks) for name in STAGES]
    rng = np.random.default_rng(0)
    images, _ = images_of(rng.permutation(np.repeat(EXITS, [round(share * ROWS) for share in EXIT_SHARES])), rng)
    parts = [images[start : start + batch] for start in range(0, ROWS, batch)]
    begin, request, answered = time.monotonic() + WARM_UP_S, 0, 0
    while (now := time.monotonic()) < begin + seconds:
        part = parts[request % len(parts)]
        gate, request = Gate(len(part)), request + 1
        for stage, predict in enumerate(stages):
            if len(gate.open_rows):
                gate.advance(stage, predict(part[gate.open_rows]))
        answered += len(part) if now >= begin else 0
    return answered / seconds


def allowed_images_per_second(clients: int, batch: int, requests: int = 20_000) -> float:
    """Simulate sleeping stages that take all images that wait, and lose no time between calls."""
    rng, now_ms, answered = np.random.default_rng(0), 0.0, 0
    waiting: list[list[tuple[int, int]]] = [[] for _ in STAGES]
    still_in = [batch] * clients
    calls: list[tuple[float, int, list[tuple[int, int]]]] = []

    def ask(client: int) -> None:
        still_in[client] = batch
        waiting[0].extend((client, leaves) for leaves in rng.choice(EXITS, batch, p=EXIT_SHARES).tolist())

    for client in range(clients):
        ask(client)
    while answered < requests:
        for stage in {*range(len(STAGES))} - {stage for _, stage, _ in calls}:
            if waiting[stage]:
                heapq.heappush(calls, (now_ms + CALL_MS[STAGES[stage]], stage, waiting[stage]))
                waiting[stage] = []
        now_ms, stage, images = heapq.heappop(calls)
        for client, leaves in images:
            if leaves > stage + 1:
                waiting[stage + 1].append((client, leaves))
                continue
            still_in[client] -= 1
            if not still_in[client]:
                answered += 1
                ask(client)
    return answered * batch / now_ms * 1e3
