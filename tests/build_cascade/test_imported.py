"""Predictions made elsewhere are read in both public forms, and become a pool."""

from __future__ import annotations

import json

import numpy as np
import pytest

from build_cascade.errors import PredictionError
from build_cascade.imported import import_pool, read_imported, read_npy_pairs, read_npz_folder, write_imported
from tests.support.topk import COSTS, sparse


def test_an_imported_set_is_read_as_it_was_written(tmp_path):
    predictions = sparse()
    write_imported(tmp_path, predictions, COSTS)
    read, costs = read_imported(tmp_path, ["a", "b"])
    assert dict(costs) == dict(COSTS)
    np.testing.assert_array_equal(read.probabilities["b"], predictions.probabilities["b"])
    (tmp_path / "b.npz").write_bytes(b"cut short")
    with pytest.raises(PredictionError, match="import-topk again"):
        read_imported(tmp_path, ["a", "b"])


def test_both_public_forms_are_read(tmp_path):
    predictions = sparse()
    for name, (ids, probabilities) in predictions.probabilities.pairs.items():
        np.save(tmp_path / f"{name}_top5preds.npy", ids)
        np.save(tmp_path / f"{name}_top5probs.npy", probabilities)
        np.savez(tmp_path / f"{name}.npz", ids=ids, probs=probabilities)
    np.save(tmp_path / "labels.npy", predictions.class_ids)
    np.savez(tmp_path / "labels.npz", labels=predictions.class_ids)
    (tmp_path / "costs.json").write_text(json.dumps(dict(COSTS)))
    (tmp_path / "models.json").write_text(json.dumps({name: {"gmacs": cost} for name, cost in COSTS.items()}))
    from_pairs, costs = read_npy_pairs(tmp_path, tmp_path / "labels.npy", tmp_path / "costs.json")
    from_npz, _ = read_npz_folder(tmp_path)
    assert dict(costs) == dict(COSTS)
    for read in (from_pairs, from_npz):
        np.testing.assert_array_equal(read.probabilities["a"], predictions.probabilities["a"])
    with pytest.raises(PredictionError, match=r"models\.json"):
        read_npz_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", ".x", "x\n"])
def test_imported_predictions_take_a_plain_name(tmp_path, name):
    with pytest.raises(PredictionError, match="invalid --name"):
        import_pool(name, sparse(), COSTS, tmp_path / "build")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["onnx", "predictions"])
def test_imported_predictions_do_not_hide_what_was_built_of_a_pool(tmp_path, part):
    for _ in range(2):  # again under the same name
        assert import_pool("mine", sparse(), COSTS, tmp_path).is_file()
    (tmp_path / "digits" / part).mkdir(parents=True)
    with pytest.raises(PredictionError, match=r"digits holds files built.*another --name"):
        import_pool("digits", sparse(), COSTS, tmp_path)
    assert [path.name for path in (tmp_path / "digits").iterdir()] == [part]
