from __future__ import annotations

import json

import numpy as np
import pytest

from build_cascade.committee import Candidate, Committee, answers, right_answers, stage_statistics
from build_cascade.errors import PredictionError
from build_cascade.evaluation import evaluate, outcome_of
from build_cascade.exhaustive.frontier import exit_places
from build_cascade.frontier_search import search_frontier
from build_cascade.imported import import_pool, read_imported, read_npy_pairs, read_npz_folder, write_imported
from build_cascade.topk import TopK, TopKPredictions
from build_engines.costs.costs import Costs

COSTS = Costs({"a": 1.0, "b": 3.0})
CLASSES, IMAGES = 9, 80


def sparse(seed=0, k=3):
    generator = np.random.default_rng(seed)
    pairs = {}
    for name in COSTS:
        ids = np.argsort(generator.random((IMAGES, CLASSES)), axis=1)[:, :k].astype(np.int32)
        raw = np.sort(generator.random((IMAGES, k)), axis=1)[:, ::-1]
        pairs[name] = (ids, (raw / raw.sum(axis=1, keepdims=True) * 0.9).astype(np.float16))
    return TopKPredictions(generator.integers(0, CLASSES, IMAGES), TopK(pairs, CLASSES))


def test_what_is_found_on_top_k_is_what_the_gate_replays_on_dense_predictions():
    predictions = sparse()
    for candidate in search_frontier(predictions, COSTS):
        seen = evaluate(predictions, COSTS, candidate.committee, candidate.thresholds)
        assert (seen.correct, seen.mean_cost) == (candidate.correct, pytest.approx(candidate.mean_cost))
        assert right_answers(predictions, candidate).sum() == seen.correct


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


def test_right_answers_do_not_depend_on_unreached_stages():
    predictions = sparse()
    alone = Candidate(Committee.of(["a"]), (), 0, 1.0)
    never_on = Candidate(Committee.of(["a", "b"]), (0.0,), 0, 1.0)
    np.testing.assert_array_equal(right_answers(predictions, alone), right_answers(predictions, never_on))


def test_an_image_exactly_on_the_threshold_exits_here_as_in_the_gate():
    predictions, committee = sparse(), Committee.of(["a", "b"])
    for image in range(5):
        threshold = float(predictions.probabilities["a"][image].max())
        seen = evaluate(predictions, COSTS, committee, [threshold])
        at_it = Candidate(committee, (threshold,), seen.correct, seen.mean_cost)
        outcome = outcome_of(predictions, committee, [threshold])
        np.testing.assert_array_equal(answers(predictions, at_it), outcome.class_id)
        left = exit_places(stage_statistics(predictions, committee), [threshold])
        np.testing.assert_array_equal(left + 1, outcome.exit_stage)
        assert left[image] == 0
