"""Labels: listed, in a file, or those of ImageNet."""

from __future__ import annotations

from pathlib import Path

from timm.data import ImageNetInfo

from build_engines.pool.schema import load_pool
from tests.support.helpers import backbone_entry, pool_of


def test_labels_may_lie_in_a_file_from_any_editor(tmp_path):
    (tmp_path / "labels.txt").write_text("ant\r\nbee\r\ncat\r\ndog\r\neel\r\n", encoding="utf-8-sig")
    labels = pool_of(tmp_path, backbone_entry("a"), labels="labels.txt").labels
    assert labels == ("ant", "bee", "cat", "dog", "eel")


def test_labels_may_be_numbers(tmp_path):
    assert pool_of(tmp_path, backbone_entry("a"), labels=[0, 1, 2, 3, 4]).labels == tuple("01234")


FOLDER = Path(__file__).parents[3] / "pools"
POOLS = {name: load_pool(FOLDER / f"{name}.yaml") for name in ("efficientnet", "resnet", "mobilenetv2", "vit")}


def test_imagenet_labels_are_a_thousand_different_ones_in_the_order_of_the_synsets():
    labels = POOLS["resnet"].labels
    assert len(labels) == 1000
    descriptions = ImageNetInfo("imagenet-1k").label_descriptions()
    assert [label.partition(" (n0")[0] for label in labels] == descriptions
    assert [label for label in labels if label.startswith("crane")] == ["crane (n02012849)", "crane (n03126707)"]
