"""The cascade's own metrics: what was asked is what is counted."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from serving import FIELDS, ask, eventually, is_empty, metrics, offline, settled
from tritonclient.utils import InferenceServerException

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
