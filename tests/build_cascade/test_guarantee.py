from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from build_cascade.committee import Candidate, Committee, single_candidate
from build_cascade.errors import GoalError
from build_cascade.frontier_search import search_frontier
from build_cascade.guarantee import Guarantee, parse_guarantee, safest_first, select_certified
from build_cascade.predictions import Predictions

COSTS = {"cheap": 1.0, "dear": 10.0}


def two_backbones(images, seed=0):
    """The dear backbone is right on 95 %; the cheap one on 80 %, and it knows where it is not."""
    generator = np.random.default_rng(seed)
    class_ids = generator.integers(0, 4, images)
    arrays = {}
    for name, accuracy in {"cheap": 0.8, "dear": 0.95}.items():
        right = generator.random(images) < accuracy
        answer = np.where(right, class_ids, (class_ids + 1) % 4)
        sure = np.where(right, generator.uniform(0.7, 1, images), generator.uniform(0.3, 0.75, images))
        rows = np.repeat((1 - sure)[:, None] / 3, 4, axis=1)
        rows[np.arange(images), answer] = sure
        arrays[name] = rows.astype(np.float16)
    return Predictions(class_ids, arrays)


def certified(images, guarantee, forget_labels=False):
    choosing, certifying = two_backbones(images).split(0.5, seed=1)
    if forget_labels:
        certifying = replace(certifying, class_ids=np.zeros_like(certifying.class_ids))
    reference = single_candidate(choosing, COSTS, "dear")
    return select_certified(search_frontier(choosing, COSTS), reference, certifying, guarantee)


def test_a_cheaper_cascade_is_certified_on_enough_images():
    found = certified(8000, Guarantee(tolerance=0.01, risk=0.05))
    assert found.candidate.mean_cost < COSTS["dear"]
    assert len(found.candidate.committee.stages) == 2
    assert "at most 1.00% below that of dear, at a risk of 5%" in found.statement


def test_on_too_few_images_the_reference_is_used_and_the_number_needed_named():
    found = certified(60, Guarantee(tolerance=0.005, risk=0.05))
    assert found.candidate.committee.stages == ("dear",)
    assert found.statement.startswith("none: no cascade could be certified")
    assert "30 were available to certify on" in found.statement


@pytest.mark.parametrize("images", [100, 140, 180, 220, 260, 300])
def test_more_images_are_asked_for_than_there_were(images):
    statement = certified(images, Guarantee(tolerance=0.04, risk=0.05)).statement
    needed = re.search(r"about (\d+) images", statement)
    assert needed is None or int(needed[1]) > images // 2, statement


def test_a_bolder_guarantee_is_never_cheaper_to_keep():
    careful, bold = (certified(4000, Guarantee(tolerance, 0.05)).candidate for tolerance in (0.01, 0.05))
    assert bold.mean_cost <= careful.mean_cost


def test_the_walk_goes_from_the_most_accurate_to_the_cheapest_below_the_reference():
    committee = Committee.of(["cheap", "dear"])
    frontier = [
        Candidate(committee, (0.5,), correct, cost) for correct, cost in ((80, 1.0), (90, 5.0), (92, 5.05), (96, 12.0))
    ]
    reference = Candidate(Committee.of(["dear"]), (), 95, 10.0)
    assert [candidate.correct for candidate in safest_first(frontier, reference)] == [92, 80]


@pytest.mark.parametrize(
    ("tolerance", "risk", "kind", "accuracy", "cost", "says"),
    [
        (0.0, 0.05, None, None, None, "--tolerance above 0"),
        (0.01, 1.5, None, None, None, "--risk between 0 and 1"),
        (0.01, 0.05, None, None, 1.0, "leave --mean-cost-at-most out"),
        (0.01, 0.05, None, "0.98", None, "a backbone's name"),
        (0.01, 0.05, "luck", None, None, "accuracy or consistency"),
        (0.01, None, "consistency", None, None, "--guarantee needs --risk"),
    ],
)
def test_a_guarantee_needs_a_tolerance_a_risk_and_no_other_goal(tolerance, risk, kind, accuracy, cost, says):
    with pytest.raises(GoalError, match=says):
        parse_guarantee(tolerance, risk, kind, accuracy, cost)


def test_a_guarantee_is_made_against_a_backbone():
    assert parse_guarantee(0.01, 0.05, None, "best", None) == Guarantee(0.01, 0.05)
    assert parse_guarantee(0.01, 0.05, "consistency", "dear", None) == Guarantee(0.01, 0.05, "consistency")
    assert parse_guarantee(0.01, None, None, "dear", None) is None


def test_a_consistent_cascade_answers_as_the_reference_and_needs_no_labels():
    guarantee = Guarantee(tolerance=0.1, risk=0.05, kind="consistency")
    found = certified(4000, guarantee)
    assert found.candidate.mean_cost < COSTS["dear"]
    assert "at most 10.00% of answers on new images of the same kind differ from dear's" in found.statement
    unlabelled = certified(4000, guarantee, forget_labels=True)
    assert unlabelled.candidate == found.candidate
