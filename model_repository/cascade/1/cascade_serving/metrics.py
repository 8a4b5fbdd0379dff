"""The cascade's own metrics, on Triton's metrics port.

Triton's compute times end when `execute()` has accepted a request; these measure how long an image really took. All
count images, so that they add up: images that came in = exits + failed + in flight.
"""

from __future__ import annotations

import ctypes
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import triton_python_backend_utils as pb_utils

FLUSH_PERIOD_S = 0.1
BATCH_SIZES: list[float] = [1, 2, 4, 8, 16, 32, 64]
SECONDS: list[float] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]

T = TypeVar("T")


class Family(NamedTuple):
    """A metric family.

    Attributes:
        kind: Its type, as `pb_utils.MetricFamily` names it.
        label: The label that distinguishes its series; empty if there is one series.
        help: Its description.
        buckets: The upper bounds of a histogram's buckets.
    """

    kind: str
    label: str
    help: str
    buckets: list[float] | None = None


FAMILIES = {
    "images": Family("COUNTER", "", "Images that came in"),
    "exits": Family("COUNTER", "stage", "Images answered, by the stage at which they left"),
    "escalations": Family("COUNTER", "stage", "Images that a stage answered and the gate sent on"),
    "degraded_images": Family("COUNTER", "", "Images answered without a stage that they needed"),
    "failed_images": Family("COUNTER", "kind", "Images of requests answered by an error, by its kind"),
    "images_in_flight": Family("GAUGE", "", "Images inside the cascade"),
    "waiting_images": Family("GAUGE", "stage", "Images in a stage's queue"),
    "stage_batch_images": Family("HISTOGRAM", "stage", "Images in a call of a stage", BATCH_SIZES),
    "image_seconds": Family("HISTOGRAM", "stage", "Seconds from arrival to answer, by the stage of exit", SECONDS),
}


class Metrics:
    """Counts kept in this process, and the one thread that reports them to Triton.

    A call of Triton's metrics takes 0.06 ms, and two at once crash the whole server (Triton 24.10). So `add` and
    `observe`, which any thread may call, only change sums here, under `_lock`; the reporter swaps the sums for new ones
    under that lock and passes them on without it, FLUSH_PERIOD_S later at most. Only the reporter, and `start` before
    it runs, touch `_families` and `_series`.
    """

    def __init__(self, model: str, version: str) -> None:
        self._labels = {"model": model, "version": version}
        self._families: dict[str, pb_utils.MetricFamily] = {}
        self._series: dict[tuple[str, str], pb_utils.Metric] = {}
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, str], float] = defaultdict(float)
        self._observed: list[tuple[str, str, float]] = []
        self._enabled = True  # set to False once, by one thread: needs no lock
        self._ended = threading.Event()
        self._reporter = threading.Thread(target=self._report, daemon=True)

    def start(self, stages: list[str]) -> None:
        """Show every series of a stage at zero, and start the reporter."""
        with self._disabling_on_error():
            for name, family in FAMILIES.items():
                for label in {"stage": stages, "": [""]}.get(family.label, []):
                    self._get(name, label)
        self._reporter.start()

    def add(self, name: str, amount: float, label: str = "") -> None:
        """Add to a counter or a gauge."""
        if self._enabled:
            with self._lock:
                self._sums[name, label] += amount

    def observe(self, name: str, value: float, label: str = "", times: int = 1) -> None:
        """Add a value to a histogram, `times` times."""
        if self._enabled:
            with self._lock:
                self._observed += [(name, label, value)] * times

    def close(self) -> None:
        """Report what is left, and end the reporter."""
        self._ended.set()
        self._reporter.join()

    def _report(self) -> None:
        with self._disabling_on_error():
            while not self._ended.wait(FLUSH_PERIOD_S):
                self._flush()
            self._flush()

    @contextmanager
    def _disabling_on_error(self) -> Iterator[None]:
        """Disable metrics once Triton refuses them: it can be built without, and no request may fail for them."""
        try:
            yield
        except Exception as error:
            self._enabled = False
            pb_utils.Logger.log_warn(f"cascade: metrics are disabled: {error}")

    def _flush(self) -> None:
        with self._lock:
            sums, self._sums = self._sums, defaultdict(float)
            observed, self._observed = self._observed, []
        for (name, label), amount in sums.items():
            if amount:
                self._get(name, label).increment(amount)
        for name, label, value in observed:
            self._get(name, label).observe(value)

    def _get(self, name: str, label: str) -> pb_utils.Metric:
        if (name, label) not in self._series:
            family = FAMILIES[name]
            if name not in self._families:
                kind = getattr(pb_utils.MetricFamily, family.kind)
                self._families[name] = _keep_forever(
                    pb_utils.MetricFamily(name=_full_name(name, family), description=family.help, kind=kind)
                )
            labels = self._labels | ({family.label: label} if family.label else {})
            buckets = {"buckets": family.buckets} if family.buckets else {}
            self._series[name, label] = _keep_forever(self._families[name].Metric(labels=labels, **buckets))
        return self._series[name, label]


def _full_name(name: str, family: Family) -> str:
    return f"cascade_{name}_total" if family.kind == "COUNTER" else f"cascade_{name}"


def _keep_forever(metric: T) -> T:
    """Keep a metric alive even without references, and return it.

    A reloaded model shares its series with the instance that it replaces. When the old instance's objects are deleted,
    the series vanish while the new one still uses them, and the whole server crashes (Triton 24.10).
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(metric))
    return metric
