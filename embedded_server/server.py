"""The embedded server: Triton from pip, started and stopped as a context manager."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from cascade_core.contract import CASCADE, DECODE
from embedded_server.errors import EmbeddedServerError
from embedded_server.preflight import (
    address_of,
    check_cascade,
    check_decode,
    check_machine,
    check_ports,
    library_folder,
)

LOOPBACK = "127.0.0.1"
EXIT_TIMEOUT_S = 5
START_TIMEOUT_S = 120
POLL_S = 0.1
LAST_LINES = 8
HEALTH_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 60.0
# Loading a model can run code: these stay behind the access token. Statistics are open, for perf_analyzer.
RESTRICTED = ["shared-memory", "model-repository", "trace", "logging"]


@dataclass(frozen=True)
class Addresses:
    """The addresses of the three services, host:port each."""

    http: str
    grpc: str
    metrics: str


class _Triton(Triton):  # type: ignore[misc]
    """pytriton's Triton without its wait for readiness, which continues after the server process has ended."""

    def connect(self) -> None:
        """Do not wait; EmbeddedServer does."""


class EmbeddedServer:
    """Triton Inference Server on a model repository, running while the context lasts.

    Raises:
        EmbeddedServerError: on entering, if the machine, a port, the repository or a model is unsuitable.
    """

    def __init__(
        self,
        repository: Path,
        *,
        models: Sequence[str] | None = None,
        host: str = LOOPBACK,
        http_port: int | None = None,
        grpc_port: int | None = None,
        metrics_port: int | None = None,
        log_file: Path | None = None,
        start_timeout_s: int = START_TIMEOUT_S,
    ) -> None:
        """Configure the server; entering the context starts it.

        Args:
            repository: The Triton model repository.
            models: Names of the entries to serve; the whole repository if None.
            host: Name or IPv4 address to listen on.
            http_port: Port of the HTTP service; a free one if None or 0, as for the other two.
            grpc_port: Port of the gRPC service.
            metrics_port: Port of the metrics service.
            log_file: Triton's own log; a temporary file if None.
            start_timeout_s: How long starting the server and loading the models may take.
        """
        self._start_timeout_s = start_timeout_s
        self._repository = repository.resolve()
        self._models = models
        self._host = host
        self._ports = _chosen_ports({"http": http_port, "grpc": grpc_port, "metrics": metrics_port})
        self._log_file = log_file
        self._resources = contextlib.ExitStack()
        self._triton: Triton | None = None

    @property
    def addresses(self) -> Addresses:
        """Return the addresses of the three services."""
        return Addresses(**{name: f"{self._host}:{port}" for name, port in self._ports.items()})

    def __enter__(self) -> Self:
        check_machine()
        if self._is_served(CASCADE):
            cascade = check_cascade(self._repository)
            if self._is_served(DECODE):
                check_decode(self._repository, cascade)
        self._host = address_of(self._host)
        check_ports(self._host, self._ports)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._triton is not None:
            self._triton.stop()
            self._triton = None
        self._resources.close()

    def is_alive(self) -> bool:
        """Return whether the server process is running."""
        return self._triton is not None and bool(self._triton.is_alive())

    def load(self, model: str, config: str | None = None) -> None:
        """Load or reload a model from its present files in the repository; no request fails meanwhile.

        Args:
            model: Its name.
            config: Its complete Triton configuration as JSON, used instead of its config.pbtxt.

        Raises:
            EmbeddedServerError: Triton cannot load it; what was served before is still served.
        """
        try:
            with contextlib.closing(InferenceServerClient(self.addresses.grpc)) as client:
                client.load_model(model, headers=self._token(), config=config)
        except InferenceServerException as error:
            raise EmbeddedServerError(f"Triton could not load {model!r}: {error.message()}") from error

    def unload(self, model: str) -> None:
        """Stop serving a model after its pending requests."""
        with contextlib.closing(InferenceServerClient(self.addresses.grpc)) as client:
            client.unload_model(model, headers=self._token())

    def _is_served(self, model: str) -> bool:
        return self._models is None or model in self._models

    def _token(self) -> dict[str, str]:
        token = self._triton.get_access_token() if self._triton else None
        return {"triton-grpc-protocol-triton-access-token": str(token)}

    def _start(self) -> None:
        served = self._repository if self._models is None else self._view(self._models)
        self._triton = _Triton(config=self._config(served), security_config=TritonSecurityConfig(None, RESTRICTED))
        with _library_path():
            self._triton.run()
        self._wait_until_ready()
        self._check_loaded()

    def _wait_until_ready(self) -> None:
        deadline_s = time.monotonic() + self._start_timeout_s
        while not _is_ready(self.addresses):
            if not self.is_alive():
                raise EmbeddedServerError(f"Triton ended before it was ready; {self._log_tail()}")
            if time.monotonic() > deadline_s:
                raise EmbeddedServerError(
                    f"Triton did not start in {self._start_timeout_s} s; raise --start-timeout-s if a model takes "
                    f"minutes to compile; {self._log_tail()}"
                )
            time.sleep(POLL_S)

    def _config(self, repository: Path) -> TritonConfig:
        return TritonConfig(
            model_repository=repository,
            http_address=self._host,
            http_port=self._ports["http"],
            grpc_address=self._host,
            grpc_port=self._ports["grpc"],
            metrics_port=self._ports["metrics"],
            allow_gpu_metrics=False,
            exit_timeout_secs=EXIT_TIMEOUT_S,
            exit_on_error=False,  # a model that cannot be loaded is reported with Triton's own reason
            strict_readiness=False,
            log_file=self._log(),
        )

    def _log(self) -> Path:
        if self._log_file is None:
            self._log_file = Path(self._resources.enter_context(tempfile.TemporaryDirectory())) / "triton.log"
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        return self._log_file.resolve()

    def _log_tail(self) -> str:
        """Return the end of the log, because a temporary log is deleted."""
        return f"its log ends with\n{chr(10).join(self._log_lines()[-LAST_LINES:])}"

    def _log_lines(self) -> list[str]:
        return self._log().read_text(errors="replace").splitlines() if self._log().is_file() else []

    def _logged_reason(self, model: str) -> str:
        """Return the last error in the log that names a model, because Triton's index has no reason for an ensemble."""
        named = [line for line in self._log_lines() if line.startswith("E") and model in line]
        found = named[-1] if named else f"no reason given; {self._log_tail()}"
        return f"{found}; build-engines doctor may say what to do"

    def _view(self, models: Sequence[str]) -> Path:
        """Return a repository of links to some entries, because Triton loads everything in its repository."""
        view = Path(self._resources.enter_context(tempfile.TemporaryDirectory()))
        for model in models:
            if not (self._repository / model).is_dir():
                raise EmbeddedServerError(
                    f"{self._repository} has no entry {model!r}; write it with build-engines repository"
                )
            (view / model).symlink_to(self._repository / model)
        return view

    def _check_loaded(self) -> None:
        """Check that Triton has loaded every model, then wait until each answers.

        Raises:
            EmbeddedServerError: a model could not be loaded or does not answer.
        """
        client = InferenceServerClient(self.addresses.grpc)
        with contextlib.closing(client):
            index = client.get_model_repository_index(self._token()).models
            failed = [
                f"{model.name}: {model.reason or self._logged_reason(model.name)}"
                for model in index
                if model.state != "READY"
            ]
            if failed or not index:
                raise EmbeddedServerError(f"Triton could not load {'; '.join(failed) or 'any model'}")
            for model in index:
                _wait_for_answer(client, model.name)


