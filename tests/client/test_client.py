from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cascade_client
from cascade_client import (
    CascadeClient,
    CascadeError,
    InvalidImage,
    InvalidRequest,
    ModelNotFound,
    ServerUnavailable,
)
from cascade_client.contract import DESCRIPTION, OUTPUTS
from embedded_server import EmbeddedServer
from tests.support.helpers import CANVAS, LABELS, random_canvases
from tests.support.serving import ask


@pytest.fixture
def client(server):
    with CascadeClient(server.addresses.grpc) as connected:
        yield connected


def png(canvas):
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG")
    return buffer.getvalue()


def test_paths_bytes_pictures_and_arrays_get_the_same_answer(client, tmp_path):
    (canvas,) = random_canvases(1, seed=6)
    path = tmp_path / "image.png"
    path.write_bytes(png(canvas))
    answers = client.classify([canvas, path, str(path), png(canvas), Image.fromarray(canvas)])
    assert len(answers) == 5
    assert {(a.class_id, a.label, a.confidence, a.exit_stage) for a in answers} == {
        (answers[0].class_id, LABELS[answers[0].class_id], answers[0].confidence, answers[0].exit_stage)
    }


def test_more_images_than_a_request_takes_are_split(client):
    canvases = random_canvases(40, seed=7)
    assert client.status.max_batch_size == 16
    together = client.classify(list(canvases))
    assert together == [answer for canvas in canvases for answer in client.classify([canvas])]


def test_details_bring_probabilities_and_each_stages_confidence(client):
    for answer in client.classify(list(random_canvases(30, seed=8)), details=True):
        assert answer.probabilities.shape == (len(LABELS),)
        assert answer.probabilities.argmax() == answer.class_id
        assert len(answer.stage_confidence) == answer.exit_stage
        assert answer.stage_confidence[-1] == answer.confidence


def test_max_stage_and_operating_point_reach_the_server(client):
    canvases = list(random_canvases(30, seed=9))
    assert {answer.exit_stage for answer in client.classify(canvases, max_stage=1)} == {1}
    fast, accurate = (
        np.mean([answer.exit_stage for answer in client.classify(canvases, operating_point=point)])
        for point in ("fast", "accurate")
    )
    assert fast < accurate


def test_no_image_is_no_request(client):
    assert client.classify([]) == []


def test_status_describes_the_cascade(client):
    status = client.status
    assert status.ready
    assert (status.canvas, status.classes, status.stages) == (CANVAS, len(LABELS), 3)
    assert status.server.startswith("triton 2.")


def test_answers_are_frozen(client):
    (answer,) = client.classify([random_canvases(1)[0]])
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.label = "other"


@pytest.mark.parametrize(
    ("images", "arguments", "error", "says"),
    [
        ([b"no image"], {}, InvalidImage, "image 0: cannot read"),
        ([b""], {}, InvalidImage, "image 0: cannot read"),
        ([np.zeros((0, 4, 3), np.uint8)], {}, InvalidImage, r"\[0, 4, 3\]"),
        ([np.zeros((4, 4, 3))], {}, InvalidImage, "float64"),
        ([np.zeros((4, 4, 3), np.uint8)], {"operating_point": "turbo"}, InvalidRequest, "fast, accurate"),
        ([np.zeros((4, 4, 3), np.uint8)], {"max_stage": 0}, InvalidRequest, "positive integer"),
        ([np.zeros((4, 4, 3), np.uint8)], {"max_stage": 1.5}, InvalidRequest, "positive integer, not 1.5"),
        ([np.zeros((4, 4, 3), np.uint8)], {"max_stage": "2"}, InvalidRequest, "positive integer, not '2'"),
    ],
)
def test_bad_input_is_a_typed_error(client, images, arguments, error, says):
    with pytest.raises(error, match=says):
        client.classify(images, **arguments)


def test_a_server_that_is_not_there_says_how_to_start_it():
    with CascadeClient("127.0.0.1:1", timeout_s=2) as client, pytest.raises(ServerUnavailable, match="make serve"):
        client.classify([np.zeros((4, 4, 3), np.uint8)])


