"""timm's catalogue: unknown architectures, tags and pretrained weights."""

from __future__ import annotations

import pytest

from build_engines.errors import PoolError, WeightsError
from build_engines.export.timm_catalog import check_architecture, check_pretrained
from tests.support.helpers import backbone_entry, pool_of


def test_an_unknown_architecture_names_the_nearest(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", architecture="resnet5O"))
    with pytest.raises(PoolError, match="did you mean resnet50"):
        check_architecture(pool.backbones[0])


def test_an_unknown_tag_names_those_there_are(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", architecture="resnet18.nonsense", weights="pretrained"))
    with pytest.raises(PoolError, match=r"no tag 'nonsense'; it has .*resnet18\.tv_in1k"):
        check_architecture(pool.backbones[0])


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        ("mobilenetv2_075", "it has none of this architecture"),
        ("resnet18.tv_in1k", "1000 classes, the pool file says 5"),
    ],
)
def test_pretrained_weights_that_do_not_exist_are_refused(tmp_path, architecture, says):
    entry = backbone_entry("a", architecture=architecture, arguments={}, weights="pretrained")
    with pytest.raises(WeightsError, match=f"{says}.* safetensors file"):
        check_pretrained(pool_of(tmp_path, entry).backbones[0])
