"""The batch sizes that CUDA graphs are made of."""

from __future__ import annotations


def ladder(largest: int) -> list[int]:
    """Return 1, 2, 4, … and the largest batch size."""
    return sorted({1 << power for power in range(largest.bit_length())} | {largest})
