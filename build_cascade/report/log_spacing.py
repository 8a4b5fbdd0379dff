"""A few of many items, evenly spaced by the logarithm of a cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

CLOSEST = 0.4  # of the even distance between picks

T = TypeVar("T")


def log_spaced(items: Sequence[T], count: int, cost: Callable[[T], float], taken: float | None = None) -> list[T]:
    """Return at most `count` of the items in their order, with the cheapest and the most expensive among them.

    Args:
        items: With a cost above zero each.
        count: The most that are returned.
        cost: Of an item.
        taken: A cost that no picked item should be close to.
    """
    if not items or (taken is None and len(items) <= count):
        return list(items)
    logs = np.log([cost(item) for item in items])
    step = (logs.max() - logs.min()) / max(1, count - 1)
    crowd = [] if taken is None else [float(np.log(taken))]
    picked: list[int] = []
    for wanted in np.linspace(logs.min(), logs.max(), count):
        place = int(np.abs(logs - wanted).argmin())
        if all(abs(logs[place] - other) > CLOSEST * step for other in crowd):
            picked.append(place)
            crowd.append(float(logs[place]))
    return [items[place] for place in sorted(picked)]
