"""cascade.json replaced while requests come in: none fails, and each is answered by one file or the other."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.json_format import MessageToJson

from embedded_server import EmbeddedServer
from tests.support.serving import (
    FIELDS,
    ask,
    assert_equal,
    call,
    eventually,
    is_empty,
    metrics,
    offline,
    serve_as,
    settled,
    slow_down,
)

CLIENTS = 8
RELOADS = 6


def other_thresholds(cascade):
    """The same stages; the default and `fast` change places."""
    fast = cascade.operating_points["fast"].thresholds
    stages = [dataclasses.replace(stage, threshold=t) for stage, t in zip(cascade.stages[:-1], fast, strict=True)]
    points = cascade.operating_points | {
        "fast": dataclasses.replace(cascade.operating_points["fast"], thresholds=cascade.thresholds)
    }
    return dataclasses.replace(cascade, stages=(*stages, cascade.stages[-1]), operating_points=points)


def same(served, outcome, rows):
    return all(np.array_equal(served[field][:, 0], getattr(outcome, field)[rows]) for field in FIELDS)


def load_with_config(server, delay_us):
    """Load the cascade with Triton's whole configuration of it, in which one number is another."""
    with triton.InferenceServerClient(server.addresses.grpc) as client:
        config = client.get_model_config("cascade").config
    config.dynamic_batching.max_queue_delay_microseconds = delay_us
    server.load("cascade", MessageToJson(config, preserving_proto_field_name=True))


def queue_delay_us(server):
    with triton.InferenceServerClient(server.addresses.grpc) as client:
        return client.get_model_config("cascade").config.dynamic_batching.max_queue_delay_microseconds


@pytest.mark.parametrize("load", [lambda server, _: server.load("cascade"), load_with_config], ids=["file", "config"])
def test_no_request_fails_and_no_answer_is_a_mixture(repository_copy, images, tiny_cascade, predictions, load):
    files = (tiny_cascade, other_thresholds(tiny_cascade))
    outcomes = {name: [offline(file, predictions, name) for file in files] for name in (None, "fast")}
    assert not np.array_equal(*(outcome.exit_stage for outcome in outcomes[None]))
    stop, seen, asked = threading.Event(), [0, 0], [0] * CLIENTS

    def ask_on(place):
        generator = np.random.default_rng(place)
        with triton.InferenceServerClient(server.addresses.grpc) as client:
            while not stop.is_set():
                rows = generator.integers(0, len(images), 16)
                name = (None, "fast")[asked[place] % 2]
                served = call(client, images[rows], FIELDS, **({"operating_point": name} if name else {}))
                fits = [same(served, outcome, rows) for outcome in outcomes[name]]
                assert any(fits)
                if not all(fits):
                    seen[fits.index(True)] += 1
                asked[place] += 1

    with EmbeddedServer(repository_copy) as server, ThreadPoolExecutor(CLIENTS) as pool:
        own = settled(server)["images_total", ""]  # the server's own, sent to see whether it answers
        working = [pool.submit(ask_on, place) for place in range(CLIENTS)]
        for place in range(1, RELOADS + 1):
            serve_as(repository_copy, files[place % 2])
            load(server, place)
            assert queue_delay_us(server) == (place if load is load_with_config else 0)
            now = asked.copy()
            eventually(
                lambda now=now: (
                    all(a > n + 2 for a, n in zip(asked, now, strict=True)) or any(w.done() for w in working)
                ),
                True,
            )
        stop.set()
        for done in working:
            done.result()
        images_asked = own + 16 * sum(asked)
        eventually(lambda: metrics(server)["images_total", ""], images_asked)
        is_empty(server)
    assert min(seen) > 0


@pytest.mark.parametrize("change", ["load", "unload"])
def test_a_request_that_waits_for_admission_is_answered_by_the_old_cascade(
    repository_copy, images, tiny_cascade, outcome, hard, change
):
    """The old cascade is to end while its `execute()` waits for admission, with more requests behind it."""
    slow_down(repository_copy, "large", 0.2)
    serve_as(repository_copy, tiny_cascade, workers_per_stage=1, max_images_in_flight=16, when_full="wait")
    rows = np.resize(hard, 16)
    with EmbeddedServer(repository_copy) as server, ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(ask, server, "cascade", images[rows], FIELDS) for _ in range(CLIENTS)]
        eventually(lambda: metrics(server)["images_in_flight", ""], 16)
        getattr(server, change)("cascade")
        for answer in asked:
            assert_equal(answer.result(), outcome, rows)
        is_empty(server)
