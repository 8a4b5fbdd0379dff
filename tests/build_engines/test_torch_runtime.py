"""The runtime `torch`, served by the embedded server on the CPU; what needs a GPU is marked so."""

from __future__ import annotations

import dataclasses
import zipfile

import numpy as np
import pytest
from google.protobuf import text_format
from helpers import onnx_probabilities, random_canvases
from serving import FIELDS, ask, assert_equal, offline
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.triton_repository import put_cascade, write_backbone
from cascade_spec import Serving
from embedded_server import EmbeddedServer

PARTS = (1, 3, 5, 8)  # 3 and 5 are no steps of the ladder


@pytest.fixture(scope="module")
def torch_repository(tiny_pool, tiny_workspace, tiny_cascade, tmp_path_factory):
    repository = tmp_path_factory.mktemp("torch") / "repository"
    for backbone in tiny_pool.backbones:
        write_backbone(tiny_pool, backbone, tiny_workspace, repository, "torch")
    put_cascade(repository)
    cascade = dataclasses.replace(tiny_cascade, serving=Serving())
    (repository / "cascade" / "cascade.json").write_text(cascade.to_json())
    return repository


@pytest.fixture(scope="module")
def torch_server(torch_repository):
    with EmbeddedServer(torch_repository) as server:
        yield server


@pytest.fixture(scope="module")
def images():
    return random_canvases(48, seed=1)


@pytest.fixture
def one_backbone(tiny_pool, tiny_workspace, tmp_path):
    write_backbone(tiny_pool, tiny_pool.backbone("small"), tiny_workspace, tmp_path / "r", "torch")
    return tmp_path / "r"


def entry(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), ModelConfig())


def test_the_entry_is_self_contained(one_backbone):
    config = entry(one_backbone / "small")
    assert config.backend == "python"
    assert config.parameters["precision"].string_value == "fp16"
    assert config.parameters["batch_sizes"].string_value == "1,2,4,8"
    version = one_backbone / "small" / "1"
    assert {file.name for file in version.iterdir()} == {"model.py", "engine.py", "model.pt2"}
    for code in version.glob("*.py"):
        assert "build_engines" not in code.read_text().replace("build-engines", "")


def test_the_program_names_no_file_of_this_machine(one_backbone):
    with zipfile.ZipFile(one_backbone / "small/1/model.pt2") as archive:
        assert not any(b".py" in archive.read(name) for name in archive.namelist())


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_answers_equal_those_of_onnx_runtime(torch_server, tiny_workspace, images, name):
    expected = onnx_probabilities(tiny_workspace.onnx(name), images)
    for count in PARTS:
        served = ask(torch_server, name, images[:count])["probabilities"]
        np.testing.assert_allclose(served, expected[:count], atol=1e-5)


def test_a_cascade_of_its_stages_is_reached_by_bls(torch_server, tiny_cascade, images):
    predictions = [ask_all(torch_server, stage.model, images) for stage in tiny_cascade.stages]
    served = ask(torch_server, "cascade", images[:16], FIELDS)
    assert_equal(served, offline(tiny_cascade, predictions), slice(0, 16))
    assert len(set(served["exit_stage"][:, 0])) > 1
    torch_server.unload("small")
    with pytest.raises(Exception, match="stage 'small' failed"):
        ask(torch_server, "cascade", images[:1], FIELDS)
    torch_server.load("small")


def ask_all(server, model, images):
    parts = np.split(images, range(8, len(images), 8))
    return np.concatenate([ask(server, model, part)["probabilities"] for part in parts])
