"""Graphs of equal modules, made by PyTorch's exporter once for all tests: it takes seconds for the smallest network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from torch import nn

from build_engines.export.torch_to_onnx import to_onnx
from tests.support.made_once import shared


@contextmanager
def made_once_for_all_tests(factory: pytest.TempPathFactory) -> Iterator[None]:
    """Export a module again only where no equal one was exported; not for tests that patch what a module computes."""

    def made_before(module: nn.Module, canvas: int, output: str) -> onnx.ModelProto:
        key = f"{_fingerprint(module)[:16]}_{canvas}_{output}"

        def make(folder: Path) -> None:
            onnx.save(to_onnx(module, canvas, output), folder / "graph.onnx")

        return onnx.load(shared(factory, f"graph_{key}", make) / "graph.onnx")

    with pytest.MonkeyPatch.context() as patch:
        for source in ("timm_source", "onnx_source"):
            patch.setattr(f"build_engines.export.{source}.to_onnx", made_before)
        yield


def _fingerprint(module: nn.Module) -> str:
    """Return a hash of a module's structure, plain attributes and tensors."""
    seen = hashlib.sha256(repr(module).encode())
    for name, part in module.named_modules():
        plain = {key: value for key, value in vars(part).items() if isinstance(value, (str, int, float, tuple))}
        seen.update(repr((name, type(part), sorted(plain.items()))).encode())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        seen.update(name.encode() + tensor.detach().numpy().tobytes())
    return seen.hexdigest()
