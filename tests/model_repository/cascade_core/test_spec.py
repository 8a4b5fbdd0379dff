from __future__ import annotations

import json

import pytest

from cascade_core.spec import SpecError, parse_cascade, read_cascade

GOOD = {
    "name": "pets",
    "canvas": 32,
    "labels": ["cat", "dog"],
    "stages": [{"model": "small", "threshold": 0.9}, {"model": "large"}],
    "operating_points": {"fast": {"thresholds": [0.5]}},
}


def changed(**changes: object) -> str:
    return json.dumps(GOOD | changes)


def test_a_cascade_survives_being_written_and_read():
    cascade = parse_cascade(json.dumps(GOOD))
    assert parse_cascade(cascade.to_json()) == cascade
    assert cascade.thresholds == (0.9,)
    assert cascade.thresholds_at("fast") == (0.5,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        (changed(stages=[]), "1 to 4 stages"),
        (changed(stages=[{"model": str(place), "threshold": 0.5} for place in range(4)] + [{"model": "x"}]), "1 to 4"),
        (changed(stages=[{"model": "small", "threshold": 1.5}, {"model": "large"}]), "between 0 and 1"),
        (changed(stages=[{"model": "small", "threshold": -0.1}, {"model": "large"}]), "between 0 and 1"),
        (changed(stages=[{"model": "small", "threshold": "high"}, {"model": "large"}]), "between 0 and 1"),
        (changed(stages=[{"model": "small"}, {"model": "large"}]), "threshold is missing"),
        (changed(stages=[{"model": "small", "threshold": 0.5}]), "must be null"),
        (changed(stages=[{"model": "small", "weight": 0}]), "weight must be a positive number"),
        (changed(stages=[{"threshold": 0.5}]), "missing model"),
        (changed(stages=[{"model": "small", "treshold": 0.5}]), "unknown field treshold"),
        (changed(operating_points={"fast": {"thresholds": [0.5, 0.5]}}), "needs 1 thresholds, has 2"),
        (changed(operating_points={"fast": {"thresholds": [2]}}), "between 0 and 1"),
        (changed(confidence="luck"), "max_probability, margin"),
        (changed(confidence=["margin"]), "max_probability, margin"),
        (changed(combine="product"), "combine must be one of mean"),
        (changed(canvas="big"), "canvas must be"),
        (changed(labels=[]), "at least one class"),
        (changed(colour="red"), "unknown field colour"),
        (changed(mode="parallel"), "mode must be one of cascade, ensemble"),
        (changed(serving=[]), "serving must be a JSON object"),
        (changed(serving={"workers": 1}), "serving: unknown field workers"),
        (changed(serving={"workers_per_stage": 0}), "workers_per_stage must be a positive integer"),
        (changed(serving={"max_images_in_flight": 2.5}), "max_images_in_flight must be a positive integer"),
        (changed(serving={"max_images_in_flight": 31}), "no room for a request of 32 images"),
        (changed(serving={"when_full": "drop"}), "when_full must be one of refuse, wait"),
        (changed(serving={"degraded": 1}), "degraded must be true or false"),
    ],
)
def test_a_bad_cascade_says_what_to_fix(text, says):
    with pytest.raises(SpecError, match=says):
        parse_cascade(text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"nowhere\.json"):
        read_cascade(tmp_path / "nowhere.json")


def test_an_unknown_operating_point_names_the_known():
    with pytest.raises(SpecError, match="fast"):
        parse_cascade(json.dumps(GOOD)).thresholds_at("turbo")
