"""A pytest plugin for tests in parallel: how many workers there are, and which tests stay together in one."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

MOST_WORKERS = 4  # of one and a half gigabytes
SHARED = ('scope="module"', "xdist_group")  # what a file says whose tests share something, such as a port


def pytest_configure() -> None:
    """Take back the 80 columns that pytest-xdist sets: rich, once imported under them, ignores what a test asks for."""
    os.environ.pop("COLUMNS", None)


def pytest_xdist_auto_num_workers() -> int:
    """Return one more than there are cores: tests of servers wait more than they compute."""
    return min(len(os.sched_getaffinity(0)) + 1, MOST_WORKERS)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling | None:
    """Return ours, unless the command line chooses one with --dist."""
    return ByFixture(config, log) if config.getoption("dist") == "load" else None


class ByFixture(LoadScopeScheduling):
    """A scheduler of single tests, but for those of a file with fixtures of the whole module, which stay together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if self._shares(file) else nodeid

    @functools.cache  # noqa: B019 (a session has one scheduler)
    def _shares(self, file: str) -> bool:
        text = Path(self.config.rootpath, file).read_text()
        return any(mark in text for mark in SHARED)
