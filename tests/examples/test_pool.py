"""pools/efficientnet-lite.yaml and the cascade that ships with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_engines.pool.schema import Pool, load_pool
from cascade_core.spec import SpecError, read_cascade
from examples.imagenet.pool import POOL_FILE, SHIPPED, read_shipped

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return load_pool(ROOT / POOL_FILE)


def test_the_shipped_cascade_was_chosen_from_the_pool_as_it_is(pool):
    cascade = read_shipped(ROOT / SHIPPED, pool)
    assert (cascade.name, cascade.canvas, cascade.labels) == (pool.name, pool.canvas, pool.labels)
    for stage in cascade.stages:
        assert stage.max_batch_size == pool.backbone(stage.model).max_batch_size


def test_the_shipped_cascade_has_its_evidence(pool):
    evidence = read_cascade(ROOT / SHIPPED).evidence
    assert set(evidence["backbones"]) == {backbone.name for backbone in pool.backbones}
    for seen in (evidence, *evidence["backbones"].values()):
        assert seen["calibration"]["images"] == seen["test"]["images"] == 820


def test_a_cascade_of_another_version_of_the_pool_file_is_refused(pool, tmp_path):
    content = json.loads((ROOT / SHIPPED).read_text())
    content["evidence"]["pool_sha256"] = "of another"
    (tmp_path / "cascade.json").write_text(json.dumps(content))
    with pytest.raises(SpecError, match=r"another version of the pool file of efficientnet-lite; remake it with"):
        read_shipped(tmp_path / "cascade.json", pool)
