"""Which tests stay together in one worker."""

from __future__ import annotations

import re

TESTS = """
import os
import pytest

@pytest.fixture({scope})
def folder(): pass

@pytest.mark.parametrize("place", range(8))
def test_worker(folder, place):
    print("ran in", os.environ["PYTEST_XDIST_WORKER"], "of {name}")
"""


def workers(output, name):
    return len(set(re.findall(rf"ran in (\w+) of {name}", output)))


def test_tests_of_a_modules_fixture_stay_together(pytester):
    pytester.makeconftest('pytest_plugins = ["tests.plugins.workers"]')
    for name, scope in (("shared", 'scope="module"'), ("own", "")):
        pytester.makepyfile(**{f"test_{name}": TESTS.format(scope=scope, name=name)})
    result = pytester.runpytest_inprocess("-n", "2", "-rP")
    result.assert_outcomes(passed=16)
    assert workers(result.stdout.str(), "shared") == 1
    assert workers(result.stdout.str(), "own") == 2


def test_there_is_a_worker_more_than_cores_up_to_four(pytester, monkeypatch):
    pytester.makeconftest('pytest_plugins = ["tests.plugins.workers"]')
    pytester.makepyfile("def test(testrun_uid, worker_id): import os; print(os.environ['PYTEST_XDIST_WORKER_COUNT'])")
    for cores, expected in (({0}, "2"), (set(range(64)), "4")):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        assert expected in pytester.runpytest_inprocess("-n", "auto", "-rP").stdout.str().splitlines()
