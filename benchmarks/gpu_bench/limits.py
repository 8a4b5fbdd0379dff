"""What the card can do at best, measured in the same run: a large matrix product and a copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SIDE, COPIED_BYTES = {"cuda": 8192, "cpu": 1024}, {"cuda": 2 << 30, "cpu": 64 << 20}
REPEATS = 10


@dataclass(frozen=True)
class Limits:
    """The attained rates of computation and memory.

    Attributes:
        flops: Floating-point operations a second, of a square matrix product; FP16 on CUDA, FP32 elsewhere.
        bytes_per_s: Bytes read and written a second, of a copy from memory to memory.
    """

    flops: float
    bytes_per_s: float


def device() -> str:
    """Return torch's name of what computes: `cuda` where there is a GPU, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def measure_limits() -> Limits:
    """Measure what the device attains now."""
    where = device()
    kind = torch.float16 if where == "cuda" else torch.float32
    left, right = (torch.randn(SIDE[where], SIDE[where], device=where, dtype=kind) for _ in range(2))
    product_s = _seconds(lambda: torch.mm(left, right))
    source = torch.ones(COPIED_BYTES[where], device=where, dtype=torch.uint8)
    target = torch.empty_like(source)
    copy_s = _seconds(lambda: target.copy_(source))
    return Limits(2 * SIDE[where] ** 3 / product_s, 2 * COPIED_BYTES[where] / copy_s)


def _seconds(run: Callable[[], torch.Tensor]) -> float:
    """Return the seconds of one call, after a warm-up of as many."""
    for _ in range(REPEATS):
        run()
    _wait()
    started_s = time.perf_counter()
    for _ in range(REPEATS):
        run()
    _wait()
    return (time.perf_counter() - started_s) / REPEATS


def _wait() -> None:
    if device() == "cuda":
        torch.cuda.synchronize()
