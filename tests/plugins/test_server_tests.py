"""Which tests are marked `server`, and that no other starts one."""

from __future__ import annotations

TESTS = """
from pathlib import Path
import pytest
from embedded_server import EmbeddedServer

def start(): return EmbeddedServer(Path("repository"))

def start_by_hand(): getattr(__import__("embedded_server"), "Embedded" + "Server")(Path("repository")).__enter__()

@pytest.fixture
def server(): yield start()

@pytest.fixture
def client(server): return None

def test_itself(): EmbeddedServer(Path("repository"))

def test_within(): assert not [EmbeddedServer for _ in ()]

def test_helper(): start()

def test_fixture(client): pass

@pytest.mark.server
def test_process(): pass

def test_without(): pass

def test_hidden(): start_by_hand()
"""


def test_tests_are_marked_by_what_they_name(pytester):
    pytester.makeconftest('pytest_plugins = ["tests.plugins.server_tests"]')
    pytester.makepyfile(TESTS)
    pytester.runpytest_inprocess("-m", "server").assert_outcomes(passed=5, deselected=2)
    result = pytester.runpytest_inprocess("-m", "not server")
    result.assert_outcomes(passed=1, failed=1, deselected=5)
    result.stdout.fnmatch_lines("*test_hidden starts a server: mark it with pytest.mark.server*")
