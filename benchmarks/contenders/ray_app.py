"""(f) The cascade as Ray Serve deployments: one a stage, batched, and one that calls them.

python -m contenders.ray_app PORT [NETWORKS]
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_OVERRIDE_NODE_IP_ADDRESS="127.0.0.1")
import numpy as np
import ray
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.requests import Request

from contenders.gate import Gate
from contenders.stages import load
from contenders.workload import CANVAS, STAGES, Images, Probabilities

LOOPBACK = "127.0.0.1"


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0})
class StageDeployment:
    """A stage, run on the images of all waiting requests."""

    def __init__(self, name: str, networks: str | None) -> None:
        self._predict = load(name, Path(networks) if networks else None)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0)
    async def __call__(self, parts: list[Images]) -> list[Probabilities]:
        """Answer each part."""
        ends = np.cumsum([len(part) for part in parts])[:-1]
        said = await asyncio.to_thread(self._predict, np.concatenate(parts))
        return np.split(said, ends)


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0})
class CascadeDeployment:
    """The cascade, which calls the stages and gates between them."""

    def __init__(self, *stages: Any) -> None:  # noqa: ANN401 (Ray's handles)
        self._stages = stages

    async def __call__(self, request: Request) -> dict[str, list[int]]:
        """Answer the images in a request's body."""
        images = np.frombuffer(await request.body(), np.uint8).reshape(-1, CANVAS, CANVAS, 3)
        gate = Gate(len(images))
        for stage, handle in enumerate(self._stages):
            if len(gate.open_rows):
                gate.advance(stage, await handle.remote(images[gate.open_rows]))
        return {"class_id": gate.class_id.tolist(), "exit_stage": gate.exit_stage.tolist()}


def main(port: str, networks: str | None = None) -> None:
    """Serve until the standard input ends."""
    ray.init(include_dashboard=False, logging_level="ERROR", log_to_driver=False, num_cpus=2)
    serve.start(http_options=HTTPOptions(host=LOOPBACK, port=int(port)), proxy_location="HeadOnly")
    stages = [StageDeployment.options(name=name).bind(name, networks) for name in STAGES]
    serve.run(CascadeDeployment.bind(*stages), name="cascade", route_prefix="/")
    sys.stdin.read()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
