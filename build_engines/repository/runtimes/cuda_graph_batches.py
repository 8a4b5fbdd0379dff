"""The batch sizes that CUDA graphs are captured for."""

from __future__ import annotations


def cuda_graph_batches(largest: int) -> list[int]:
    """Return the powers of two up to the largest batch size, and that size itself."""
    return sorted({1 << power for power in range(largest.bit_length())} | {largest})
