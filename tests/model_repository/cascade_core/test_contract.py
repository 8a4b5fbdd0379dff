"""The wire, spelled out: clients of other versions and other people's clients rely on it."""

from __future__ import annotations

from cascade_core.contract import (
    CASCADE,
    CASCADE_ENCODED,
    CASCADE_FILE,
    DECODE,
    ENCODED,
    IMAGE,
    MAX_STAGE,
    OPERATING_POINT,
    OUTPUTS,
    PROBABILITIES,
)


def test_names():
    assert (CASCADE, CASCADE_ENCODED, DECODE, CASCADE_FILE) == ("cascade", "cascade_encoded", "decode", "cascade.json")
    assert (OPERATING_POINT, MAX_STAGE) == ("operating_point", "max_stage")


def test_tensors():
    assert IMAGE.config(canvas=64) == {"name": "image", "data_type": "TYPE_UINT8", "dims": [64, 64, 3]}
    assert ENCODED.config() == {"name": "encoded", "data_type": "TYPE_STRING", "dims": [1]}
    assert PROBABILITIES.config(classes=10) == {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]}
    assert [output.config(classes=10, stages=3) for output in OUTPUTS] == [
        {"name": "class_id", "data_type": "TYPE_INT32", "dims": [1]},
        {"name": "confidence", "data_type": "TYPE_FP32", "dims": [1]},
        {"name": "degraded", "data_type": "TYPE_BOOL", "dims": [1]},
        {"name": "exit_stage", "data_type": "TYPE_INT32", "dims": [1]},
        {"name": "label", "data_type": "TYPE_STRING", "dims": [1]},
        {"name": "probabilities", "data_type": "TYPE_FP32", "dims": [10]},
        {"name": "stage_confidence", "data_type": "TYPE_FP32", "dims": [3]},
    ]


def test_an_extent_that_is_not_given_is_variable():
    assert PROBABILITIES.dims() == [-1]
    assert IMAGE.dims() == [-1, -1, 3]
