from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_core.gating import (
    COMBINES,
    CONFIDENCES,
    EPSILON,
    GateState,
    GatingRule,
    accumulate,
    margin,
    mean_prediction,
    replay,
    stop_at,
)


def predictions(count: int, classes: int, stages: int, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(stages, count, classes)) * 3
    exponents = np.exp(logits - logits.max(axis=2, keepdims=True))
    return list((exponents / exponents.sum(axis=2, keepdims=True)).astype(np.float32))


def by_hand(rule: GatingRule, thresholds: list[float], rows: list[np.ndarray]) -> tuple[int, int]:
    """The rule for one image, as the paper words it: returns the class and the stage."""
    total = np.zeros(rows[0].shape, np.float32)
    for stage, (row, weight) in enumerate(zip(rows, rule.weights, strict=True), start=1):
        total = total + row.astype(np.float16).astype(np.float32) * np.float32(weight)
        mean = total / np.float32(sum(rule.weights[:stage]))
        ordered = np.sort(mean)
        confidence = ordered[-1] if rule.confidence == "max_probability" else ordered[-1] - ordered[-2]
        if stage == len(rows) or confidence >= np.float32(thresholds[stage - 1]):
            return int(np.argmax(mean)), stage
    raise AssertionError("the last stage answers every image")


@given(
    seed=st.integers(0, 10_000),
    stages=st.integers(1, 4),
    classes=st.integers(2, 12),
    confidence=st.sampled_from(["max_probability", "margin"]),
    thresholds=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    weights=st.lists(st.sampled_from([0.5, 1.0, 1.5, 3.0]), min_size=4, max_size=4),
    on_the_threshold=st.booleans(),
)
def test_replay_is_the_rule_image_by_image(seed, stages, classes, confidence, thresholds, weights, on_the_threshold):
    rule, chosen = GatingRule(tuple(weights[:stages]), confidence), thresholds[: stages - 1]
    given_predictions = predictions(20, classes, stages, seed)
    if on_the_threshold:  # an image's own confidence: it must exit
        chosen = replay(rule, [1.0] * (stages - 1), given_predictions).stage_confidence[0, : stages - 1].tolist()
        chosen = [1.0 if np.isnan(threshold) else threshold for threshold in chosen]
    outcome = replay(rule, chosen, given_predictions)
    expected = [by_hand(rule, chosen, [p[row] for p in given_predictions]) for row in range(20)]
    assert list(zip(outcome.class_id, outcome.exit_stage, strict=True)) == expected


def combined_by_hand(rows: list[np.ndarray], weights: tuple[float, ...], combine: str) -> np.ndarray:
    exact = [row.astype(np.float16).astype(np.float64) for row in rows]
    if combine == "last":
        return exact[-1]
    if combine == "mean":
        return np.average(exact, axis=0, weights=weights[: len(rows)])
    product = np.prod([np.maximum(p, EPSILON) ** w for p, w in zip(exact, weights, strict=False)], axis=0)
    root = product ** (1 / sum(weights[: len(rows)]))
    return root / root.sum(axis=1, keepdims=True)


@given(seed=st.integers(0, 10_000), combine=st.sampled_from(COMBINES), confidence=st.sampled_from(sorted(CONFIDENCES)))
def test_every_combination_is_what_its_name_says(seed, combine, confidence):
    rule = GatingRule((1.0, 2.0, 0.5), confidence, combine)
    rows = predictions(10, 5, 3, seed)
    outcome = replay(rule, [2.0, 2.0], rows)
    for stage in range(1, 4):
        mean = combined_by_hand(rows[:stage], rule.weights, combine)
        top_two = np.sort(mean, axis=1)[:, -2:]
        expected = {
            "max_probability": top_two[:, 1],
            "margin": top_two[:, 1] - top_two[:, 0],
            "entropy": 1 + (mean * np.log(np.maximum(mean, 1e-30))).sum(axis=1) / np.log(5),
        }[confidence]
        np.testing.assert_allclose(outcome.stage_confidence[:, stage - 1], expected, atol=2e-6)
    np.testing.assert_allclose(outcome.probabilities, mean, atol=2e-6)


