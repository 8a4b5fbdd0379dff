"""The cascade's own metrics: what was asked is what is counted."""

from __future__ import annotations

import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from embedded_server import EmbeddedServer
from tests.support.serving import FIELDS, ask, assert_equal, eventually, is_empty, metrics, offline, settled

STAGES = ("small", "medium", "large")
PARAMETERS = [{}, {"operating_point": "fast"}, {"max_stage": 1}, {"operating_point": "accurate", "max_stage": 2}]


def test_the_counts_add_up(server, images, tiny_cascade, predictions):
    """Every number is known from the offline replay, but for the batch sizes."""
    generator = np.random.default_rng(3)
    asked = [
        (generator.integers(0, len(images), 1 + place % 16), PARAMETERS[place % len(PARAMETERS)])
        for place in range(150)
    ]
    before = settled(server)

    def client(rows, parameters):
        ask(server, "cascade", images[rows], FIELDS, **parameters)
        with contextlib.suppress(InferenceServerException):
            ask(server, "cascade", images[rows[:2]], FIELDS, operating_point="turbo")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(client, *zip(*asked, strict=True)))

    exits = np.concatenate(
        [offline(tiny_cascade, [p[rows] for p in predictions], **given).exit_stage for rows, given in asked]
    )
    bad = sum(min(len(rows), 2) for rows, _ in asked)
    expected = {("images_total", ""): len(exits) + bad, ("failed_images_total", "bad_request"): bad}
    for place, stage in enumerate(STAGES, start=1):
        here = int((exits == place).sum())
        expected["exits_total", stage] = expected["image_seconds_count", stage] = here
        expected["stage_batch_images_sum", stage] = int((exits >= place).sum())
        expected["escalations_total", stage] = int((exits > place).sum())

    def counted():
        now = metrics(server)
        return {key: now.get(key, 0) - before.get(key, 0) for key in expected}

    eventually(counted, expected)
    is_empty(server)
    calls = {stage: metrics(server)["stage_batch_images_count", stage] for stage in STAGES}
    assert all(calls[stage] * 8 >= metrics(server)["stage_batch_images_sum", stage] for stage in STAGES)


def test_every_series_of_a_stage_is_there_before_the_first_image(server):
    shown = metrics(server)
    for name in ("exits_total", "escalations_total", "waiting_images", "stage_batch_images_count", "image_seconds_sum"):
        assert {stage for seen, stage in shown if seen == name} == set(STAGES)


class WithoutMetrics(EmbeddedServer):
    """A server started with --allow-metrics=false."""

    def _config(self, repository):
        return dataclasses.replace(super()._config(repository), allow_metrics=False)


def test_a_server_whose_metrics_are_off_serves(repository_copy, images, outcome):
    with WithoutMetrics(repository_copy) as server:
        for _ in range(4):
            assert_equal(ask(server, "cascade", images[:16], FIELDS), outcome, slice(16))
        with pytest.raises(OSError, match="refused"):
            metrics(server)


@pytest.mark.parametrize("call", ["MetricFamily(", "increment(", "observe("])
def test_a_server_that_has_no_metrics_serves(repository_copy, tmp_path, images, outcome, call):
    """Triton can be built without: every call of them then fails."""
    code = repository_copy / "cascade" / "1" / "cascade_serving" / "metrics.py"
    assert f".{call}" in code.read_text()
    code.write_text(code.read_text().replace(f".{call}", f".is_not_built_in_{call}"))
    log = tmp_path / "triton.log"
    with EmbeddedServer(repository_copy, log_file=log) as server:
        for _ in range(4):
            assert_equal(ask(server, "cascade", images[:16], FIELDS), outcome, slice(16))
        eventually(lambda: log.read_text().count("cascade: metrics are disabled"), 1)
        server.load("cascade")
        assert_equal(ask(server, "cascade", images[:16], FIELDS), outcome, slice(16))
