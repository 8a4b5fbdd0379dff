"""The list of skips that are allowed in CI, held against small test sessions."""

from __future__ import annotations

import pytest

from tests.plugins import strict_skips

TESTS = """
import pytest

def test_passes(): pass

@pytest.mark.skipif(True, reason="there is a GPU")
def test_allowed(): pass

@pytest.mark.skipif(True, reason="no perf_analyzer; make perf-analyzer fetches it")
def test_marked(): pass

def test_imports(): pytest.importorskip("polygraphy_that_is_not_there")

@pytest.fixture
def demo(): pytest.skip("make demo has not been run")

def test_fixture(demo): pass

@pytest.mark.xfail(reason="known")
def test_fails(): assert False
"""
MODULE = 'import pytest; pytest.skip("the whole module", allow_module_level=True)'


@pytest.fixture
def session(pytester, monkeypatch):
    """Run tests in a small session; CI is as little set as may be."""
    monkeypatch.delenv("CI", raising=False)
    pytester.makeconftest('pytest_plugins = ["tests.plugins.strict_skips"]')

    def run(code, *options):
        pytester.makepyfile(code)
        return pytester.runpytest_inprocess("-rfE", *options)

    return run


def assert_strict(result):
    result.assert_outcomes(passed=1, failed=1, errors=2, skipped=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for reason in ("no perf_analyzer; make", "could not import 'polygraphy_that", "make demo has not been run"):
        result.stdout.fnmatch_lines(f"*skipped, but its reason is not in allowed_skips.txt: {reason}*")


def test_elsewhere_skips_are_skips(session):
    result = session(TESTS)
    result.assert_outcomes(passed=1, skipped=4, xfailed=1)
    assert result.ret == pytest.ExitCode.OK


def test_an_option_makes_unlisted_skips_fail(session):
    assert_strict(session(TESTS, "--strict-skips"))


def test_ci_makes_unlisted_skips_fail(session, monkeypatch):
    monkeypatch.setenv("CI", "true")
    assert_strict(session(TESTS))


def test_workers_are_as_strict(session):
    assert_strict(session(TESTS, "--strict-skips", "-n", "2"))


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_module_that_skips_itself_fails(session, workers):
    result = session(MODULE, "--strict-skips", *workers)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stdout.fnmatch_lines("*reason is not in allowed_skips.txt: the whole module*")


def test_the_list_has_comments_and_regular_expressions():
    [one, other] = strict_skips.allowed_reasons("# why\n\n^no \\.\\./shared/\n  ^there is a GPU$  \n")
    assert one.search("no ../shared/imagenet here")
    assert not other.search("there is a GPU, or not")


def test_what_could_not_be_fetched_is_not_on_the_list():
    allowed = strict_skips.allowed_reasons(strict_skips.LIST.read_text())
    for reason in (
        "no perf_analyzer; make perf-analyzer fetches it",
        "no TensorRT bindings 10.13.3.9 here; make bindings fetches them where it can",
        "could not import 'polygraphy': No module named 'polygraphy'",
        "make demo has not been run",
        "no C compiler",
    ):
        assert not any(pattern.search(reason) for pattern in allowed), reason
