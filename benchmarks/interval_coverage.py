"""How often the interval of a measurement that stops once it is narrow covers the true rate, on simulated rounds.

`python benchmarks/interval_coverage.py` prints it for several spreads of the rounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from build_engines.costs.throughput import LEVEL, MOST_ROUNDS, Throughput

MEASUREMENTS = 2000
SPREADS = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12)  # standard deviation of a round's rate, relative to its mean


def simulated(spread: float, measurements: int = MEASUREMENTS) -> list[Throughput]:
    """Return measurements of a true rate of 1 that no limit of time ends."""
    rounds = 1 + spread * np.random.default_rng(0).standard_normal((measurements, MOST_ROUNDS))
    return [_ended(rates.tolist()) for rates in rounds]


def coverage(measured: Sequence[Throughput]) -> float:
    """Return the share of measurements whose interval covers a true rate of 1."""
    return float(np.mean([one.interval[0] <= 1 <= one.interval[1] for one in measured]))


def _ended(rates: Sequence[float]) -> Throughput:
    seen = (Throughput.of(rates[:rounds], "") for rounds in range(2, len(rates)))
    return next((one for one in seen if one.is_narrow), Throughput.of(rates, ""))


if __name__ == "__main__":
    table = Table("spread of the rounds", "rounds", f"coverage of the {LEVEL:.0%} interval")
    for spread in SPREADS:
        found = simulated(spread)
        rounds = float(np.mean([one.rounds for one in found]))
        table.add_row(f"{spread:.0%}", f"{rounds:.1f}", f"{coverage(found):.1%}")
    Console().print(table)
