"""Predictions that do not belong together are refused."""

from __future__ import annotations

import numpy as np
import pytest

from build_cascade.predictions import PredictionError, Predictions

GOOD = np.full((4, 2), 0.5, np.float16)


@pytest.mark.parametrize(
    ("class_ids", "arrays", "says"),
    [
        ([0, 1, 0], {"a": GOOD}, "4 predictions but 3 labels"),
        ([0, 1, 0, 2], {"a": GOOD}, "labels must lie between 0 and 1"),
        ([0, 1, 0, -2], {"a": GOOD}, "labels must lie between 0 and 1"),
        ([0, 1, 0, 1], {"a": GOOD, "b": GOOD[:3]}, "different shapes"),
        ([0, 1, 0, 1], {"a": GOOD * 0.8}, "row 0 sums to 0.7998"),
        ([0, 1, 0, 1], {"a": np.where([[0], [0], [1], [0]], np.nan, GOOD).astype(np.float16)}, "row 2"),
        ([0, 1, 0, 1], {"a": np.array([[1.5, -0.5]] * 4, np.float16)}, "not probabilities"),
    ],
)
def test_predictions_that_do_not_belong_together_are_refused(class_ids, arrays, says):
    with pytest.raises(PredictionError, match=says):
        Predictions(np.array(class_ids), arrays)
