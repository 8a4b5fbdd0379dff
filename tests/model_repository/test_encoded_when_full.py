"""Encoded images while the cascade or a queue is full: an ensemble answers every request, and serves afterwards."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from cascade_client import CascadeClient, ServerUnavailable
from embedded_server import EmbeddedServer
from tests.support.serving import change_stage, is_empty, serve_as, slow_down

QUEUE_OF_ONE = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }"
CLIENTS = 16
CALLS = 4
CASES = {
    "the cascade refuses": ("refuse", [], "the cascade is full"),
    "the cascade waits, its queue is full": ("wait", ["cascade"], "Exceeds maximum queue size"),
    "the queue before decode is full": ("wait", ["decode"], "Exceeds maximum queue size"),
    "both queues are full, and the cascade": ("refuse", ["cascade", "decode"], "full|Exceeds maximum queue size"),
    "the cascade waits, its queue is endless": ("wait", [], None),
}


def encode(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def bound_queue(repository, model):
    config = repository / model / "config.pbtxt"
    text, batching = config.read_text(), "dynamic_batching {\n}"
    config.write_text(text.replace(batching, QUEUE_OF_ONE) if batching in text else f"{text}\n{QUEUE_OF_ONE}\n")


@pytest.mark.parametrize("case", CASES)
def test_every_request_is_answered(repository_copy, images, tiny_cascade, outcome, hard, case):
    when_full, bounded, refusal = CASES[case]
    for model in bounded:
        bound_queue(repository_copy, model)
    if "decode" in bounded:  # or a slow machine's clients never fill its queue
        pause = "started = [(request.get_response_sender(), self._start(request))"
        change_stage(repository_copy, "decode", pause, f"__import__('time').sleep(0.05); {pause}")
    slow_down(repository_copy, "large", 0.02)
    serve_as(repository_copy, tiny_cascade, workers_per_stage=1, max_images_in_flight=16, when_full=when_full)
    rows = np.resize(hard, 12)
    sent = [encode(image) for image in images[rows]]

    def ask(_):
        """Return what came of some requests, None for an answer."""
        refusals = []
        with CascadeClient(server.addresses.grpc, timeout_s=30) as client:
            for _ in range(CALLS):
                try:
                    check(client.classify(sent, encoded=True))
                    refusals.append(None)
                except ServerUnavailable as error:
                    refusals.append(str(error))
        return refusals

    def check(answers):
        assert [answer.class_id for answer in answers] == outcome.class_id[rows].tolist()
        assert [answer.exit_stage for answer in answers] == outcome.exit_stage[rows].tolist()

    with EmbeddedServer(repository_copy) as server:
        with ThreadPoolExecutor(CLIENTS) as pool:
            seen = [came for client in pool.map(ask, range(CLIENTS)) for came in client]
        assert None in seen
        refusals = [came for came in seen if came]
        assert bool(refusals) == (refusal is not None)
        assert all(re.search(refusal, came) for came in refusals)
        with CascadeClient(server.addresses.grpc) as client:
            check(client.classify(sent, encoded=True))
        is_empty(server)
