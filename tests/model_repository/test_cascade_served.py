"""The BLS model in the real server: its answers equal the offline replay, and a bad request fails alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from cascade_core.gating import margin
from cascade_core.spec import Cascade, Stage
from embedded_server import EmbeddedServer
from tests.support.helpers import CANVAS, LABELS
from tests.support.serving import FIELDS, IMAGES, ask, assert_clients_get_their_own, assert_equal, offline


def test_the_images_use_every_stage(tiny_cascade, predictions):
    assert set(offline(tiny_cascade, predictions).exit_stage) == {1, 2, 3}


@pytest.mark.parametrize("batch", [1, 2, 7, 16])
def test_served_answers_equal_the_offline_replay(server, images, tiny_cascade, predictions, batch):
    outcome = offline(tiny_cascade, predictions)
    for start in range(0, IMAGES, batch):
        served = ask(server, "cascade", images[start : start + batch], FIELDS)
        assert_equal(served, outcome, slice(start, start + batch))


@pytest.mark.parametrize(
    "parameters",
    [
        {"operating_point": "fast"},
        {"operating_point": "accurate"},
        {"max_stage": 1},
        {"max_stage": 2},
        {"max_stage": 9},
    ],
)
def test_request_parameters_act_as_the_replay_says(server, images, tiny_cascade, predictions, parameters):
    named = parameters | ({"max_stage": 3} if parameters.get("max_stage") == 9 else {})
    served = ask(server, "cascade", images[:16], FIELDS, **parameters)
    assert_equal(served, offline(tiny_cascade, [p[:16] for p in predictions], **named))


def test_sixteen_clients_at_once_get_the_same_answers(server, images, tiny_cascade, predictions):
    assert_clients_get_their_own(server, tiny_cascade, images, predictions)


def test_all_outputs_come_when_none_is_named(server, images, tiny_cascade, predictions):
    served = ask(server, "cascade", images[:4])
    outcome = offline(tiny_cascade, [p[:4] for p in predictions])
    assert_equal(served, outcome)
    np.testing.assert_array_equal(served["probabilities"], outcome.probabilities)
    np.testing.assert_array_equal(served["stage_confidence"], outcome.stage_confidence)
    assert [label.decode() for label in served["label"][:, 0]] == [LABELS[i] for i in outcome.class_id]


def test_only_the_outputs_asked_for_come(server, images):
    assert set(ask(server, "cascade", images[:1], ["exit_stage"])) == {"exit_stage"}


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"operating_point": "turbo"}, "this cascade has: fast, accurate"),
        ({"operating_point": 3}, "operating_point '3' is unknown"),
        ({"max_stage": 0}, "positive integer"),
        ({"max_stage": -1}, "positive integer"),
        ({"max_stage": "two"}, "positive integer"),
        ({"max_stage": True}, "positive integer"),
    ],
)
def test_a_bad_parameter_fails_only_its_own_request(server, images, tiny_cascade, predictions, parameters, says):
    def client(place):
        if place % 2:
            return ask(server, "cascade", images[place : place + 1], FIELDS)
        with pytest.raises(InferenceServerException, match=says) as raised:
            ask(server, "cascade", images[:1], FIELDS, **parameters)
        assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
        return None

    outcome = offline(tiny_cascade, predictions)
    with ThreadPoolExecutor(16) as pool:
        for place, served in enumerate(pool.map(client, range(32))):
            if served is not None:
                assert_equal(served, outcome, slice(place, place + 1))


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 8, 8, 3), np.uint8), np.zeros((17, CANVAS, CANVAS, 3), np.uint8)], ids=["shape", "batch"]
)
def test_a_wrong_shape_or_batch_is_refused(server, wrong):
    with pytest.raises(InferenceServerException) as raised:
        ask(server, "cascade", wrong, FIELDS)
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_failing_stage_fails_only_the_images_that_need_it(repository_copy, images, tiny_cascade, predictions):
    """The last stage's graph is swapped for one of other classes: it answers in another shape."""
    broken = repository_copy / "large" / "1" / "model.py"
    broken.write_text(broken.read_text().replace("_response(part)", "_response(part[:, :2])"))
    outcome = offline(tiny_cascade, predictions)
    with EmbeddedServer(repository_copy, models=["small", "medium", "large", "cascade"]) as server:
        for row in range(16):
            if outcome.exit_stage[row] < 3:
                assert_equal(ask(server, "cascade", images[row : row + 1], FIELDS), outcome, slice(row, row + 1))
            else:
                with pytest.raises(InferenceServerException, match="stage 'large'"):
                    ask(server, "cascade", images[row : row + 1], FIELDS)


def test_margin_is_served_as_it_is_replayed(repository_copy, images, predictions):
    threshold = float(np.median(margin(predictions[0].astype(np.float16).astype(np.float32))))
    stages = (Stage("small", threshold=threshold, max_batch_size=8), Stage("large", max_batch_size=8))
    cascade = Cascade("margin", CANVAS, LABELS, stages, confidence="margin")
    (repository_copy / "cascade" / "cascade.json").write_text(cascade.to_json())
    with EmbeddedServer(repository_copy) as server:
        served = ask(server, "cascade", images[:32], FIELDS)
    assert_equal(served, offline(cascade, [predictions[0][:32], predictions[2][:32]]))


def test_a_stage_that_answers_nan_fails_only_those_images(repository_copy, images, tiny_cascade, predictions):
    broken = repository_copy / "large" / "1" / "model.py"
    broken.write_text(broken.read_text().replace("_response(part)", "_response(part * float('nan'))"))
    outcome = offline(tiny_cascade, predictions)
    hard = int(np.argmax(outcome.exit_stage == 3))
    easy = int(np.argmax(outcome.exit_stage == 1))
    with EmbeddedServer(repository_copy) as server:
        assert_equal(ask(server, "cascade", images[easy : easy + 1], FIELDS), outcome, slice(easy, easy + 1))
        with pytest.raises(InferenceServerException, match="stage 'large' answered NaN"):
            ask(server, "cascade", images[hard : hard + 1], FIELDS)
