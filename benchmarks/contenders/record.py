"""What was seen, round by round, and its medians."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from contenders.load import Seen

IDEAL = "ideal"


class Record:
    """What each contender did under each load, one entry a round."""

    def __init__(self) -> None:
        self._rates: dict[tuple[str, str], list[float]] = defaultdict(list)
        self._latencies_ms: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._wrong: dict[tuple[str, str], int] = defaultdict(int)
        self._allowed: dict[str, float] = {}

    def add_ideal(self, load: str, images_per_second: float) -> None:
        """Add a round of what no server can beat."""
        self._rates[load, IDEAL].append(images_per_second)

    def allow(self, load: str, images_per_second: float) -> None:
        """Set what no server can beat, once for all rounds."""
        self._allowed[load] = images_per_second

    def add(self, contender: str, load: str, seen: Seen) -> None:
        """Add a round."""
        key = load, contender
        self._rates[key].append(seen.images_per_second)
        self._wrong[key] += seen.wrong
        for exit_stage, latencies_ms in seen.latencies_ms.items():
            self._latencies_ms[key][exit_stage] += latencies_ms

    def summary(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return by load and contender: median rate, median of each round's share of that round's ideal, latencies."""
        loads: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for (load, contender), rates in self._rates.items():
            loads[load][contender] = {
                "images_per_second": float(np.median(rates)),
                "rounds": rates,
                "share_of_ideal": self._share(load, rates),
                "wrong": self._wrong[load, contender],
                "latency_ms": {
                    str(exit_stage): {f"p{q}": float(np.percentile(seen, q)) for q in (50, 99)}
                    for exit_stage, seen in sorted(self._latencies_ms[load, contender].items())
                    if seen
                },
            }
        return dict(loads)

    def _share(self, load: str, rates: list[float]) -> float | None:
        ideal = self._rates.get((load, IDEAL)) or [self._allowed.get(load, np.nan)] * len(rates)
        share = float(np.median(np.divide(rates, ideal)))
        return None if np.isnan(share) else share
