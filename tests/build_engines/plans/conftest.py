"""An exported pool, as far as files go, and a builder of plans that needs no GPU."""

from __future__ import annotations

import pytest

from build_engines.plans import make
from build_engines.pool.artifacts import PoolBuild
from tests.support.helpers import backbone_entry, write_pool
from tests.support.plans import export_bytes


@pytest.fixture
def build(tmp_path):
    build = PoolBuild.open(write_pool(tmp_path, backbone_entry("a"), backbone_entry("b")), tmp_path)
    for built in build:
        export_bytes(built, built.name.encode())
    return build


@pytest.fixture
def built(monkeypatch):
    """What was built, by a builder that needs no GPU."""
    calls = []

    def build_plan(_, onnx, options, cache):
        calls.append((onnx.stem, options, cache))
        return b"plan of " + onnx.read_bytes(), b"timings"

    monkeypatch.setattr(make, "build_plan", build_plan)
    return calls
