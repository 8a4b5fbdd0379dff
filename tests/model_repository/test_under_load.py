"""The served cascade when images wait: order, admission, timeouts, clients that give up."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from embedded_server import EmbeddedServer
from tests.support.serving import (
    FIELDS,
    ask,
    assert_equal,
    call,
    eventually,
    is_empty,
    metrics,
    serve_as,
    settled,
    slow_down,
)

STEP_S = 1.0


@pytest.fixture
def slow_repository(repository_copy, tiny_cascade):
    """Admission of one large request, one call per stage, and a slow last stage."""
    serve_as(repository_copy, tiny_cascade, workers_per_stage=1, max_images_in_flight=16)
    slow_down(repository_copy, "large", STEP_S)
    return repository_copy


@pytest.fixture
def slow_server(slow_repository):
    with EmbeddedServer(slow_repository) as running:
        settled(running)
        yield running


@pytest.fixture
def background():
    with ThreadPoolExecutor(32) as pool:
        yield pool


def in_flight(server):
    return metrics(server)["images_in_flight", ""]


def large_calls(server):
    return metrics(server)["stage_batch_images_count", "large"]


def occupy(server, background, images):
    """Have the last stage at work on some hard images."""
    before = large_calls(server)
    answer = background.submit(ask, server, "cascade", images, FIELDS)
    eventually(lambda: large_calls(server) > before, True)
    return answer


def test_an_easy_image_does_not_wait_for_hard_ones(slow_server, background, images, outcome, easy, hard):
    working = occupy(slow_server, background, images[np.resize(hard, 8)])
    ask(slow_server, "cascade", images[easy[:1]], FIELDS)
    assert not working.done()
    assert_equal(working.result(), outcome, np.resize(hard, 8))


def test_a_full_cascade_refuses_at_once(slow_server, background, images, outcome, hard):
    rows = np.resize(hard, 16)
    working = occupy(slow_server, background, images[rows])
    with pytest.raises(InferenceServerException, match="holds 16 images; try again later") as raised:
        ask(slow_server, "cascade", images[:1])
    assert raised.value.status() == "StatusCode.UNAVAILABLE"
    assert not working.done()
    assert_equal(working.result(), outcome, rows)
    assert_equal(ask(slow_server, "cascade", images[rows], FIELDS), outcome, rows)


def test_a_full_cascade_may_let_requests_wait_in_tritons_queue(slow_repository, background, images, tiny_cascade, hard):
    policy = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }\n"
    with (slow_repository / "cascade" / "config.pbtxt").open("a") as config:
        config.write(policy)
    serve_as(slow_repository, tiny_cascade, workers_per_stage=1, max_images_in_flight=16, when_full="wait")
    with EmbeddedServer(slow_repository) as server:
        rows = np.resize(hard, 16)
        working = [occupy(server, background, images[rows])]
        working += [background.submit(ask, server, "cascade", images[rows], FIELDS) for _ in range(8)]
        errors = [str(error) for answer in working if (error := answer.exception())]
    assert errors
    assert len(errors) < len(working)
    assert all("Exceeds maximum queue size" in error for error in errors)


def test_a_request_whose_timeout_passes_is_dropped_before_the_next_stage(slow_server, background, images, hard):
    working = occupy(slow_server, background, images[hard[:1]])
    calls = large_calls(slow_server)
    with pytest.raises(InferenceServerException, match=r"timeout of 0\.1 s passed before stage") as raised:
        ask(slow_server, "cascade", images[hard[:1]], timeout=100_000)
    assert raised.value.status() == "StatusCode.UNAVAILABLE"
    working.result()
    eventually(lambda: metrics(slow_server).get(("failed_images_total", "timeout")), 1)
    is_empty(slow_server)
    assert large_calls(slow_server) == calls
    assert ask(slow_server, "cascade", images[hard[:1]], ["exit_stage"], timeout=20_000_000)["exit_stage"] == 3


def test_clients_that_give_up_leave_nothing_behind(slow_server, background, images, outcome, hard):
    """Some run into their own deadline, some cancel, some break the connection; all are dropped before `large`."""
    working = occupy(slow_server, background, images[np.resize(hard, 8)])
    calls = large_calls(slow_server)
    with pytest.raises(InferenceServerException, match="Deadline"):
        ask(slow_server, "cascade", images[hard[:1]], client_timeout=0.05)
    tensor = triton.InferInput("image", [1, *images.shape[1:]], "UINT8")
    tensor.set_data_from_numpy(images[hard[:1]])
    clients = [triton.InferenceServerClient(slow_server.addresses.grpc) for _ in range(2)]
    contexts = [client.async_infer("cascade", [tensor], lambda result, error: None) for client in clients]
    eventually(lambda: in_flight(slow_server) >= 8 + len(contexts), True)
    contexts[0].cancel()
    clients[1].close()
    assert_equal(working.result(), outcome, np.resize(hard, 8))
    eventually(lambda: metrics(slow_server).get(("failed_images_total", "cancelled")), 3)
    is_empty(slow_server)
    assert large_calls(slow_server) == calls
    rows = np.resize(hard, 16)
    assert_equal(ask(slow_server, "cascade", images[rows], FIELDS), outcome, rows)


def test_hard_images_are_not_starved(repository_copy, background, images, tiny_cascade, easy, hard):
    """A hard image may be overtaken by images under way, not by a stream of later ones."""
    clients, rounds = 8, 12
    *first, large = tiny_cascade.stages
    one_at_a_time = (*first, dataclasses.replace(large, max_batch_size=1))
    serve_as(repository_copy, dataclasses.replace(tiny_cascade, stages=one_at_a_time), workers_per_stage=1)
    slow_down(repository_copy, "large", 0.01)
    clock, lock = itertools.count(), threading.Lock()
    order, stop = [], threading.Event()

    def tick():
        with lock:
            return next(clock)

    def ask_hard(place):
        with triton.InferenceServerClient(server.addresses.grpc) as client:
            for _ in range(rounds):
                sent = tick()
                call(client, images[hard[place : place + 1]], FIELDS)
                order.append((sent, tick()))

    def ask_easy(_):
        with triton.InferenceServerClient(server.addresses.grpc) as client:
            while not stop.is_set():
                call(client, images[easy[:4]], FIELDS)

    with EmbeddedServer(repository_copy) as server:
        stream = [background.submit(ask_easy, place) for place in range(4)]
        for done in [background.submit(ask_hard, place) for place in range(clients)]:
            done.result()
        stop.set()
        for done in stream:
            done.result()
    overtaking = [sum(sent < later and early < answered for later, early in order) for sent, answered in order]
    assert max(overtaking) < 2 * clients
