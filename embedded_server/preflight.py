"""Checks of the machine, the ports and the repository, before the server is started."""

from __future__ import annotations

import ctypes
import platform
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from google.protobuf import text_format
from pytriton.utils.distribution import get_stub_path
from tritonclient.grpc.model_config_pb2 import ModelConfig

from cascade_core.contract import CASCADE, CASCADE_FILE, DECODE, IMAGE, PROBABILITIES
from cascade_core.spec import Cascade, SpecError, Stage, is_backbone_entry, read_cascade
from embedded_server.errors import EmbeddedServerError

MINIMUM_GLIBC = (2, 35)
LAST_PORT = 65535
UNREADABLE = (OSError, UnicodeDecodeError, text_format.ParseError)


def check_machine() -> None:
    """Check that the server's Python backend can run on this machine, with this interpreter.

    Raises:
        EmbeddedServerError: it cannot, because of the Python version, glibc, numpy or the interpreter's shared library.
    """
    _check_python(f"{sys.version_info.major}.{sys.version_info.minor}")
    _check_glibc(*platform.libc_ver())
    _check_numpy(_numpy_of_models())
    library_folder()


def library_folder() -> Path | None:
    """Return the folder of the interpreter's shared library, None if the loader finds it without help.

    Raises:
        EmbeddedServerError: there is none, and the Python backend cannot start without it.
    """
    name = sysconfig.get_config_var("INSTSONAME") or ""
    folder = Path(sysconfig.get_config_var("LIBDIR") or "")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if (folder / f"libpython{version}.so.1.0").is_file():
        return folder
    try:
        ctypes.CDLL(f"libpython{version}.so.1.0")
    except OSError as error:
        raise EmbeddedServerError(
            f"this interpreter ({sys.executable}, {name}) has no shared library libpython{version}.so.1.0, which "
            f"Triton's Python backend needs; on Debian and Ubuntu install libpython{version}, with pyenv build Python "
            "with --enable-shared"
        ) from error
    return None


def address_of(host: str) -> str:
    """Return the IPv4 address of a host, because Triton resolves no names.

    Raises:
        EmbeddedServerError: the host has none.
    """
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])
    except OSError as error:
        raise EmbeddedServerError(
            f"{host!r} has no IPv4 address ({error.strerror}); use an address such as 127.0.0.1 or 0.0.0.0"
        ) from error


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Check that the server can listen on the ports.

    Raises:
        EmbeddedServerError: a port is invalid or in use, or the host is not an address of this machine.
    """
    for name, port in ports.items():
        if not 0 <= port <= LAST_PORT:
            raise EmbeddedServerError(
                f"invalid {name} port {port}: choose one from 0 to {LAST_PORT} with --{name}-port"
            )
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise EmbeddedServerError(
                    f"cannot listen on {host}:{port} for {name}: {error.strerror}; "
                    f"stop the process that uses it, or choose another port with --{name}-port"
                ) from error


def check_cascade(repository: Path) -> Cascade:
    """Check that the repository's cascade.json is valid and that the entry of every stage fits it.

    Raises:
        EmbeddedServerError: cascade.json is missing or invalid, or a stage's entry is missing or has another canvas,
            another number of classes or a smaller maximum batch size.
    """
    path = repository / CASCADE / CASCADE_FILE
    if not path.is_file():
        raise EmbeddedServerError(
            f"{path} does not exist; choose a cascade with build-cascade search, or serve only the backbones "
            "with --backbones-only"
        )
    try:
        cascade = read_cascade(path)
    except SpecError as error:
        raise EmbeddedServerError(str(error)) from error
    for stage in cascade.stages:
        _check_stage(repository, cascade, stage)
    return cascade


def check_decode(repository: Path, cascade: Cascade) -> None:
    """Check that `decode`, if the repository has it, puts encoded images on the cascade's canvas.

    Raises:
        EmbeddedServerError: it uses another canvas, or its configuration cannot be read.
    """
    if not (repository / DECODE).is_dir():
        return
    try:
        given = [list(tensor.dims) for tensor in _config(repository, DECODE).output]
    except UNREADABLE as error:
        raise EmbeddedServerError(
            f"{repository / DECODE} has no readable config.pbtxt ({error}); run build-engines repository again"
        ) from error
    if given != [IMAGE.dims(canvas=cascade.canvas)]:
        raise EmbeddedServerError(
            f"{DECODE!r} puts encoded images on the canvas {given}, but cascade.json has a canvas of {cascade.canvas}; "
            "run build-engines repository again"
        )


def backbones(repository: Path) -> list[str]:
    """List the repository's backbones: all entries except cascades and what belongs to them.

    Raises:
        EmbeddedServerError: there are none.
    """
    entries = [path.parent for path in repository.glob("*/config.pbtxt")]
    names = sorted(entry.name for entry in entries if is_backbone_entry(entry))
    if not names:
        raise EmbeddedServerError(
            f"{repository} contains no backbones; write their entries with build-engines repository"
        )
    return names


def _check_stage(repository: Path, cascade: Cascade, stage: Stage) -> None:
    try:
        config = _config(repository, stage.model)
    except UNREADABLE as error:
        raise EmbeddedServerError(
            f"cascade.json names the stage {stage.model!r}, which has no readable entry in {repository} ({error}); "
            "write it with build-engines repository, or choose a cascade of the backbones in the repository"
        ) from error
    canvas, classes = list(config.input[0].dims), list(config.output[0].dims)
    expected = IMAGE.dims(canvas=cascade.canvas), PROBABILITIES.dims(classes=len(cascade.labels))
    if (canvas, classes) != expected:
        raise EmbeddedServerError(
            f"stage {stage.model!r} takes {canvas} and returns {classes}, but cascade.json has a canvas of "
            f"{cascade.canvas} and {len(cascade.labels)} labels; build both from the same pool"
        )
    if stage.max_batch_size > config.max_batch_size:
        raise EmbeddedServerError(
            f"stage {stage.model!r} takes batches of at most {config.max_batch_size}, but its max_batch_size in "
            f"cascade.json is {stage.max_batch_size}; lower it"
        )


def _config(repository: Path, model: str) -> ModelConfig:
    return text_format.Parse((repository / model / "config.pbtxt").read_text(), ModelConfig())


def _check_python(version: str) -> None:
    if not get_stub_path(version).is_file():
        raise EmbeddedServerError(
            f"nvidia-pytriton has no Python backend for Python {version}; use Python 3.11, 3.12 or 3.13"
        )


def _check_glibc(library: str, version: str) -> None:
    if library != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_GLIBC:
        raise EmbeddedServerError(
            f"the embedded server needs glibc 2.35 or newer, but this machine has {library or 'another libc'} "
            f"{version}; use Debian 12, Ubuntu 22.04 or newer, or NVIDIA's container"
        )


def _numpy_of_models() -> str:
    """Return numpy's version as Triton's Python models see it: like `python -I`, they ignore PYTHONPATH."""
    command = [sys.executable, "-I", "-c", "from importlib.metadata import version; print(version('numpy'))"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def _check_numpy(version: str) -> None:
    if version.startswith("1."):
        return
    found = f"numpy {version} makes this server return empty outputs" if version else "Python models see no numpy"
    raise EmbeddedServerError(
        f"{found}; install 'numpy<2' into {sys.prefix}, because Triton's Python models ignore PYTHONPATH"
    )
