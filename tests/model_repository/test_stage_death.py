"""A stage whose process dies: requests that need it get an error, none hangs, and reloading it restores service."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from embedded_server import EmbeddedServer
from tests.support.processes import server_processes
from tests.support.serving import FIELDS, ask, assert_equal, eventually, is_empty, metrics, serve_as, settled, slow_down


def process_of(entry):
    [found] = [pid for pid in server_processes(os.getpid()) if str(entry) in Path(f"/proc/{pid}/cmdline").read_text()]
    return found


@pytest.mark.parametrize("degraded", [False, True])
def test_a_stage_that_dies_at_work(repository_copy, images, tiny_cascade, outcome, easy, hard, degraded):
    slow_down(repository_copy, "large", 1.0)
    serve_as(repository_copy, tiny_cascade, degraded=degraded)
    with EmbeddedServer(repository_copy) as server, ThreadPoolExecutor(8) as pool:
        before = settled(server)["stage_batch_images_count", "large"]
        asked = [pool.submit(ask, server, "cascade", images[hard[:1]], (*FIELDS, "degraded")) for _ in range(8)]
        eventually(lambda: metrics(server)["stage_batch_images_count", "large"] > before, True)
        os.kill(process_of(repository_copy / "large"), signal.SIGKILL)
        for answer in asked:
            if degraded:
                assert answer.result()["degraded"].all()
                assert answer.result()["exit_stage"] == 2
            else:
                with pytest.raises(InferenceServerException, match=r"stage 'large' failed.*not healthy"):
                    answer.result()
        assert_equal(ask(server, "cascade", images[easy[:8]], FIELDS), outcome, easy[:8])
        is_empty(server)
        server.load("large")
        rows = np.resize(hard, 8)
        assert_equal(ask(server, "cascade", images[rows], FIELDS), outcome, rows)
