"""Versions and sizes, as the doctor's options give them."""

from __future__ import annotations

import pytest

from build_engines.doctor import environment as doctor_environment
from build_engines.errors import PlanError


@pytest.mark.parametrize("name", ["banana", "", "10.", "v10", "10.13-1"])
def test_what_is_no_version(name):
    with pytest.raises(PlanError, match=r"invalid TensorRT version '.*': expected 10\.13 or 10\.13\.3\.9"):
        doctor_environment.find_environment(name)


@pytest.mark.parametrize(("text", "size"), [("1g", 1 << 30), ("512M", 512 << 20), ("64kb", 65536), ("100", 100)])
def test_sizes_are_read_as_docker_writes_them(text, size):
    assert doctor_environment.size_bytes(text) == size