@given(
    seed=st.integers(0, 10_000),
    cut=st.integers(1, 29),
    confidence=st.sampled_from(sorted(CONFIDENCES)),
    combine=st.sampled_from(COMBINES),
)
def test_batching_never_changes_an_answer(seed, cut, confidence, combine):
    rule, thresholds = GatingRule((1.0, 2.0, 1.5), confidence, combine), (0.7, 0.5)
    whole = predictions(30, 6, 3, seed)
    together = replay(rule, thresholds, whole)
    parts = [replay(rule, thresholds, [p[part] for p in whole]) for part in (slice(cut), slice(cut, None))]
    for field in ("class_id", "confidence", "exit_stage", "probabilities", "stage_confidence"):
        apart = np.concatenate([getattr(part, field) for part in parts])
        np.testing.assert_array_equal(getattr(together, field), apart)


def test_an_image_exits_at_exactly_its_threshold():
    row = np.array([[0.75, 0.25]], np.float32)
    assert replay(GatingRule((1.0, 1.0)), (0.75,), [row, row]).exit_stage == [1]
    assert replay(GatingRule((1.0, 1.0)), (0.7501,), [row, row]).exit_stage == [2]


def test_the_answer_is_the_weighted_mean_not_the_last_prediction():
    first, second = np.array([[0.75, 0.25]], np.float32), np.array([[0.375, 0.625]], np.float32)
    outcome = replay(GatingRule((1.0, 1.0)), (0.9,), [first, second])
    assert outcome.class_id == [0]
    np.testing.assert_array_equal(outcome.probabilities, [[0.5625, 0.4375]])
    assert replay(GatingRule((1.0, 3.0)), (0.9,), [first, second]).class_id == [1]


def test_stage_confidence_is_nan_where_a_stage_did_not_run():
    easy_then_hard = np.array([[1.0, 0.0], [0.5, 0.5]], np.float32)
    outcome = replay(GatingRule((1.0, 1.0)), (0.9,), [easy_then_hard, easy_then_hard])
    np.testing.assert_array_equal(np.isnan(outcome.stage_confidence), [[False, True], [False, False]])


@pytest.mark.parametrize("last_stage", [1, 2, 3])
def test_no_image_goes_beyond_the_last_stage_asked_for(last_stage):
    given_predictions = predictions(50, 4, 3, 0)
    outcome = replay(GatingRule((1.0, 1.0, 1.0)), (0.99, 0.99), given_predictions, last_stage)
    assert outcome.exit_stage.max() == last_stage
    assert np.isnan(outcome.stage_confidence[:, last_stage:]).all()


def test_dropped_images_have_no_answer_and_the_others_keep_theirs():
    given_predictions = predictions(6, 4, 2, 1)
    thresholds = np.tile(stop_at((0.99,), 2), (6, 1))
    gate = GateState(GatingRule((1.0, 1.0)), thresholds)
    gate.advance(given_predictions[0])
    gate.drop(np.array([2]))
    gate.advance(given_predictions[1][gate.open_rows])
    outcome, whole = gate.outcome(), replay(GatingRule((1.0, 1.0)), (0.99,), given_predictions)
    assert outcome.class_id[2] == -1
    assert outcome.exit_stage[2] == 0
    kept = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(outcome.class_id[kept], whole.class_id[kept])


def test_one_class_is_always_certain():
    one = np.ones((3, 1), np.float32)
    for confidence in CONFIDENCES:
        assert replay(GatingRule((1.0, 1.0), confidence), (0.5,), [one, one]).exit_stage.tolist() == [1, 1, 1]


def test_margin_is_the_gap_between_the_top_two():
    np.testing.assert_allclose(margin(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], np.float32)), [0.2, 0.7], rtol=1e-6)


def test_predictions_count_as_float16_as_they_are_stored():
    fine = np.array([[0.12345678, 0.87654322]], np.float32)
    total = accumulate(None, fine, 1.0)
    np.testing.assert_array_equal(mean_prediction(total, [1.0]), fine.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    "wrong", [{"weights": (1.0, 0.0)}, {"weights": ()}, {"confidence": "luck"}, {"combine": "vote"}], ids=str
)
def test_a_rule_that_cannot_be_says_why(wrong):
    with pytest.raises(ValueError, match=r"weights|not one of"):
        GatingRule(**{"weights": (1.0,)} | wrong)
