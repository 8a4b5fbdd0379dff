"""(h) The cascade as a mosec pipeline: one process a stage; images that have left pass the rest untouched.

CONTENDERS_NETWORKS=FOLDER python -m contenders.mosec_app --address 127.0.0.1 --port PORT
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from mosec import Server, Worker

from contenders.gate import Gate
from contenders.stages import load
from contenders.workload import CANVAS, STAGES


class StageWorker(Worker):
    """A worker that runs one stage on the open images of a batch."""

    place = 0

    def __init__(self) -> None:
        super().__init__()
        networks = os.environ.get("CONTENDERS_NETWORKS")
        self._predict = load(STAGES[self.place], Path(networks) if networks else None)

    def forward(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Judge every request's open images after one call for all of them."""
        rows = [item["gate"].open_rows for item in data]
        waiting = np.concatenate([item["images"][open_rows] for item, open_rows in zip(data, rows, strict=True)])
        if len(waiting):
            said = np.split(self._predict(waiting), np.cumsum([len(part) for part in rows])[:-1])
            for item, predictions in zip(data, said, strict=True):
                item["gate"].advance(self.place, predictions)
        return data


class First(StageWorker):
    """The first stage, which decodes a request's bytes."""

    def deserialize(self, data: bytes) -> dict[str, Any]:
        """Return the images, and a gate for them."""
        images = np.frombuffer(data, np.uint8).reshape(-1, CANVAS, CANVAS, 3)
        return {"images": images, "gate": Gate(len(images))}


class Second(StageWorker):
    """The middle stage."""

    place = 1


class Last(StageWorker):
    """The last stage, which encodes the answer."""

    place = 2

    def serialize(self, data: dict[str, Any]) -> bytes:
        """Return the answer as JSON."""
        gate = data["gate"]
        return super().serialize({"class_id": gate.class_id.tolist(), "exit_stage": gate.exit_stage.tolist()})


if __name__ == "__main__":
    server = Server()
    for worker in (First, Second, Last):
        server.append_worker(worker, num=1, max_batch_size=32, max_wait_time=1)
    server.run()
