"""Lines of Triton's log that the doctor knows, as TensorRT, CUDA and Triton write them."""

from __future__ import annotations

import pytest

from build_engines.doctor.log import inspect_log


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            "E [TRT] Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed. Version tag does not "
            "match. Note: Current Version: 236, Serialized Engine Version: 239",
            "other TensorRT",
        ),
        (
            "The engine plan file is not compatible with this version of TensorRT, expecting library version 10.13.3 "
            "got 10.9.0, please rebuild",
            "other TensorRT",
        ),
        (
            "The engine plan file is generated on an incompatible device, expecting compute 7.5 got compute 8.6, "
            "please rebuild",
            "other GPU",
        ),
        ("Cannot deserialize engine with lean runtime", "version-compatible plan"),
        ("CUDA initialization failure with error: 35", "no GPU"),
        (
            "unable to set memory for input 'image' of a_0: operation would make the legacy stream depend on a "
            "capturing blocking stream",
            "plans loaded in parallel",
        ),
        ("unable to capture: operation not permitted when stream is capturing", "plans loaded in parallel"),
        ("operation failed due to a previous error during capture", "plans loaded in parallel"),
        (
            "Internal: Unable to initialize shared memory key 'triton_python_backend_shm_region_3' to requested size "
            "(67108864 bytes). If you are running Triton inside docker, use '--shm-size' flag to control the shared "
            "memory region size. Error: No space left on device",
            "shared memory too small",
        ),
        (
            "Failed to increase the shared memory pool size for key 'triton_python_backend_shm_region_6' to 67108864 "
            "bytes.",
            "shared memory too small",
        ),
        ("Internal: unable to load plan file to auto complete config: /r/a/1/model.plan", "plan not loaded"),
        ("Internal: unable to create TensorRT engine: why", "plan not loaded"),
    ],
)
def test_known_lines_of_a_log(line, what):
    (finding,) = inspect_log(["I0101 starting\n", line + "\n", "again: " + line + "\n"])
    assert finding.subject == f"log: {what}"
    assert finding.advice


def test_a_quiet_log():
    assert [finding.is_ok for finding in inspect_log(["I0101 started", "W0101 no GPU metrics"])] == [True]
