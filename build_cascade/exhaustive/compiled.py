"""Two typed decorators around numba, which has no annotations.

Neither uses fast-math: sums keep their order and are not contracted, so that they equal numpy's to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

prange: Callable[[int], range] = numba.prange


def compiled(function: Function) -> Function:
    """Compile `function` for one thread and cache the machine code next to its file."""
    return cast("Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def parallel(function: Function) -> Function:
    """Compile `function`, whose `prange` loops run on all threads, and cache the machine code."""
    return cast("Function", numba.njit(cache=True, parallel=True, error_model="numpy")(function))


def use_threads(count: int | None) -> int:
    """Set how many threads kernels run on, all cores if None, and return the number."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    threads = most if count is None else max(1, min(count, most))
    numba.set_num_threads(threads)
    return threads
