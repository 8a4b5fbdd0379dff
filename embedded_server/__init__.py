"""Triton Inference Server from pip, on this machine, on a model repository."""

from embedded_server.server import EmbeddedServer, ServerError

__all__ = ["EmbeddedServer", "ServerError"]