def _is_ready(addresses: Addresses) -> bool:
    """Return whether Triton has started its services; HTTP comes after gRPC, and metrics may be off."""
    with contextlib.closing(HTTPConnection(addresses.http, timeout=HEALTH_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False


def _wait_for_answer(client: InferenceServerClient, model: str) -> None:
    """Wait until a model answers a request of one black image."""
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        try:
            client.infer(model, _black_inputs(client, model), client_timeout=ANSWER_TIMEOUT_S)
        except InferenceServerException as error:
            if time.monotonic() > deadline_s or error.status() != "StatusCode.UNAVAILABLE":
                raise EmbeddedServerError(
                    f"model {model!r} is loaded but does not answer: {error.message()}"
                ) from error
            time.sleep(POLL_S)
        else:
            return


def _black_inputs(client: InferenceServerClient, model: str) -> list[InferInput]:
    inputs = []
    for described in client.get_model_metadata(model).inputs:
        shape = [1, *(max(int(extent), 1) for extent in described.shape[1:])]
        tensor = InferInput(described.name, shape, described.datatype)
        tensor.set_data_from_numpy(_black(shape, described.datatype))
        inputs.append(tensor)
    return inputs


def _black(shape: list[int], datatype: str) -> npt.NDArray[Any]:
    """Return black images: an encoded one for BYTES, zeros otherwise."""
    if datatype != "BYTES":
        return np.zeros(shape, triton_to_np_dtype(datatype))
    png = io.BytesIO()
    Image.new("RGB", (1, 1)).save(png, "PNG")
    return np.full(shape, png.getvalue(), dtype=object)


def _chosen_ports(wanted: dict[str, int | None]) -> dict[str, int]:
    """Fill in free ports where none was asked for."""
    return {name: port or _reserved_port() for name, port in wanted.items()}


def _reserved_port() -> int:
    """Return a port that only a server which names it can have in the next minute: it is left in TIME_WAIT."""
    with socket.socket() as listening, socket.socket() as calling:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for who binds it next
        listening.bind((LOOPBACK, 0))
        listening.listen()
        calling.connect(listening.getsockname())
        listening.accept()[0].close()  # the side that closes first keeps the port
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def _library_path() -> Iterator[None]:
    """Let the Python backend find the interpreter's shared library in a folder that the loader does not search."""
    before = os.environ.get("LD_LIBRARY_PATH")
    folder = library_folder()
    if folder is not None:
        os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [before, str(folder)]))
    try:
        yield
    finally:
        if folder is not None:
            os.environ.pop("LD_LIBRARY_PATH")
        if before is not None:
            os.environ["LD_LIBRARY_PATH"] = before
