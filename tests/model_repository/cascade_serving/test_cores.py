"""How many cores the cascade counts on: a container's CPU limit shows in no affinity mask."""

from __future__ import annotations

import os

import pytest

from cascade_serving.cores import usable_cores

FORMS = [
    ({"cpu.max": "100000 100000\n"}, 1),
    ({"cpu.max": "50000 100000\n"}, 1),  # half a core is still one thread
    ({"cpu.max": "max 100000\n"}, None),
    ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ({"cpu.max": "something else\n"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("files", "limit"), FORMS)
def test_a_limit_counts_in_both_of_its_forms(tmp_path, files, limit, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == (limit or 4)


def test_the_mask_counts_where_it_is_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7})
    (tmp_path / "cpu.max").write_text("800000 100000")
    assert usable_cores(tmp_path) == 1
