"""When measuring ends, and which images are sent."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.interval_coverage import coverage, simulated
from build_engines.costs import throughput
from build_engines.costs.throughput import Conditions, Load, Route, Throughput


@pytest.fixture
def rounds(monkeypatch):
    """Rounds of given rates by route, on a clock that each moves by a second."""

    def of(rates):
        clock, taken = [0.0], {name: iter(values) for name, values in rates.items()}

        def run(clients, route):
            clock[0] += 1
            return next(taken[route.models[0]])

        monkeypatch.setattr(throughput, "_round", run)
        monkeypatch.setattr(throughput.time, "monotonic", lambda: clock[0])
        return {name: Route((name,), "somehow") for name in rates}

    return of


def measured(routes, **changes):
    return throughput.measure("127.0.0.1:1", routes, np.zeros((8, 2, 2, 3), np.uint8), **changes)


def test_steady_rates_take_the_fewest_rounds(rounds):
    found = measured(rounds({"a": [100, 101, 100, 101, 100, 5], "b": [*[7] * 5, 5]}))
    assert {name: (row.rounds, row.is_narrow) for name, row in found.items()} == {"a": (5, True), "b": (5, True)}
    assert found["a"].images_per_s == pytest.approx(502 / 5)
    assert found["a"].interval[0] < 100 < found["a"].interval[1]
    assert found["a"].served == "somehow"


def test_one_wide_interval_lets_all_go_on(rounds):
    found = measured(rounds({"a": [100, 50, *[100] * 50], "b": [7] * 50}), limit_s=1000)
    assert found["a"].rounds == found["b"].rounds > 5
    assert found["a"].is_narrow


def test_no_round_starts_after_the_limit(rounds):
    found = measured(rounds({"a": [100, 50] * 20}), limit_s=5)
    assert found["a"].rounds == 6
    assert not found["a"].is_narrow
    assert measured(rounds({"a": [100, 50]}), limit_s=0)["a"].rounds == 2


def test_every_client_sends_all_images_beginning_elsewhere():
    canvases = np.arange(10, dtype=np.uint8)[:, None, None, None]
    clients = throughput._batches(canvases, Load(clients=2, batch_images=4))
    sent = [[tuple(batch.ravel()) for batch in batches] for batches in clients]
    assert set(np.ravel(sent[0])) == set(range(10))
    assert sorted(sent[0]) == sorted(sent[1])
    assert sent[0][0] != sent[1][0]
    assert sent[0][0] != (0, 1, 2, 3)


def test_a_client_goes_on_where_it_stopped(monkeypatch):
    sent = []

    class Recorder:
        def __init__(self, url, model): ...

        def infer(self, batch, output):
            sent.append(int(batch.ravel()[0]))

        def close(self): ...

    monkeypatch.setattr(throughput, "ServedModel", Recorder)
    monkeypatch.setattr(throughput, "ROUND_S", 0)
    batches = [np.full((1, 1, 1, 3), number, np.uint8) for number in range(7)]
    client = throughput._Client("127.0.0.1:1", batches)
    assert [client.run(Route(("a",), "somehow")) for _ in range(2)] == [throughput.LEAST_REQUESTS] * 2
    assert sent == [0, 1, 2, 3, 4, 5, 6, 0]


def test_the_conditions_say_whether_the_machine_was_busy():
    idle, busy = (Conditions(load_average=load, cores=2, date="2026-11-27") for load in (0.9, 1.1))
    assert (idle.is_busy, busy.is_busy) == (False, True)
    assert busy.in_words == "load average 1.1 before it on 2 cores, 2026-11-27"


def test_an_interval_is_students():
    row = Throughput.of([9, 10, 11], "")
    assert row.interval == pytest.approx((10 - 2.4841, 10 + 2.4841), abs=1e-3)


@pytest.mark.parametrize("spread", [0.05, 0.08])
def test_an_interval_that_ends_the_rounds_covers_about_as_often_as_it_says(spread):
    assert coverage(simulated(spread, measurements=500)) > 0.94
