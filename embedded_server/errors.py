"""The one error of the embedded server."""

from __future__ import annotations


class EmbeddedServerError(Exception):
    """A reason why the server cannot serve, and what to do about it."""
