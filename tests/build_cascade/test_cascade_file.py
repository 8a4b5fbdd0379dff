"""The names of the operating points are true: fast, what was chosen, accurate; by cost and by accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build_cascade.cascade_file import as_cascade
from build_cascade.committee import Candidate, Committee, single_candidate
from build_cascade.evaluator import Evaluator
from build_cascade.frontier_search import free_weight_frontier, search_frontier
from build_cascade.goal import Goal
from build_cascade.greedy_search import greedy_search
from build_cascade.guarantee import Guarantee, select_certified
from build_cascade.predictions import Predictions
from build_cascade.search_space import SearchSpace
from build_cascade.selection import Selection
from build_engines.costs.costs import Costs
from build_engines.pool.schema import load_pool
from tests.support.helpers import LABELS, backbone_entry, write_pool

COSTS = Costs({"small": 0.1, "medium": 0.3, "large": 0.9})
DEAREST = "large"
LITTLE = 1e-9  # sums of costs in another order


def predictions_of(seed: int, images: int) -> Predictions:
    """Righter in the dearer backbones; coarse with many ties, or finer than the grid of thresholds."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(LABELS), images)
    arrays = {}
    for place, name in enumerate(COSTS):
        raw = generator.uniform(1, 6, (images, len(LABELS)))
        raw[np.arange(images), labels] += place + generator.uniform(0, 5, images)
        raw = raw.round() if seed % 2 else raw**3
        arrays[name] = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float16)
    return Predictions(labels, arrays)


def searched(predictions, generator):
    frontier = search_frontier(predictions, COSTS, SearchSpace(("margin",), ("mean", "last")))
    return frontier[generator.integers(len(frontier))]


def grown_greedily(predictions, generator):
    return greedy_search(predictions, COSTS, DEAREST, generator.uniform(0.5, 1.0))


def certified(predictions, generator):
    """Its right answers are counted on a half of the images."""
    choosing, certifying = predictions.split(0.5, 0)
    frontier, reference = search_frontier(choosing, COSTS), single_candidate(choosing, COSTS, DEAREST)
    found = select_certified(frontier, reference, certifying, Guarantee(0.4, 0.4))
    return found.candidate


def freely_weighed(predictions, generator):
    frontier = free_weight_frontier(predictions, COSTS, Committee.of(["small", DEAREST]))
    return frontier[generator.integers(len(frontier))]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return load_pool(write_pool(tmp_path_factory.mktemp("pool"), *(backbone_entry(name) for name in COSTS)))


def test_the_evidence_has_every_backbone_on_its_own(pool):
    predictions = predictions_of(1, 40)
    evaluator = Evaluator(predictions, predictions, COSTS)
    chosen = single_candidate(predictions, COSTS, "small")
    found = as_cascade(pool, Selection(chosen, Goal(0.5), DEAREST), evaluator).evidence["backbones"]
    for name, splits in found.items():
        right = predictions.probabilities[name].argmax(1) == predictions.class_ids
        assert [splits[split]["accuracy"] for split in ("calibration", "test")] == [right.mean()] * 2
        assert splits["test"]["mean_cost"] == COSTS[name]
    assert list(found) == list(COSTS)


def points_of(pool, chosen: Candidate, predictions: Predictions):
    """Return (mean cost, accuracy) on calibration of fast, balanced, the default and accurate."""
    evaluator = Evaluator(predictions, predictions, COSTS)
    written = as_cascade(pool, Selection(chosen, Goal(0.5), DEAREST), evaluator)
    committee = chosen.committee
    named = [written.thresholds_at(name) for name in ("fast", "balanced", "accurate")]
    every = (*named[:2], written.thresholds, named[2])
    seen = [evaluator.on_calibration(committee, thresholds) for thresholds in every]
    return [(evaluation.mean_cost, evaluation.accuracy) for evaluation in seen]


@pytest.mark.parametrize("choose", [searched, grown_greedily, certified, freely_weighed])
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(8, 300))
def test_a_slower_operating_point_is_never_less_accurate(pool, choose, seed, images):
    predictions = predictions_of(seed, images)
    fast, balanced, default, accurate = points_of(pool, choose(predictions, np.random.default_rng(seed)), predictions)
    assert balanced == default
    assert fast[0] <= balanced[0] + LITTLE <= accurate[0] + 2 * LITTLE
    assert fast[1] <= balanced[1] <= accurate[1]


def test_fast_loses_a_percent_of_the_images_at_most_and_is_cheaper(pool):
    predictions = predictions_of(0, 300)
    fast, balanced, _, accurate = points_of(pool, search_frontier(predictions, COSTS)[-1], predictions)
    assert fast[0] < balanced[0]
    assert balanced[1] - 0.01 <= fast[1]
    halved = replace(search_frontier(predictions, COSTS)[-1], correct=0, mean_cost=0.0)
    assert points_of(pool, halved, predictions) == [fast, balanced, balanced, accurate]  # everything is recounted
