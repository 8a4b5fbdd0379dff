"""A stage that fails, is not loaded or fails on one image: the images that needed it get an error, and no others."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from cascade_client import CascadeClient
from cascade_core.gating import GatingRule, replay
from embedded_server import EmbeddedServer
from tests.support.serving import (
    FIELDS,
    ask,
    assert_equal,
    change_stage,
    eventually,
    is_empty,
    metrics,
    offline,
    serve_as,
)

EVERYTHING = (*FIELDS, "degraded", "probabilities", "stage_confidence")
UPSET = 255
FAIL_UPSET = f"""if any(part[:, 0, 0, 0].max() == {UPSET} for part in images): raise ValueError("upset")
        (probabilities,)"""


@pytest.fixture
def fragile_repository(repository_copy, tiny_cascade):
    """The second stage fails on an image whose first pixel is UPSET."""
    change_stage(repository_copy, "medium", "(probabilities,)", FAIL_UPSET)
    return repository_copy


@pytest.fixture
def upsetting(images):
    marked = images.copy()
    marked[:, 0, 0, 0] = UPSET
    return marked


@pytest.fixture
def marked_predictions(server, upsetting, tiny_cascade):
    parts = [np.split(upsetting, len(upsetting) // 8)] * len(tiny_cascade.stages)
    answers = zip(tiny_cascade.stages, parts, strict=True)
    return [
        np.concatenate([ask(server, s.model, part, ["probabilities"])["probabilities"] for part in batches])
        for s, batches in answers
    ]


def test_one_image_that_upsets_a_stage_fails_no_neighbour(fragile_repository, images, upsetting, outcome, hard):
    """Sixteen at once, so that calls of the stage hold images of several requests."""
    with EmbeddedServer(fragile_repository) as server:

        def client(place):
            row = hard[place % len(hard)]
            if place % 8:
                return row, ask(server, "cascade", images[row : row + 1], FIELDS)
            with pytest.raises(InferenceServerException, match=r"stage 'medium' failed.*upset") as raised:
                ask(server, "cascade", upsetting[row : row + 1], FIELDS)
            assert raised.value.status() == "StatusCode.INTERNAL"
            return row, {}

        with ThreadPoolExecutor(16) as pool:
            for row, served in pool.map(client, range(128)):
                assert_equal(served, outcome, slice(row, row + 1))
        eventually(lambda: metrics(server).get(("failed_images_total", "stage")), 16)


def test_a_stage_that_is_not_there_is_named(repository_copy, images, outcome, easy, hard):
    with EmbeddedServer(repository_copy) as server:
        server.unload("large")
        assert_equal(ask(server, "cascade", images[easy[:8]], FIELDS), outcome, easy[:8])
        with pytest.raises(InferenceServerException, match="stage 'large' failed"):
            ask(server, "cascade", images[hard[:1]], FIELDS)
        server.load("large")
        assert_equal(ask(server, "cascade", images[hard[:8]], FIELDS), outcome, hard[:8])


def test_degraded_answers_are_those_of_the_stage_before(
    fragile_repository, upsetting, tiny_cascade, marked_predictions
):
    serve_as(fragile_repository, tiny_cascade, degraded=True)
    whole, before = (offline(tiny_cascade, marked_predictions, max_stage=last) for last in (None, 1))
    needed = whole.exit_stage > 1
    assert needed.any()
    assert not needed.all()
    with EmbeddedServer(fragile_repository) as server, CascadeClient(server.addresses.grpc) as client:
        for start in range(0, len(upsetting), 16):
            rows = slice(start, start + 16)
            served = ask(server, "cascade", upsetting[rows], EVERYTHING)
            np.testing.assert_array_equal(served["degraded"][:, 0], needed[rows])
            assert_equal(served, before, rows)
            np.testing.assert_array_equal(served["probabilities"], before.probabilities[rows])
            np.testing.assert_array_equal(served["stage_confidence"], before.stage_confidence[rows])
        answers = client.classify(list(upsetting[:16]))
        assert [answer.degraded for answer in answers] == needed[:16].tolist()
        eventually(lambda: metrics(server)["degraded_images_total", ""], needed.sum() + needed[:16].sum())


def test_without_any_answer_there_is_nothing_to_degrade_to(fragile_repository, upsetting, tiny_cascade):
    first, second, last = tiny_cascade.stages
    swapped = (dataclasses.replace(second, threshold=first.threshold), last)
    serve_as(fragile_repository, dataclasses.replace(tiny_cascade, stages=swapped, operating_points={}), degraded=True)
    with (
        EmbeddedServer(fragile_repository) as server,
        pytest.raises(InferenceServerException, match="stage 'medium' failed"),
    ):
        ask(server, "cascade", upsetting[:1])


def test_an_ensemble_is_the_mean_of_all(repository_copy, images, tiny_cascade, predictions):
    serve_as(repository_copy, dataclasses.replace(tiny_cascade, mode="ensemble"))
    never = [np.inf] * 2
    with EmbeddedServer(repository_copy) as server:
        for last in (1, 2, 3):
            served = ask(server, "cascade", images[:16], EVERYTHING, max_stage=last, operating_point="fast")
            expected = replay(tiny_cascade.rule, never, [part[:16] for part in predictions], last)
            assert_equal(served, expected)
            assert (served["exit_stage"] == last).all()
            np.testing.assert_array_equal(served["probabilities"], expected.probabilities)
        with ThreadPoolExecutor(16) as pool:
            rows = [slice(start, start + 1 + start % 7) for start in range(80)]
            whole = replay(tiny_cascade.rule, never, predictions)
            for row, served in zip(
                rows, pool.map(lambda row: ask(server, "cascade", images[row], FIELDS), rows), strict=True
            ):
                assert_equal(served, whole, row)


def test_a_degraded_ensemble_is_the_mean_of_the_rest(fragile_repository, upsetting, tiny_cascade, marked_predictions):
    serve_as(fragile_repository, dataclasses.replace(tiny_cascade, mode="ensemble"), degraded=True)
    rest = GatingRule((tiny_cascade.stages[0].weight, tiny_cascade.stages[2].weight))
    expected = replay(rest, [np.inf], [marked_predictions[0][:16], marked_predictions[2][:16]])
    with EmbeddedServer(fragile_repository) as server:
        served = ask(server, "cascade", upsetting[:16], EVERYTHING)
    assert served["degraded"].all()
    assert (served["exit_stage"] == 3).all()
    np.testing.assert_array_equal(served["probabilities"], expected.probabilities)
    np.testing.assert_array_equal(served["class_id"][:, 0], expected.class_id)
    np.testing.assert_array_equal(served["stage_confidence"][:, [0, 2]], expected.stage_confidence)
    assert np.isnan(served["stage_confidence"][:, 1]).all()


@pytest.mark.parametrize("number", [1e6, -0.5, 1.5], ids=["too large for float16", "negative", "above 1"])
def test_an_invalid_probability_fails_those_images_and_no_worker(repository_copy, images, tiny_cascade, hard, number):
    """Two numbers that float16 cannot hold make a margin of NaN: no gate would ever let the image out."""
    serve_as(repository_copy, dataclasses.replace(tiny_cascade, confidence="margin"), workers_per_stage=1)
    with EmbeddedServer(repository_copy) as server:
        change_stage(repository_copy, "large", "_response(part)", f"_response(part * 0 + {number})")
        server.load("large")
        for _ in range(3):
            with pytest.raises(InferenceServerException, match="stage 'large' answered NaN"):
                ask(server, "cascade", images[hard[:8]], FIELDS, operating_point="accurate", client_timeout=20)
        is_empty(server)


def test_a_confidence_of_nan_fails_the_request_and_no_worker(repository_copy, images, tiny_cascade):
    """Weights that float32 cannot hold make a mean of NaN."""
    *first, last = tiny_cascade.stages
    heavy = (*first, dataclasses.replace(last, weight=1e39))
    with EmbeddedServer(repository_copy) as server:
        serve_as(repository_copy, dataclasses.replace(tiny_cascade, stages=heavy), workers_per_stage=1)
        server.load("cascade")
        for _ in range(3):
            with pytest.raises(InferenceServerException, match="confidence at the last stage is NaN"):
                ask(server, "cascade", images[:16], FIELDS, client_timeout=20)
        is_empty(server)
