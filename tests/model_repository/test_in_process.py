"""The stages in process: the cascade runs them itself, and answers as it does through BLS."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import onnx
import pytest
from tritonclient.utils import InferenceServerException

from build_engines.repository import cascade_entry
from embedded_server import EmbeddedServer, EmbeddedServerError
from tests.support.serving import (
    FIELDS,
    IMAGES,
    ask,
    assert_clients_get_their_own,
    assert_equal,
    is_empty,
    offline,
    serve_as,
)

EVERYTHING = (*FIELDS, "probabilities", "stage_confidence")


@pytest.fixture(scope="module")
def in_process(tiny_repository, tiny_cascade, tmp_path_factory):
    """A server with the cascade alone: what it answers does not come from other models."""
    repository = shutil.copytree(tiny_repository, tmp_path_factory.mktemp("in_process") / "repository")
    serve_as(repository, tiny_cascade, reach="in_process")
    with EmbeddedServer(repository, models=["cascade"]) as server:
        yield server


@pytest.mark.parametrize("batch", [1, 2, 7, 16])
def test_answers_equal_the_offline_replay(in_process, images, tiny_cascade, predictions, batch):
    outcome = offline(tiny_cascade, predictions)
    for start in range(0, IMAGES, batch):
        rows = slice(start, start + batch)
        served = ask(in_process, "cascade", images[rows], EVERYTHING)
        assert_equal(served, outcome, rows)
        np.testing.assert_allclose(served["probabilities"], outcome.probabilities[rows], atol=1e-6)


def test_sixteen_clients_at_once_get_the_same_answers(in_process, images, tiny_cascade, predictions):
    assert_clients_get_their_own(in_process, tiny_cascade, images, predictions)
    is_empty(in_process)


def test_an_ensemble_runs_in_process_too(repository_copy, images, tiny_cascade, predictions):
    serve_as(repository_copy, dataclasses.replace(tiny_cascade, mode="ensemble"), reach="in_process")
    with EmbeddedServer(repository_copy, models=["cascade"]) as server:
        served = ask(server, "cascade", images[:16], FIELDS)
    assert set(served["exit_stage"][:, 0]) == {len(tiny_cascade.stages)}
    mean = sum(s.weight * p[:16].astype(np.float16) for s, p in zip(tiny_cascade.stages, predictions, strict=True))
    np.testing.assert_array_equal(served["class_id"][:, 0], mean.argmax(1))


def test_by_default_stages_of_the_embedded_runtime_run_in_process(repository_copy, tiny_cascade, images):
    serve_as(repository_copy, tiny_cascade, reach="auto")
    with EmbeddedServer(repository_copy) as server:
        for stage in tiny_cascade.stages:
            server.unload(stage.model)
        assert len(ask(server, "cascade", images[:4], FIELDS)["class_id"]) == 4


def test_by_default_other_stages_are_reached_by_bls(repository_copy, tiny_cascade, images):
    """One stage of another backend is enough."""
    serve_as(repository_copy, tiny_cascade, reach="auto")
    version = repository_copy / "large" / "1"
    (version / "model.onnx").rename(version / "weights.onnx")
    model = version / "model.py"
    model.write_text(model.read_text().replace("model.onnx", "weights.onnx"))
    with EmbeddedServer(repository_copy) as server:
        server.unload("small")
        with pytest.raises(InferenceServerException, match="stage 'small' failed"):
            ask(server, "cascade", images[:1], FIELDS)


def test_by_default_triton_says_which_version_its_policy_chooses(repository_copy, tiny_cascade, images, outcome):
    serve_as(repository_copy, tiny_cascade, reach="auto")
    entry = repository_copy / "large"
    shutil.copytree(entry / "1", entry / "2")
    shutil.copy(repository_copy / "small" / "1" / "model.onnx", entry / "2")
    with (entry / "config.pbtxt").open("a") as config:
        config.write("version_policy { specific { versions: [1] } }")
    with EmbeddedServer(repository_copy) as server:
        assert_equal(ask(server, "cascade", images[:16], FIELDS), outcome, slice(0, 16))


def test_a_stage_without_an_onnx_file_is_named(repository_copy, tiny_cascade):
    serve_as(repository_copy, tiny_cascade, reach="in_process")
    (repository_copy / "large" / "1" / "model.onnx").unlink()
    with (
        pytest.raises(EmbeddedServerError, match=r"'large' has no model\.onnx"),
        EmbeddedServer(repository_copy, models=["cascade"]),
    ):
        pass


def test_a_folder_that_is_no_version_is_left_alone(repository_copy, tiny_cascade, images):
    """As Triton does."""
    serve_as(repository_copy, tiny_cascade, reach="auto")
    for name in ("2.old", "03", "new"):
        (repository_copy / "large" / name).mkdir()
    with EmbeddedServer(repository_copy, models=["cascade"]) as server:
        assert len(ask(server, "cascade", images[:4], FIELDS)["class_id"]) == 4


def name_input_otherwise(path):
    model = onnx.load(path)
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == "image" else name for name in node.input]
    model.graph.input[0].name = "pixels"
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"no ONNX"), "stage 'large' cannot be loaded"),
        (name_input_otherwise, r"stage 'large': model\.onnx has inputs \['pixels'\].*\"reach\": \"bls\""),
    ],
    ids=["corrupt", "other input"],
)
def test_a_file_that_would_fail_every_request_is_refused_and_the_cascade_before_goes_on(
    repository_copy, tiny_cascade, images, outcome, spoil, message
):
    serve_as(repository_copy, tiny_cascade, reach="in_process")
    with EmbeddedServer(repository_copy, models=["cascade"]) as server:
        spoil(repository_copy / "large" / "1" / "model.onnx")
        serve_as(repository_copy, tiny_cascade, reach="in_process")  # Triton reloads nothing that has not changed
        with pytest.raises(EmbeddedServerError, match=message):
            server.load("cascade")
        assert_equal(ask(server, "cascade", images[:16], FIELDS), outcome, slice(0, 16))
        is_empty(server)


def test_the_stages_are_found_through_links(repository_copy, tiny_cascade, images, tmp_path):
    """A folder that is linked into the repository, or files as Kubernetes mounts them."""
    serve_as(repository_copy, tiny_cascade, reach="in_process")
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (repository_copy / "cascade").rename(elsewhere / "cascade")
    (repository_copy / "cascade").symlink_to(elsewhere / "cascade")
    with EmbeddedServer(repository_copy, models=None) as server:
        assert len(ask(server, "cascade", images[:4], FIELDS)["class_id"]) == 4


def test_new_exports_are_taken_up_with_the_cascade(repository_copy, tiny_cascade, images, predictions, monkeypatch):
    monkeypatch.setattr(cascade_entry, "_holds_the_packages", lambda _: True)
    serve_as(repository_copy, tiny_cascade, reach="in_process")
    first, last = (repository_copy / tiny_cascade.stages[place].model / "1" / "model.onnx" for place in (0, -1))
    with EmbeddedServer(repository_copy) as server:
        shutil.copy(last, first)
        cascade_entry.put_cascade(repository_copy)
        server.load("cascade")
        served = ask(server, "cascade", images[:16], ["probabilities"], max_stage=1)["probabilities"]
    np.testing.assert_allclose(served, predictions[-1][:16], atol=1e-3)  # what is kept of a stage is FP16
