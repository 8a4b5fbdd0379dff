"""Pool files: what is read, and what an error says."""

from __future__ import annotations

import pytest

from build_engines.errors import PoolError
from build_engines.pool.schema import load_pool
from tests.support.helpers import (
    backbone_entry,
    pool_of,
    write_pool,
)
from tests.support.onnx_files import onnx_entry


def test_a_pool_file_is_read(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a"), backbone_entry("b"))
    assert [backbone.name for backbone in pool.backbones] == ["a", "b"]
    assert pool.weights_file(pool.backbone("a")) == tmp_path / "a.safetensors"


@pytest.mark.parametrize(
    ("backbones", "changes", "says"),
    [
        ([backbone_entry("a"), backbone_entry("a")], {}, "two backbones are called 'a'"),
        ([backbone_entry("a"), backbone_entry("b", classes=7)], {}, "'b' has 7 classes but the pool has 5 labels"),
        ([backbone_entry("a", classes=6)], {}, "6 classes .*5 labels.* background, write `drop_class: 0`"),
        ([backbone_entry("a", classes=5, drop_class=0)], {}, "'a' has 4 classes but the pool has 5 labels"),
        ([backbone_entry("a", classes=6, drop_class=6)], {}, "drop_class is 6, but the network has 6 classes"),
        ([backbone_entry("cascade")], {}, "is served beside the backbones"),
        ([backbone_entry("a/b")], {}, "backbones.0.name"),
        ([backbone_entry("a", input_size="large")], {}, "backbones.0.input_size"),
        ([backbone_entry("a", colour="red")], {}, "backbones.0.colour"),
        ([backbone_entry("a", crop_pct=1.5)], {}, "backbones.0.crop_pct"),
        ([backbone_entry("a", max_batch_size=3_000_000_000)], {}, "max_batch_size: .* less than or equal to 4096"),
        ([], {}, "backbones"),
        ([backbone_entry("a")], {"canvas": 0}, "canvas"),
        ([backbone_entry("a")], {"surprise": 1}, "surprise"),
        ([backbone_entry("a")], {"labels": "nowhere.txt"}, "cannot read"),
        ([backbone_entry("a")], {"labels": ["ant"] * 5}, "two labels are the same"),
        ([backbone_entry("a")], {"labels": [True, 1, 2, 3, 4]}, r"pool\.yaml: a label is True.* in quotes"),
        ([backbone_entry("a")], {"sha256": "x"}, "sha256 is not a field"),
        ([backbone_entry("a", std=[0, 1, 1])], {}, "backbones.0.std"),
    ],
)
def test_a_bad_pool_file_says_what_to_fix(tmp_path, backbones, changes, says):
    with pytest.raises(PoolError, match=says):
        pool_of(tmp_path, *backbones, **changes)


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "name: x"])
def test_what_is_no_pool_file_is_refused(tmp_path, text):
    (tmp_path / "pool.yaml").write_text(text)
    with pytest.raises(PoolError, match=r"pool\.yaml"):
        load_pool(tmp_path / "pool.yaml")


def test_what_follows_from_another_error_is_left_out(tmp_path):
    with pytest.raises(PoolError, match=r"backbones\.0\.max_batch_size: Input should be greater than or equal to 1$"):
        load_pool(write_pool(tmp_path, backbone_entry("a", max_batch_size=0)))


def test_a_missing_pool_file_is_named(tmp_path):
    with pytest.raises(PoolError, match=r"nowhere\.yaml"):
        load_pool(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layout": "CHWN"}, "backbones.0.layout"),
        ({"value_range": 2}, "backbones.0.value_range"),
        ({"output": None}, "backbones.0.output"),
        ({"weights": "a.safetensors"}, "backbones.0.weights"),
        ({"architecture": "resnet18"}, "backbones.0.architecture"),
        ({"gmacs": 0}, "backbones.0.gmacs"),
    ],
)
def test_a_bad_entry_says_what_to_fix(tmp_path, changes, says):
    with pytest.raises(PoolError, match=says):
        load_pool(write_pool(tmp_path, onnx_entry("theirs", **changes)))


def test_nothing_of_an_onnx_file_is_guessed(tmp_path):
    entry = onnx_entry("theirs")
    for field in ("layout", "value_range", "output"):
        with pytest.raises(PoolError, match=rf"backbones\.0\.{field}: Field required"):
            load_pool(write_pool(tmp_path, {key: value for key, value in entry.items() if key != field}))
