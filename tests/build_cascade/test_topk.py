from __future__ import annotations

import numpy as np
import pytest

from build_cascade.committee import right_answers
from build_cascade.errors import PredictionError
from build_cascade.evaluation import evaluate
from build_cascade.frontier_search import search_frontier
from build_cascade.topk import TopK, TopKPredictions
from tests.support.topk import CLASSES, COSTS, sparse


def test_what_is_found_on_top_k_is_what_the_gate_replays_on_dense_predictions():
    predictions = sparse()
    for candidate in search_frontier(predictions, COSTS):
        seen = evaluate(predictions, COSTS, candidate.committee, candidate.thresholds)
        assert (seen.correct, seen.mean_cost) == (candidate.correct, pytest.approx(candidate.mean_cost))
        assert right_answers(predictions, candidate).sum() == seen.correct


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda ids, p: (ids, np.minimum(p * np.float16(2), np.float16(1))), "more than one"),
        (lambda ids, p: (np.where(ids == ids[:, :1], ids, ids[:, :1]), p), "twice"),
        (lambda ids, p: (ids, np.where(p > 0, np.float16(np.nan), p)), "NaN"),
        (lambda ids, p: (ids + CLASSES, p), "beyond"),
    ],
)
def test_top_k_that_is_no_prediction_is_refused(spoil, says):
    predictions = sparse()
    pairs = {name: spoil(*pair) for name, pair in predictions.probabilities.pairs.items()}
    with pytest.raises(PredictionError, match=says):
        TopKPredictions(predictions.class_ids, TopK(pairs, CLASSES))


def test_a_split_takes_every_image_once():
    left, right = sparse().split(0.25, seed=3)
    assert (len(left.class_ids), len(right.class_ids)) == (20, 60)
