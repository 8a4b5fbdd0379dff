"""The largest backbone of every ImageNet pool exports whole, with random weights, within a workstation's memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from build_engines.export.audit import audit_backbone
from build_engines.export.parity import PROBABILITY_TOLERANCES
from build_engines.export.source import source_of
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from build_engines.tables import audit_table

POOLS = Path(__file__).parents[3] / "pools"
MEMORY_BYTES = 24 * 2**30


@pytest.mark.large
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["mobilenetv2", "resnet", "efficientnet", "vit"])
def test_the_largest_backbone_of_a_pool_exports(tmp_path, name, precision):
    pool = load_pool(POOLS / f"{name}.yaml").variant(random_weights=True, precision=precision)
    largest = max(PoolBuild.of(pool, tmp_path), key=lambda built: source_of(built).gmacs())
    seen = audit_backbone(largest)
    Console(width=160).print("", precision, audit_table([seen]))
    assert (seen.problem, seen.unlisted, seen.leftovers) == (None, (), ())
    assert seen.difference <= PROBABILITY_TOLERANCES[precision]
    assert seen.peak_bytes < MEMORY_BYTES
