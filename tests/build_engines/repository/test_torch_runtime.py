"""The runtime `torch`, served by the embedded server on the CPU."""

from __future__ import annotations

import dataclasses
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.utils import InferenceServerException

from build_engines.errors import BuildError, CheckError
from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.backbone_entry import write_backbone
from build_engines.repository.runtimes.torch.program import make_program
from build_engines.repository.writer import write_repository
from build_engines.support.atomic_files import sha256
from cascade_core.spec import Serving
from embedded_server import EmbeddedServer, EmbeddedServerError
from tests.support.helpers import onnx_probabilities, random_canvases
from tests.support.serving import FIELDS, ask, assert_equal, offline

PARTS = (1, 3, 5, 8)  # 3 and 5 are no steps of the ladder


@pytest.fixture(scope="module")
def torch_repository(tiny_build, tiny_cascade, tmp_path_factory):
    repository = tmp_path_factory.mktemp("torch") / "repository"
    write_repository(tiny_build, repository, "torch", encoded=False)
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
def one_backbone(tiny_build, tmp_path):
    write_backbone(tiny_build["small"], tmp_path / "r", "torch")
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
def test_answers_equal_those_of_onnx_runtime(torch_server, tiny_build, images, name):
    expected = onnx_probabilities(tiny_build[name].onnx, images)
    for count in PARTS:
        served = ask(torch_server, name, images[:count])["probabilities"]
        np.testing.assert_allclose(served, expected[:count], atol=1e-5)


def test_a_cascade_of_its_stages_is_reached_by_bls(torch_server, tiny_cascade, images):
    predictions = [ask_all(torch_server, stage.model, images) for stage in tiny_cascade.stages]
    served = ask(torch_server, "cascade", images[:16], FIELDS)
    assert_equal(served, offline(tiny_cascade, predictions), slice(0, 16))
    assert len(set(served["exit_stage"][:, 0])) > 1
    torch_server.unload("small")
    with pytest.raises(InferenceServerException, match="stage 'small' failed"):
        ask(torch_server, "cascade", images[:1], FIELDS)
    torch_server.load("small")


def ask_all(server, model, images):
    parts = np.split(images, range(8, len(images), 8))
    return np.concatenate([ask(server, model, part)["probabilities"] for part in parts])


def test_one_request_that_fails_fails_alone(one_backbone, images):
    """The engine is made to refuse some images, as a batch that does not fit would be."""
    model = one_backbone / "small" / "1" / "engine.py"
    refusal = "if any(part[0, 0, 0, 0] == 255 for part in parts): raise ValueError('refused')"
    start = "        count = sum(len(part) for part in parts)\n"
    model.write_text(model.read_text().replace(start, f"        {refusal}\n{start}"))
    bad = np.full_like(images[:2], 255)
    good = images[:2].copy()
    good[:, 0, 0, 0] = 0
    with EmbeddedServer(one_backbone, models=["small"]) as server, ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, server, "small", bad if turn % 3 == 0 else good) for turn in range(48)]
        for turn, answer in enumerate(answers):
            if turn % 3 == 0:
                with pytest.raises(InferenceServerException, match="ValueError: refused"):
                    answer.result()
            else:
                assert answer.result()["probabilities"].shape == (2, 5)


def spoil_program(version):
    path = version / "model.pt2"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def put_other_program(version):
    """No program, but with the SHA-256 that the entry says."""
    (version / "model.pt2").write_bytes(b"no program")
    config = version.parent / "config.pbtxt"
    parsed = entry(version.parent)
    parsed.parameters["model.pt2_sha256"].string_value = sha256(version / "model.pt2")
    parsed.parameters["exported_by"].string_value = "torch 1.0"
    config.write_text(text_format.MessageToString(parsed))


def hide_torch(version):
    """As if the server's Python had none."""
    engine = version / "engine.py"
    engine.write_text(
        engine.read_text().replace("import torch\n", "import sys; sys.modules['torch'] = None\nimport torch\n", 1)
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_program, r"model\.pt2 is not the file that this entry was written with.*build-engines repository"),
        (lambda version: (version / "model.pt2").unlink(), r"model\.pt2 is missing; rerun build-engines repository"),
        (put_other_program, r"exported by torch 1\.0, cannot be loaded by torch \d.*same version"),
        (hide_torch, r"needs PyTorch in the server's Python .*torch.*install torch \d"),
    ],
    ids=["corrupt", "missing", "of another torch", "no torch"],
)
def test_what_cannot_be_served_is_refused_on_loading(one_backbone, spoil, message):
    spoil(one_backbone / "small" / "1")
    with pytest.raises(EmbeddedServerError, match=message), EmbeddedServer(one_backbone, models=["small"]):
        pass


def test_a_program_is_made_again_only_when_it_must_be(tiny_build):
    small = tiny_build["small"]
    path = make_program(small)
    before = path.stat().st_mtime_ns
    assert make_program(small).stat().st_mtime_ns == before
    for damaged in (path, small.program_record_file):
        damaged.write_bytes(b"\xff" + damaged.read_bytes()[:-1])
        assert make_program(small).stat().st_mtime_ns != before
        before = path.stat().st_mtime_ns


def test_a_program_that_disagrees_is_not_kept(tiny_pool, tiny_build, tmp_path, monkeypatch):
    load = torch.export.load

    def load_another(file):
        written = load(file)
        written.state_dict["backbone.head.bias"][0] += 1
        return written

    monkeypatch.setattr(torch.export, "load", load_another)
    build = PoolBuild(tiny_pool, tmp_path)
    with pytest.raises(CheckError, match="'small': the exported PyTorch program differs"):
        make_program(build["small"])
    assert not any(build["small"].program.parent.iterdir())


def test_the_precision_can_be_chosen(tiny_build, tmp_path):
    small, repository = tiny_build["small"], tmp_path / "r"
    assert write_backbone(small, repository, "torch", "bf16").is_new
    assert entry(repository / "small").parameters["precision"].string_value == "bf16"
    assert write_backbone(small, repository, "torch").is_new
    with pytest.raises(BuildError, match="known are fp16, bf16, fp32"):
        write_backbone(small, repository, "torch", "fp8")
    with pytest.raises(BuildError, match="'embedded' computes in the precision of the file"):
        write_backbone(small, repository, "embedded", "fp16")
