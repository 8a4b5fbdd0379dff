"""Why a request gets an error instead of an answer."""

from __future__ import annotations

from typing import ClassVar

import triton_python_backend_utils as pb_utils


class RequestError(Exception):
    """The reason why a request gets no answer; of this class itself, a fault of the cascade.

    Attributes:
        kind: Its name in the metrics.
        status: Its name among Triton's error codes.
    """

    kind: ClassVar[str] = "internal"
    status: ClassVar[str] = "INTERNAL"

    def response(self) -> pb_utils.InferenceResponse:
        """Return the error as Triton sends it."""
        code = getattr(pb_utils.TritonError, self.status)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(self), code))


class InvalidRequest(RequestError):
    """A request that the caller must change; the message says how."""

    kind = "bad_request"
    status = "INVALID_ARG"


class Overloaded(RequestError):
    """The cascade holds max_images_in_flight images; the caller may retry."""

    kind = "full"
    status = "UNAVAILABLE"


class Cancelled(RequestError):
    """The client has gone or given up: nobody waits for the answer."""

    kind = "cancelled"
    status = "CANCELLED"


class DeadlineExceeded(RequestError):
    """The request's timeout has passed; the status is the one that Triton's own queue uses for it."""

    kind = "timeout"
    status = "UNAVAILABLE"


class StageError(RequestError):
    """A stage that gave no usable answer; the message says which, and why."""

    kind = "stage"


def as_request_error(error: Exception) -> RequestError:
    """Return what the caller is sent: a `RequestError` as it is, anything else as a fault of the cascade."""
    return error if isinstance(error, RequestError) else RequestError(f"{type(error).__name__} in the cascade: {error}")