def test_an_unknown_model_and_one_that_is_no_cascade_are_told_apart(server):
    with CascadeClient(server.addresses.grpc, model="ghost") as client, pytest.raises(ModelNotFound, match="ghost"):
        _ = client.status
    with (
        CascadeClient(server.addresses.grpc, model="small") as client,
        pytest.raises(InvalidRequest, match="is not a cascade"),
    ):
        _ = client.status


@pytest.mark.parametrize("single", [np.zeros((9, 9, 3), np.uint8), "image.png", Path("image.png"), b"bytes"])
def test_a_single_image_is_not_taken_for_a_list(client, single):
    with pytest.raises(InvalidImage, match="expected a list of images"):
        client.classify(single)


def test_a_closed_client_says_so(server):
    client = CascadeClient(server.addresses.grpc)
    client.close()
    with pytest.raises(CascadeError, match="closed"):
        _ = client.status


def test_everything_public_is_exported_and_sorted():
    assert cascade_client.__all__ == sorted(cascade_client.__all__)
    assert all(hasattr(cascade_client, name) for name in cascade_client.__all__)


def run_cli(*arguments):
    command = [sys.executable, "-c", "from cascade_client.cli import app; app()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_line_classifies_files(server, tmp_path):
    path = tmp_path / "a[red]b.png"
    path.write_bytes(png(random_canvases(1)[0]))
    assert run_cli("classify", path, "--url", server.addresses.grpc).returncode == 0
    done = run_cli("classify", path, "--json", "--url", server.addresses.grpc)
    answer = json.loads(done.stdout)
    assert answer["file"] == str(path)
    assert answer["label"] in LABELS
    assert len(answer["stage_confidence"]) == answer["exit_stage"]


def test_the_command_line_shows_the_status(server):
    done = run_cli("status", "--url", server.addresses.grpc)
    assert done.returncode == 0
    assert f"{CANVAS} x {CANVAS}" in done.stdout


def test_beside_backbones_alone_the_status_says_to_serve_a_cascade(tiny_repository):
    with EmbeddedServer(tiny_repository, models=["small"]) as backbones:
        done = run_cli("status", "--url", backbones.addresses.grpc)
    assert done.returncode == 1
    assert "serves no cascade called 'cascade'; choose one with build-cascade search and serve it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_line_fails_in_one_line(tmp_path):
    done = run_cli("classify", tmp_path / "nowhere.png", "--url", "127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_the_description_is_the_served_cascades(client, tiny_cascade):
    described = client.description
    assert [(stage.model, stage.weight, stage.threshold) for stage in described.stages] == [
        (stage.model, stage.weight, stage.threshold) for stage in tiny_cascade.stages
    ]
    assert described.operating_points == {
        name: point.thresholds for name, point in tiny_cascade.operating_points.items()
    }
    assert (described.name, described.confidence) == (tiny_cascade.name, tiny_cascade.confidence)
    assert described.labels == tiny_cascade.labels
    assert described.reach in {"in_process", "bls"}


def test_a_description_is_sent_only_where_it_is_asked_for_alone(server):
    images, outputs = random_canvases(3), {tensor.name for tensor in (*OUTPUTS, DESCRIPTION)}
    # No stage runs, so a parameter that the stages would refuse is not read.
    alone = ask(server, "cascade", images, ["description"], operating_point="turbo")["description"]
    assert json.loads(alone[0, 0])["stages"]
    assert alone[1:].tolist() == [[b""], [b""]]
    answers = {names: ask(server, "cascade", images, names) for names in (("class_id", "description"), ())}
    assert set(answers[()]) == outputs  # a client that names none gets all
    for answer in answers.values():
        assert answer["class_id"].shape == (3, 1)
        assert answer["description"].tolist() == [[b""]] * 3


def test_the_status_names_stages_thresholds_and_operating_points(server, tiny_cascade, monkeypatch):
    monkeypatch.setenv("CASCADE_URL", server.addresses.grpc)
    told = run_cli("status").stdout
    for stage in tiny_cascade.stages[:-1]:
        assert f"{stage.model}" in told
        assert f"at {stage.threshold:.4g}" in told
    assert all(name in told for name in tiny_cascade.operating_points)
    assert tiny_cascade.confidence in told


def test_what_is_classified_names_the_confidence(server, tiny_cascade, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(png(random_canvases(1)[0]))
    assert f"({tiny_cascade.confidence})" in run_cli("classify", path, "--url", server.addresses.grpc).stdout
