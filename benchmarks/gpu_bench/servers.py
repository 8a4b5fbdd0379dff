"""The Triton that serves: the embedded one, or for TensorRT plans the `tritonserver` program of NVIDIA's container."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

LOOPBACK = "127.0.0.1"
PROGRAM = "/opt/tritonserver/bin/tritonserver"
START_S = 900  # compiling and capturing graphs of a whole pool takes minutes
STOP_S = 60


class NotServedError(Exception):
    """The reason why nothing can be served here."""


@contextmanager
def serve(repository: Path, models: Sequence[str], runtime: str, log: Path) -> Iterator[str]:
    """Serve some entries of a repository; yield host:port of the gRPC service.

    Raises:
        NotServedError: the server that this runtime needs is not here, or does not start.
    """
    start = _program if runtime == "tensorrt" else _embedded
    with start(repository, models, log) as url:
        yield url


def check(runtime: str) -> None:
    """Look for what can be seen to be missing before anything is built.

    Raises:
        NotServedError: the server that this runtime needs cannot start here.
    """
    if runtime == "tensorrt":
        _find_program()
        return
    try:
        from embedded_server import EmbeddedServerError, preflight  # noqa: PLC0415 (may be missing)
    except ImportError as error:
        raise NotServedError(f"{error}; install nvidia-pytriton") from error
    try:
        preflight.check_machine()
    except EmbeddedServerError as error:
        raise NotServedError(str(error)) from error


@contextmanager
def _embedded(repository: Path, models: Sequence[str], log: Path) -> Iterator[str]:
    from embedded_server import EmbeddedServer, EmbeddedServerError  # noqa: PLC0415 (as in `check`)

    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(
                EmbeddedServer(repository, models=models, log_file=log, start_timeout_s=START_S)
            )
        except EmbeddedServerError as error:
            raise NotServedError(str(error)) from error
        yield server.addresses.grpc


def _find_program() -> str:
    program = shutil.which("tritonserver") or shutil.which(PROGRAM)
    if program is None:
        raise NotServedError(f"TensorRT plans are served by NVIDIA's container; there is no {PROGRAM} here")
    return program


@contextmanager
def _program(repository: Path, models: Sequence[str], log: Path) -> Iterator[str]:
    port = _free_port()
    options = {"model-repository": repository, "model-control-mode": "explicit", "grpc-address": LOOPBACK}
    switches = {"grpc-port": port, "allow-http": "false", "allow-metrics": "false", "model-load-thread-count": 1}
    command = [_find_program(), *(f"--{name}={value}" for name, value in {**options, **switches}.items())]
    command += [f"--load-model={model}" for model in models]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 (found by its name)
        try:
            _wait_until_ready(f"{LOOPBACK}:{port}", process, log)
            yield f"{LOOPBACK}:{port}"
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end_s = time.monotonic() + START_S
    with InferenceServerClient(url) as client:
        while time.monotonic() < end_s and process.poll() is None:
            with contextlib.suppress(InferenceServerException):
                if client.is_server_ready():
                    return
            time.sleep(0.5)
    raise NotServedError(f"tritonserver did not become ready; see its log: {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
