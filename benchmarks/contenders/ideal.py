"""What no server can beat: the same networks called in process; and what sleeping stages allow."""

from __future__ import annotations

import heapq
import multiprocessing
import os
import time
from collections import deque
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
    begin, turn, answered = time.monotonic() + WARM_UP_S, 0, 0
    while (now := time.monotonic()) < begin + seconds:
        part = parts[turn % len(parts)]
        gate, turn = Gate(len(part)), turn + 1
        for stage, predict in enumerate(stages):
            if len(gate.open_rows):
                gate.advance(stage, predict(part[gate.open_rows]))
        answered += len(part) if now >= begin else 0
    return answered / seconds


def allowed_images_per_second(clients: int, images: int = 50_000) -> float:
    """Simulate sleeping stages that lose no time: each takes all that waits as soon as it is free, one call at a time."""
    rng = np.random.default_rng(0)
    exits = rng.choice(EXITS, images + clients, p=EXIT_SHARES).tolist()
    waiting: list[deque[int]] = [deque(exits[:clients]), *(deque[int]() for _ in STAGES[1:])]
    now_ms, begun, answered = 0.0, clients, 0
    calls: list[tuple[float, int, list[int]]] = []
    while answered < images:
        busy = {stage for _, stage, _ in calls}
        for stage, queue in enumerate(waiting):
            if queue and stage not in busy:
                heapq.heappush(calls, (now_ms + CALL_MS[STAGES[stage]], stage, list(queue)))
                queue.clear()
        now_ms, stage, done = heapq.heappop(calls)
        for leaves in done:
            if leaves == stage + 1:
                answered += 1
                waiting[0].append(exits[begun % len(exits)])
                begun += 1
            else:
                waiting[stage + 1].append(leaves)
    return answered / now_ms * 1e3
