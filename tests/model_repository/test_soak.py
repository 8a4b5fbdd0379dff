"""Mixed load for a while: no crash, no wrong, lost or doubled answer, and memory that stays where it is."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from embedded_server import EmbeddedServer
from tests.support.helpers import LABELS
from tests.support.processes import resident_bytes, server_processes, shared_bytes
from tests.support.serving import call, eventually, is_empty, metrics, offline, serve_as

CLIENTS = 16
OUTPUTS = ("class_id", "confidence", "degraded", "exit_stage", "label", "probabilities", "stage_confidence")
ALL_OUTPUTS = (*OUTPUTS, "description")  # what a client gets that names none
POINTS = (None, "fast", "accurate")
LAST_STAGES = (None, 1, 2, 3)
BAD = ({"operating_point": "turbo"}, {"max_stage": 0}, {"max_stage": "two"}, {"operating_point": 1})
WARM_SHARE = 0.4
FLAT_BYTES = 24 << 20


class Client:
    """One client that behaves well mostly; `seen` counts what it did and what came of it."""

    def __init__(self, url, images, expected, seed):
        self.url, self.images, self.expected = url, images, expected
        self.random = np.random.default_rng(seed)
        self.seen = Counter()
        self.triton = triton.InferenceServerClient(url)

    def run(self, until_s):
        ways = {self.ask: 0.95, self.ask_badly: 0.01}
        ways |= dict.fromkeys((self.be_impatient, self.set_a_timeout, self.cancel, self.disconnect), 0.01)
        while time.monotonic() < until_s:
            way = list(ways)[self.random.choice(len(ways), p=list(ways.values()))]
            self.seen[way.__name__] += 1
            way()
        self.triton.close()
        return self.seen

    def ask(self, **options):
        rows = self.random.integers(0, len(self.images), self.random.integers(1, 9))
        point, last = POINTS[self.random.integers(3)], LAST_STAGES[self.random.integers(4)]
        outputs = self.random.permutation(OUTPUTS)[: self.random.integers(0, len(OUTPUTS) + 1)].tolist()
        given = {"operating_point": point, "max_stage": last}
        given = {name: value for name, value in given.items() if value is not None}
        served = call(self.triton, self.images[rows], outputs, **given, **options)
        self.check(served, self.expected[point, last], rows, outputs)

    def check(self, served, outcome, rows, outputs):
        assert set(served) == set(outputs or ALL_OUTPUTS)
        known = {
            name: getattr(outcome, name)[rows]
            for name in OUTPUTS
            if name not in ("degraded", "label") and name in served
        }
        known |= {"label": np.array([LABELS[i].encode() for i in outcome.class_id[rows]], object)}
        known |= {"degraded": np.zeros(len(rows), bool), "description": np.full(len(rows), b"", object)}
        for name, values in served.items():
            np.testing.assert_array_equal(values.reshape(known[name].shape), known[name], err_msg=name)

    def ask_badly(self):
        with pytest.raises(InferenceServerException) as raised:
            call(self.triton, self.images[:2], ["label"], **BAD[self.random.integers(len(BAD))])
        assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"

    def be_impatient(self):
        self.may_fail("StatusCode.DEADLINE_EXCEEDED", client_timeout=self.random.uniform(0.001, 0.05))

    def set_a_timeout(self):
        self.may_fail("StatusCode.UNAVAILABLE", timeout=int(self.random.integers(1, 50_000)))

    def may_fail(self, status, **options):
        try:
            self.ask(**options)
        except InferenceServerException as error:
            assert error.status() == status, error
            self.seen[status] += 1

    def cancel(self):
        asked, answers = self.ask_aside()
        time.sleep(self.random.uniform(0, 0.02))
        asked.cancel()
        eventually(lambda: len(answers), 1)
        self.seen["answered before cancelled"] += answers[0] is None

    def disconnect(self):
        self.ask_aside()
        time.sleep(self.random.uniform(0, 0.02))
        self.triton.close()
        self.triton = triton.InferenceServerClient(self.url)

    def ask_aside(self):
        tensor = triton.InferInput("image", [8, *self.images.shape[1:]], "UINT8")
        tensor.set_data_from_numpy(self.images[:8])
        answers = []
        return self.triton.async_infer("cascade", [tensor], lambda result, error: answers.append(error)), answers


def soak(server, processes, images, tiny_cascade, predictions, seconds):
    expected = {key: offline(tiny_cascade, predictions, *key) for key in itertools.product(POINTS, LAST_STAGES)}
    until_s = time.monotonic() + seconds
    samples = []

    def watch():
        while time.monotonic() < until_s:
            samples.append((resident_bytes(processes), shared_bytes(processes)))
            time.sleep(seconds / 200)

    watching = threading.Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [Client(server.addresses.grpc, images, expected, seed) for seed in range(CLIENTS)]
        seen = sum(pool.map(lambda client: client.run(until_s), clients), Counter())
    watching.join()
    return seen, np.array(samples)


@pytest.mark.parametrize("reach", ["bls", "in_process"])
@pytest.mark.parametrize("seconds", [10, pytest.param(600, marks=pytest.mark.soak)])
def test_mixed_load(repository_copy, images, tiny_cascade, predictions, seconds, reach):
    serve_as(repository_copy, tiny_cascade, reach=reach)
    others = server_processes(os.getpid())
    with EmbeddedServer(repository_copy) as server:
        processes = server_processes(os.getpid()) - others
        seen, samples = soak(server, processes, images, tiny_cascade, predictions, seconds)
        assert server_processes(os.getpid()) - others == processes
        is_empty(server)
        eventually(lambda: imbalance(server), 0)
    warm, end = samples[int(len(samples) * WARM_SHARE)], samples[-10:].min(axis=0)
    print(dict(seen), "resident, shared bytes:", warm, end)  # noqa: T201
    assert seen["ask"] > 10 * CLIENTS
    assert all(seen[way] for way in ("ask_badly", "be_impatient", "set_a_timeout", "cancel", "disconnect"))
    assert (end - warm < FLAT_BYTES).all()


def imbalance(server):
    counts = metrics(server)
    came = counts["images_total", ""]
    gone = sum(value for (name, _), value in counts.items() if name in ("exits_total", "failed_images_total"))
    return came - gone
