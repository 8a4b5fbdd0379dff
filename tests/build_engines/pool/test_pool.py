from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from build_engines.errors import PoolError, WeightsError
from build_engines.export.timm_catalog import check_architecture, check_pretrained
from build_engines.export.timm_model import create, load
from build_engines.export.timm_source import TimmSource
from build_engines.images.samples import sample_canvases
from build_engines.pool.schema import load_pool
from tests.support.helpers import backbone_entry, save_random_weights, write_pool


def pool_of(folder, *backbones, **changes):
    return load_pool(write_pool(folder, *backbones, **changes))


def test_a_pool_file_is_read(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a"), backbone_entry("b"))
    assert [backbone.name for backbone in pool.backbones] == ["a", "b"]
    assert pool.weights_file(pool.backbone("a")) == tmp_path / "a.safetensors"


def test_labels_may_lie_in_a_file_from_any_editor(tmp_path):
    (tmp_path / "labels.txt").write_text("ant\r\nbee\r\ncat\r\ndog\r\neel\r\n", encoding="utf-8-sig")
    labels = pool_of(tmp_path, backbone_entry("a"), labels="labels.txt").labels
    assert labels == ("ant", "bee", "cat", "dog", "eel")


def test_labels_may_be_numbers(tmp_path):
    assert pool_of(tmp_path, backbone_entry("a"), labels=[0, 1, 2, 3, 4]).labels == tuple("01234")


@pytest.mark.parametrize(
    ("backbones", "changes", "says"),
    [
        ([backbone_entry("a"), backbone_entry("a")], {}, "two backbones are called 'a'"),
        ([backbone_entry("a"), backbone_entry("b", classes=7)], {}, "'b' has 7 classes but the pool has 5 labels"),
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


def test_an_unknown_architecture_names_the_nearest(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", architecture="resnet5O"))
    with pytest.raises(PoolError, match="did you mean resnet50"):
        check_architecture(pool.backbones[0])


def test_arguments_that_an_architecture_does_not_take_are_named(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", architecture="resnet10t", arguments={"wings": 2}))
    with pytest.raises(PoolError, match="wings"):
        create(pool.backbones[0])


def test_an_input_size_that_an_architecture_does_not_take_is_named(tmp_path):
    pool = pool_of(tmp_path, backbone_entry("a", arguments={}, input_size=8))
    with pytest.raises(PoolError, match=r"vit_tiny_patch16_224 takes no images of input_size 8: .*larger"):
        TimmSource(pool, pool.backbones[0]).gmacs()


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


@pytest.mark.parametrize("changes", [{}, {"architecture": "resnet10t", "arguments": {}, "input_size": 32}])
def test_random_weights_answer_differently_for_different_images(tmp_path, changes):
    entry = backbone_entry("a", weights="mine.safetensors") | changes
    pool = pool_of(tmp_path, entry).variant(random_weights=True)
    assert pool.name == "tiny-random"
    images = torch.from_numpy(sample_canvases(pool.canvas))
    with torch.inference_mode():
        first, again = (TimmSource(pool, pool.backbones[0]).torch_module()(images) for _ in range(2))
    assert first.equal(again)
    assert 0.25 < first.max(dim=1).values.median() < 0.99
    assert (first[0] - first[-1]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("architecture", "published_gmacs"),
    [("resnet50", 4.09), ("mobilenetv2_100", 0.30), ("tf_efficientnet_b0", 0.39), ("vit_base_patch16_224", 17.56)],
)
def test_costs_are_the_published_multiply_accumulates(tmp_path, architecture, published_gmacs):
    entry = backbone_entry("a", architecture=architecture, arguments={}, input_size=224)
    pool = pool_of(tmp_path, entry)
    assert TimmSource(pool, pool.backbones[0]).gmacs() == pytest.approx(published_gmacs, rel=0.02)
