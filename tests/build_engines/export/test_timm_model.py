"""timm's models and their weights: what does not fit, and how it is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from build_engines.errors import PoolError, WeightsError
from build_engines.export.timm_model import create, load
from build_engines.export.timm_source import TimmSource
from tests.support.helpers import backbone_entry, pool_of, save_random_weights


def test_arguments_that_an_architecture_does_not_take_are_named(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", architecture="resnet10t", arguments={"wings": 2}))
    with pytest.raises(PoolError, match="wings"):
        create(pool.backbones[0])


def test_missing_weights_are_named(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a"))
    with pytest.raises(WeightsError, match=r"no weights at .*a\.safetensors"):
        load(pool, pool.backbones[0])


@pytest.mark.parametrize("spoil", ["classes", "other"])
def test_weights_that_do_not_fit_are_refused(tmp_path, spoil):
    pool = pool_of(tmp_path, backbone_entry("a"))
    save_random_weights(pool)
    changes = {"classes": 7} if spoil == "classes" else {"architecture": "resnet10t", "arguments": {}}
    save_file(create(pool.backbones[0].model_copy(update=changes)).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="does not fit"):
        load(pool, pool.backbones[0])


@pytest.mark.parametrize("spoil", ["cut", "pickled"])
def test_weights_in_another_format_are_told_how_to_become_safetensors(tmp_path, spoil):
    pool = pool_of(tmp_path, backbone_entry("a", weights="a.pth"))
    if spoil == "pickled":
        torch.save(create(pool.backbones[0]).state_dict(), tmp_path / "a.pth")
    else:
        save_file(create(pool.backbones[0]).state_dict(), tmp_path / "a.pth")
        (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:100])
    told = r"a\.pth is not a safetensors file \(.*safetensors\.torch\.save_file.*weights_only=True"
    with pytest.raises(WeightsError, match=told) as raised:
        load(pool, pool.backbones[0])
    assert "does not fit" not in str(raised.value)


def test_weights_that_cannot_be_read_say_why(tmp_path, monkeypatch):
    pool = pool_of(tmp_path, backbone_entry("a"))
    save_random_weights(pool)
    monkeypatch.setattr("build_engines.export.timm_model.load_file", lambda path: Path(path, "below").read_bytes())
    with pytest.raises(WeightsError, match=r"cannot read .*a\.safetensors: .*Not a directory"):
        load(pool, pool.backbones[0])


@pytest.mark.parametrize("changes", [{}, {"architecture": "resnet10t", "arguments": {}, "input_size": 32}])
def test_one_weights_file_serves_two_input_sizes(tmp_path, changes):
    small = backbone_entry("small") | changes
    large = small | {"name": "large", "input_size": 2 * small["input_size"]}
    pool = pool_of(tmp_path, small, large)
    save_random_weights(pool_of(tmp_path, small))
    models = [load(pool, backbone).state_dict() for backbone in pool.backbones]
    same = [name for name in models[0] if models[0][name].equal(models[1].get(name))]
    assert set(models[0]) - set(same) <= {"pos_embed"}
    assert TimmSource(pool, pool.backbone("large")).gmacs() > 2 * TimmSource(pool, pool.backbone("small")).gmacs()
