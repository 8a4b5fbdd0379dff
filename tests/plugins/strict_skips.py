"""A pytest plugin: where skips are strict, a test skipped for a reason that is not listed fails.

Skips are strict with `--strict-skips`, and where `CI` is set, as CI services do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest

LIST = Path(__file__).parents[1] / "allowed_skips.txt"
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips", action="store_true", help=f"Fail a test skipped for a reason not in {LIST.name}."
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _strictly(item.config, (yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _strictly(collector.config, (yield))


def allowed_reasons(text: str) -> list[re.Pattern[str]]:
    """Return the list's patterns: one a line, `#` begins a comment."""
    lines = (line.strip() for line in text.splitlines())
    return [re.compile(line) for line in lines if line and not line.startswith("#")]


def _strictly(config: pytest.Config, report: Report) -> Report:
    """Return the report, failed if it is of a skip that is not allowed. An expected failure counts as skipped, too."""
    strict = config.getoption("strict_skips") or os.environ.get("CI")
    if not strict or not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = (
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
    )
    if not any(pattern.search(reason) for pattern in allowed_reasons(LIST.read_text())):
        report.outcome = "failed"
        report.longrepr = f"skipped, but its reason is not in {LIST.name}: {reason}"
    return report
