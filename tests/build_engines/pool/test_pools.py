"""The four ImageNet pools: what they name exists in timm, is licensed as they say, and is prepared as timm does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from build_engines.export.preprocessing import Preprocessing, ServedBackbone
from build_engines.export.preprocessing_parity import check_preprocessing, compare_preprocessing
from build_engines.export.timm_catalog import check_architecture, check_pretrained, pretrained_licence
from build_engines.export.timm_model import create, data_config
from build_engines.images.samples import sample_canvases
from build_engines.pool.schema import load_pool

FOLDER = Path(__file__).parents[3] / "pools"
POOLS = {name: load_pool(FOLDER / f"{name}.yaml") for name in ("efficientnet", "resnet", "mobilenetv2", "vit")}
BACKBONES = [pytest.param(pool, backbone, id=backbone.name) for pool in POOLS.values() for backbone in pool.backbones]
BRIGHTEST_CHANNEL = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def data_of(backbone):
    with torch.device("meta"):
        return data_config(backbone, create(backbone))


def distinct_preprocessing():
    kinds = {(pool.canvas, data_of(b)): b.name for pool in POOLS.values() for b in pool.backbones}
    return [pytest.param(*kind, id=name) for kind, name in kinds.items()]


@pytest.mark.parametrize(("pool", "backbone"), BACKBONES)
def test_timm_has_the_weights_that_a_pool_names(pool, backbone):
    check_architecture(backbone)
    check_pretrained(backbone)


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_file_names_the_licence_of_its_weights(name):
    said = re.search(r"^# Licence .*: (\S+)$", (FOLDER / f"{name}.yaml").read_text(), re.MULTILINE)
    assert {pretrained_licence(backbone) for backbone in POOLS[name].backbones} == {said[1]}


@pytest.mark.parametrize(("pool", "backbone"), BACKBONES)
def test_no_canvas_is_smaller_than_what_a_backbone_resizes_to(pool, backbone):
    data = data_of(backbone)
    assert int(data.input_size / data.crop_pct) <= pool.canvas


@pytest.mark.parametrize("backbone", POOLS["efficientnet"].backbones, ids=lambda backbone: backbone.name)
def test_efficientnets_keep_their_own_resolution(backbone):
    assert timm.get_pretrained_cfg(backbone.architecture).input_size[1] == backbone.input_size


@pytest.mark.parametrize(("canvas", "data"), distinct_preprocessing())
def test_fused_preprocessing_agrees_with_timm_on_photographs(canvas, data):
    served = ServedBackbone(Preprocessing(canvas, data), BRIGHTEST_CHANNEL)
    seen = compare_preprocessing(served, data, sample_canvases(canvas)).agreement()
    check_preprocessing(POOLS["resnet"].backbones[0], seen)
    assert seen.mean_pixel_difference <= 0.5
    assert seen.largest_pixel_difference <= 4


def test_without_a_network_it_says_where_to_put_the_file(tmp_path):
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    command = [sys.executable, "-c", "from build_engines.cli import app; app()", "export", FOLDER / "resnet.yaml"]
    done = subprocess.run(
        [*command, "--build", tmp_path / "build"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "https://huggingface.co/timm/resnet18.tv_in1k/resolve/main/model.safetensors" in done.stderr
    assert "pools/resnet18.tv_in1k.safetensors" in done.stderr
