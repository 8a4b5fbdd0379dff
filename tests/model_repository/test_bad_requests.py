"""Requests that make no sense: each is refused for itself, and the server goes on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.support.helpers import CANVAS
from tests.support.serving import FIELDS, ask, assert_equal

SHAPE = [1, CANVAS, CANVAS, 3]


@pytest.fixture(autouse=True)
def goes_on(server, images, outcome):
    yield
    assert_equal(ask(server, "cascade", images[:16], FIELDS), outcome, slice(16))


def send_raw(server, content, shape, datatype="UINT8"):
    tensor = triton.InferInput("image", shape, datatype)
    tensor._raw_content = content
    with triton.InferenceServerClient(server.addresses.grpc) as client:
        client.infer("cascade", [tensor], client_timeout=60)


@pytest.mark.parametrize(
    ("content", "shape"),
    [
        (b"", [0, CANVAS, CANVAS, 3]),
        (b"", SHAPE),
        (b"\0", SHAPE),
        (bytes(17 * CANVAS * CANVAS * 3), [17, CANVAS, CANVAS, 3]),
        (bytes(CANVAS * CANVAS * 3), [CANVAS, CANVAS, 3]),
        (bytes(CANVAS * CANVAS), [1, CANVAS, CANVAS, 1]),
        (bytes(CANVAS * CANVAS * 3), [-1, CANVAS, CANVAS, 3]),
    ],
    ids=["batch 0", "zero bytes", "one byte", "batch above the maximum", "no batch", "grey", "negative"],
)
def test_images_of_another_shape_or_size_are_refused(server, content, shape):
    with pytest.raises(InferenceServerException) as raised:
        send_raw(server, content, shape)
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_another_data_type_is_refused(server):
    with pytest.raises(InferenceServerException, match="data-type"):
        send_raw(server, bytes(4 * CANVAS * CANVAS * 3), SHAPE, "FP32")


@pytest.mark.parametrize("outputs", [["nothing"], ["class_id", "nothing"], [""]])
def test_an_output_that_does_not_exist_is_refused(server, images, outputs):
    with pytest.raises(InferenceServerException, match="unexpected inference output"):
        ask(server, "cascade", images[:1], outputs)


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_stage": 1.5},
        {"max_stage": "1"},
        {"max_stage": False},
        {"max_stage": -(2**63)},
        {"max_stage": "x" * 1_000_000},
    ]
    + [{"operating_point": wrong} for wrong in (1.5, True, "", "x" * 1_000_000)],
    ids=lambda parameters: f"{next(iter(parameters))} {str(next(iter(parameters.values())))[:20]}",
)
def test_a_parameter_of_the_wrong_type_is_refused(server, images, parameters):
    with pytest.raises(InferenceServerException, match=next(iter(parameters))) as raised:
        ask(server, "cascade", images[:1], FIELDS, **parameters)
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("value", [1.5, "1", [1], None, {"stage": 1}, 10**30], ids=str)
def test_a_parameter_of_the_wrong_type_is_refused_over_http_too(server, value):
    image = {"name": "image", "shape": SHAPE, "datatype": "UINT8", "data": [0] * (CANVAS * CANVAS * 3)}
    body = json.dumps({"inputs": [image], "parameters": {"max_stage": value}}).encode()
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(f"http://{server.addresses.http}/v2/models/cascade/infer", body, timeout=60)
    assert raised.value.code == 400
    assert "max_stage" in json.loads(raised.value.read())["error"]


def test_parameters_that_mean_nothing_here_change_nothing(server, images, outcome):
    many = {f"parameter_{place}": place for place in range(10_000)}
    assert_equal(ask(server, "cascade", images[:8], FIELDS, **many), outcome, slice(8))
    assert_equal(ask(server, "cascade", images[:8], FIELDS, max_stage=2**62), outcome, slice(8))


def test_no_input_and_a_second_input_are_refused(server):
    with triton.InferenceServerClient(server.addresses.grpc) as client:
        second = triton.InferInput("picture", SHAPE, "UINT8")
        second.set_data_from_numpy(np.zeros(SHAPE, np.uint8))
        for inputs in ([], [second]):
            with pytest.raises(InferenceServerException) as raised:
                client.infer("cascade", inputs, client_timeout=60)
            assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
