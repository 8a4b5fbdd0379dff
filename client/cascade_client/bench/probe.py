"""Latency by exit stage, measured by a single client while the server is under load."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Self

from cascade_client.bench.served import Model, Server
from cascade_client.canvas import Canvas
from cascade_client.contract import EXIT_STAGE
from cascade_client.errors import CascadeError

WINDING_UP_S = 0.2  # perf_analyzer still runs for a moment after its load has ended


class Probe:
    """A client that sends single images, of each exit stage in turn, one at a time while the context lasts.

    perf_analyzer's export of single requests is empty if an output contains NaN, as `stage_confidence` does for an
    image that exits early; the latency by exit stage is therefore measured here.
    """

    def __init__(self, url: str, cascade: Model, images: Mapping[int, Canvas]) -> None:
        """Prepare to send, for each stage, images UINT8 [n, S, S, 3] that exit there."""
        self._url, self._cascade, self._images = url, cascade, images
        self._seen: list[tuple[float, int, float]] = []
        self._ended_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: CascadeError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended_s = time.perf_counter()
        self._stop.set()
        self._thread.join()

    def latencies_ms(self, last_s: float) -> dict[int, list[float]]:
        """Return the latencies of the last seconds before the end of the context, by exit stage.

        Requests sent while the load was starting or had ended are left out.

        Raises:
            CascadeError: a probe failed.
        """
        if self._failure is not None:
            raise self._failure
        latencies_ms: dict[int, list[float]] = defaultdict(list)
        for started_s, stage, seconds in self._seen:
            if self._ended_s - last_s < started_s < self._ended_s - WINDING_UP_S:
                latencies_ms[stage].append(seconds * 1000)
        return dict(latencies_ms)

    def _run(self) -> None:
        turn = 0
        try:
            with Server(self._url) as server:
                while not self._stop.is_set():
                    for canvases in self._images.values():
                        self._ask(server, canvases[turn % len(canvases)][None])
                    turn += 1
        except CascadeError as error:
            self._failure = error

    def _ask(self, server: Server, canvas: Canvas) -> None:
        started_s = time.perf_counter()
        ((exit_stage,),) = server.ask(self._cascade, canvas, [EXIT_STAGE])
        self._seen.append((started_s, int(exit_stage[0]), time.perf_counter() - started_s))
