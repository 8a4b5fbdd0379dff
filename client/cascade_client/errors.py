"""The errors of the client, and which of them a gRPC status code becomes.

CascadeError
├── InvalidImage        an image cannot be read or put on the canvas
├── InvalidRequest      the server rejects the request (operating point, max_stage, shape)
├── ModelNotFound       the server does not serve the model
├── ServerUnavailable   no server at the address, or it is full or shutting down
├── DeadlineExceeded    no answer within the timeout
├── ServerError         the server failed while answering: a stage is down, for example
└── BenchError          a benchmark cannot be run, or its result would be meaningless
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonclient.utils import InferenceServerException


class CascadeError(Exception):
    """The base of every error that the client raises deliberately."""


class InvalidImage(CascadeError):
    """An image that cannot be read or put on the canvas."""


class InvalidRequest(CascadeError):
    """A request that the server rejects."""


class ModelNotFound(CascadeError):
    """A model that the server does not serve."""


class ServerUnavailable(CascadeError):
    """A server that does not answer, is full or is shutting down."""


class DeadlineExceeded(CascadeError):
    """A call without an answer within the timeout."""


class ServerError(CascadeError):
    """A failure of the server while answering, such as a stage that is down."""


class BenchError(CascadeError):
    """A benchmark that cannot be run, or whose result would be meaningless."""


BY_STATUS: dict[str, type[CascadeError]] = {
    "StatusCode.INVALID_ARGUMENT": InvalidRequest,
    "StatusCode.NOT_FOUND": ModelNotFound,
    "StatusCode.UNAVAILABLE": ServerUnavailable,
    "StatusCode.DEADLINE_EXCEEDED": DeadlineExceeded,
}


@contextmanager
def typed_errors(url: str) -> Iterator[None]:
    """Convert tritonclient's errors into those of this package.

    Raises:
        CascadeError: the server did not answer a call, rejected it or failed.
    """
    try:
        yield
    except InferenceServerException as error:
        raise from_triton(error, url) from error
    except ValueError as error:  # gRPC's own, when the channel is closed
        raise CascadeError(f"{url}: {error}") from error


def from_triton(error: InferenceServerException, url: str) -> CascadeError:
    """Return the error of this package that corresponds to one of tritonclient's."""
    kind = BY_STATUS.get(str(error.status()), ServerError)
    is_absent = kind is ServerUnavailable and "connect" in error.message()
    hint = "; is the server running? (make serve)" if is_absent else ""
    return kind(f"{url}: {error.message()}{hint}")
