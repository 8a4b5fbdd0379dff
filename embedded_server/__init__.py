"""Serve a model repository on this machine, with Triton Inference Server from pip."""

from embedded_server.errors import EmbeddedServerError
from embedded_server.server import EmbeddedServer

__all__ = ["EmbeddedServer", "EmbeddedServerError"]
