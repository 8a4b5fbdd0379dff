"""Built files: reused only where they are intact and up to date."""

from __future__ import annotations

import pytest

from build_engines.errors import BuildError
from build_engines.export.backbone import export_backbone
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import load_pool
from tests.support.helpers import backbone_entry, random_canvases, save_random_weights, write_pool

pytestmark = pytest.mark.usefixtures("graphs_made_once")


def test_an_export_is_reused_until_weights_or_pool_change(tmp_path):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a")))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["a"], random_canvases(4))
    assert build["a"].manifest()

    cropped = PoolBuild.open(write_pool(tmp_path, backbone_entry("a", crop_pct=0.5)), tmp_path)
    assert cropped["a"].manifest() is None
    save_random_weights(pool, seed=5)
    assert build["a"].manifest() is None


def test_a_damaged_onnx_file_is_not_reused(tmp_path):
    pool = load_pool(write_pool(tmp_path, backbone_entry("a")))
    save_random_weights(pool)
    build = PoolBuild.of(pool, tmp_path)
    export_backbone(build["a"], random_canvases(4))
    build["a"].onnx.write_bytes(build["a"].onnx.read_bytes()[:-1])
    with pytest.raises(BuildError, match="run build-engines export"):
        build["a"].require_manifest()


def test_a_record_that_is_no_text_counts_as_none(tiny_pool, tmp_path):
    build = PoolBuild.of(tiny_pool, tmp_path)
    build["small"].manifest_file.parent.mkdir(parents=True)
    build["small"].manifest_file.write_bytes(b"\xff")
    assert build["small"].manifest() is None
