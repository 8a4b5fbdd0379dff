"""The GPU and its driver."""

from __future__ import annotations

import subprocess

import pytest

from build_engines.errors import PlanError
from build_engines.plans.device import find_device


def test_no_driver_is_a_message():
    with pytest.raises(PlanError, match=r"no NVIDIA driver here .*make engines"):
        find_device("libno_such_cuda.so.1")


def test_a_driver_without_a_gpu_is_a_message(tmp_path):
    (tmp_path / "cuda.c").write_text("int cuInit(unsigned flags) { return 100; }")
    library = tmp_path / "libcuda.so.1"
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "cuda.c"], check=False).returncode:
        pytest.skip("no C compiler")
    with pytest.raises(PlanError, match="cuInit returned CUDA error 100"):
        find_device(str(library))
