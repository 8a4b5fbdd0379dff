"""Start and stop what serves the contenders, on the loopback only."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from contenders.load import PROBABILITIES, Target
from contenders.repository import write_repository
from contenders.workload import CANVAS
from embedded_server import EmbeddedServer

LOOPBACK = "127.0.0.1"
ANSWER = ("class_id", "exit_stage")
OUTPUTS = {"small": (PROBABILITIES,), "large": (PROBABILITIES,), "ensemble": ("class_id",)}
APPS = {"ray": "ray_app", "mosec": "mosec_app"}
PATHS = {"ray": "/", "mosec": "/inference"}
PATIENCE_S = 90


@contextmanager
def triton(networks: Path | None) -> Iterator[int]:
    """Serve every contender that Triton serves; yield the HTTP port."""
    with TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        write_repository(repository, networks)
        with EmbeddedServer(repository, log_file=Path(folder) / "triton.log") as server:
            yield int(server.addresses.http.rsplit(":", 1)[1])


def triton_target(model: str, port: int) -> Target:
    """Return the address of one of them."""
    return Target(port, f"/v2/models/{model}/infer", OUTPUTS.get(model, ANSWER))


@contextmanager
def app(name: str, networks: Path | None) -> Iterator[Target]:
    """Serve the cascade by Ray Serve or mosec.

    Raises:
        ConnectionError: it did not come up.
    """
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", f"contenders.{APPS[name]}", *_arguments(name, port, networks)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    if networks:
        environment["CONTENDERS_NETWORKS"] = str(networks)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(  # noqa: S603 (our own module)
        command, env=environment, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet
    )
    try:
        _wait(port, process, PATHS[name])
        yield Target(port, PATHS[name])
    finally:
        _stop(process)


def _arguments(name: str, port: int, networks: Path | None) -> list[str]:
    if name == "ray":
        return [str(port), *([str(networks)] if networks else [])]
    return ["--address", LOOPBACK, "--port", str(port)]


def _wait(port: int, process: subprocess.Popen[bytes], path: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
            connection.request("POST", path, bytes(CANVAS * CANVAS * 3))
            if connection.getresponse().status == http.client.OK:
                return
        except (OSError, http.client.HTTPException):
            pass  # it is not up yet
        time.sleep(0.2)
    raise ConnectionError(f"{process.args!r} did not come up")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(1 if process.args[2] == "contenders.mosec_app" else PATIENCE_S)  # type: ignore[index]
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(PATIENCE_S)
