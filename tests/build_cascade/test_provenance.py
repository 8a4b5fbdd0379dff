"""Predictions of another export, label set or runtime are not searched."""

from __future__ import annotations

import pytest

from build_cascade.errors import PredictionError
from build_cascade.provenance import Provenance, check_provenance
from build_engines.repository.entry import MADE_FROM
from tests.support.collecting import changed, changed_config
from tests.support.helpers import LABELS


def test_a_note_that_is_no_text_counts_as_none(tmp_path):
    (tmp_path / "small.json").write_bytes(b"\xff")
    assert Provenance.read(tmp_path / "small.json") is None


def test_predictions_of_another_export_or_label_set_are_not_searched(collection, run):
    run(collection)
    onnx = {"small": collection.config.parameters[MADE_FROM].string_value}
    assert check_provenance([collection.folder], onnx, LABELS) == {"small": "python (model.onnx, CPU)"}
    with pytest.raises(PredictionError, match="another export, label set"):
        check_provenance([collection.folder], {"small": "other"}, LABELS)
    with pytest.raises(PredictionError, match="another export, label set"):
        check_provenance([collection.folder], onnx, LABELS[::-1])


def test_predictions_of_two_runtimes_are_not_searched(collection, run, tmp_path):
    run(collection)
    config = changed_config(collection, backend="tensorrt")
    run(changed(collection, config=config, folder=tmp_path / "test"))
    onnx = {"small": config.parameters[MADE_FROM].string_value}
    with pytest.raises(PredictionError, match=r"as python \(model\.onnx, CPU\) and those of test as tensorrt"):
        check_provenance([collection.folder, tmp_path / "test"], onnx, LABELS)
