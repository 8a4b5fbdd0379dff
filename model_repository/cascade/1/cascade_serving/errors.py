"""Why a request gets an error instead of an answer."""

from __future__ import annotations

from typing import Any, ClassVar

import triton_python_backend_utils as pb_utils


class Refusal(Exception):
    """Say why a request is not answered.

    Attributes:
        kind: Its name in the metrics.
        status: Its name among Triton's error codes.
    """

    kind: ClassVar[str] = "internal"
    status: ClassVar[str] = "INTERNAL"

    def response(self) -> Any:  # noqa: ANN401 (Triton's types have no stubs)
        """Return the error as Triton sends it."""
        code = getattr(pb_utils.TritonError, self.status)
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(self), code))


class BadRequest(Refusal):
    """Say what a caller must change in the request."""

    kind = "bad_request"
    status = "INVALID_ARG"


class Full(Refusal):
    """Say that there is no room now."""

    kind = "full"
    status = "UNAVAILABLE"


class Cancelled(Refusal):
    """Say that nobody waits for the answer."""

    kind = "cancelled"
    status = "CANCELLED"


class TooLate(Refusal):
    """Say that the request's timeout has passed, with the status that Triton's own queue uses for it."""

    kind = "timeout"
    status = "UNAVAILABLE"


class StageError(Refusal):
    """Say which stage gave no usable answer, and why."""

    kind = "stage"


def as_refusal(error: Exception) -> Refusal:
    """Return what a caller is told: a refusal as it is, anything else as a fault of the cascade itself."""
    return error if isinstance(error, Refusal) else Refusal(f"{type(error).__name__} in the cascade: {error}")
