"""Which tests stay together in one worker."""

from __future__ import annotations

from tests.plugins import workers

SHARED, OWN = '@pytest.fixture(scope="module")\ndef folder(): ...', "@pytest.fixture\ndef folder(): ..."
PORT = 'pytestmark = pytest.mark.xdist_group("ports")'


def test_tests_of_a_modules_fixture_stay_together(pytester):
    pytester.makepyfile(test_shared=SHARED, test_port=PORT, test_own=OWN)
    scheduler = workers.ByFixture(pytester.parseconfig("--tx", "2*popen"))
    assert {scheduler._split_scope(f"test_shared.py::test_{place}") for place in range(3)} == {"test_shared.py"}
    assert scheduler._split_scope("test_port.py::test_1") == "test_port.py"
    assert scheduler._split_scope("test_own.py::test_1[a::b]") == "test_own.py::test_1[a::b]"


def test_there_is_a_worker_more_than_cores_up_to_four(pytester, monkeypatch):
    pytester.makeconftest('pytest_plugins = ["tests.plugins.workers"]')
    pytester.makepyfile("def test(testrun_uid, worker_id): import os; print(os.environ['PYTEST_XDIST_WORKER_COUNT'])")
    for cores, expected in (({0}, "2"), (set(range(64)), "4")):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        assert expected in pytester.runpytest_inprocess("-n", "auto", "-rP").stdout.str().splitlines()
