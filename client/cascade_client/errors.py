"""What can go wrong, and how a gRPC status becomes one of it.

CascadeError
├── InvalidImage        an image cannot be put on the canvas
├── InvalidRequest      the server refuses what was asked (operating point, max_stage, shape)
├── ModelNotFound       the server has no such cascade
├── ServerUnavailable   no server answers at the address, or it is full or shutting down
├── DeadlineExceeded    no answer within the time given
├── ServerError         the server failed: a stage is down, for example
└── BenchError          what `cascade bench` was asked to measure would mean nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonclient.utils import InferenceServerException


class CascadeError(Exception):
    """Base of every error that this client raises on purpose."""


class InvalidImage(CascadeError):
    """Say which image cannot be used, and why."""


class InvalidRequest(CascadeError):
    """Say what the server refuses to be asked."""


class ModelNotFound(CascadeError):
    """Say which cascade the server does not have."""


class ServerUnavailable(CascadeError):
    """Say where no server answers."""


class DeadlineExceeded(CascadeError):
    """Say what took too long."""


class ServerError(CascadeError):
    """Say how the server failed."""


class BenchError(CascadeError):
    """Say why a measurement would mean nothing, or cannot be made."""


BY_STATUS: dict[str, type[CascadeError]] = {
    "StatusCode.INVALID_ARGUMENT": InvalidRequest,
    "StatusCode.NOT_FOUND": ModelNotFound,
    "StatusCode.UNAVAILABLE": ServerUnavailable,
    "StatusCode.DEADLINE_EXCEEDED": DeadlineExceeded,
}


@contextmanager
def typed_errors(url: str) -> Iterator[None]:
    """Raise tritonclient's errors as this package's.

    Raises:
        CascadeError: the server is not there, or refused or failed a call.
    """
    try:
        yield
    except InferenceServerException as error:
        raise from_triton(error, url) from error
    except ValueError as error:  # gRPC's own, when the channel is closed
        raise CascadeError(f"{url}: {error}") from error


def from_triton(error: InferenceServerException, url: str) -> CascadeError:
    """Return the error of this package for one of tritonclient's."""
    kind = BY_STATUS.get(str(error.status()), ServerError)
    is_absent = kind is ServerUnavailable and "connect" in error.message()
    hint = "; is the server running? (make serve)" if is_absent else ""
    return kind(f"{url}: {error.message()}{hint}")
