"""Triton Inference Server from pip, on this machine, on a model repository."""

from embedded_server.preflight import ServerError
from embedded_server.server import EmbeddedServer

__all__ = ["EmbeddedServer", "ServerError"]
