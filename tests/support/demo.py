"""What of the extra `demo` is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

import pytest


def require_demo(*packages: str) -> None:
    """Skip the test where one of the demo's packages is not installed."""
    for package in packages:
        try:
            distribution(package)
        except PackageNotFoundError:
            pytest.skip("the extra `demo` is not installed")
