"""Predictions, a choice and its report, for tests of the report."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from build_cascade.cascade_file import as_cascade
from build_cascade.evaluator import Evaluator
from build_cascade.frontier_file import Frontier
from build_cascade.frontier_search import search_frontier
from build_cascade.goal import Goal
from build_cascade.predictions import Predictions
from build_cascade.report.content import Report
from build_cascade.report.page import write_report
from build_cascade.selection import Selection, select
from build_cascade.topk import TopK, TopKPredictions
from build_engines.costs.costs import Costs
from build_engines.costs.throughput import Throughput
from build_engines.pool.schema import load_pool
from tests.support.helpers import LABELS, backbone_entry, write_pool

NAMES = ("small", "medium", "large")
ACCURATE = Goal(accuracy_at_least=0.8)
COSTS = Costs({"small": 0.1, "medium": 0.3, "large": 0.9}, source="counted by hand")
IMAGES = 300


def predictions(seed, names=NAMES, images=IMAGES):
    """Backbones that are righter the later they are named, and surer where they are right."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(LABELS), images)
    arrays = {}
    for place, name in enumerate(names):
        scores = generator.normal(size=(images, len(LABELS)))
        scores[np.arange(images), labels] += 1.5 + place
        exponents = np.exp(scores)
        arrays[name] = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float16)
    return Predictions(labels, arrays)


def sparse(dense):
    """The same predictions as far as the three most probable classes go."""
    pairs = {}
    for name, array in dense.probabilities.items():
        ids = np.argsort(-array, axis=1)[:, :3].astype(np.int32)
        pairs[name] = (ids, np.take_along_axis(array, ids, axis=1))
    return TopKPredictions(dense.class_ids, TopK(pairs, len(LABELS)))


def evaluator_of(names=NAMES):
    return Evaluator(predictions(0, names), predictions(1, names), COSTS.only(names))


def imported_evaluator():
    dense = evaluator_of()
    return Evaluator(sparse(dense.calibration), sparse(dense.test), dense.costs)


def choice(folder, evaluator, goal=ACCURATE):
    pool = load_pool(write_pool(folder, *(backbone_entry(name) for name in evaluator.test.names)))
    searched = search_frontier(evaluator.calibration, evaluator.costs)
    selection = Selection(select(searched, IMAGES, goal), goal, evaluator.best_single())
    return as_cascade(pool, selection, evaluator), Frontier.of(searched, evaluator.calibration)


def measured_at(images_per_s):
    """A backbone's throughput, as measured."""
    return Throughput(images_per_s=images_per_s, interval=(images_per_s, images_per_s), rounds=3, served="in process")


def page_of(folder, evaluator, cascade, frontier, measured=MappingProxyType({})):
    report = Report.of(evaluator, cascade, frontier)
    return report, write_report(report, evaluator, cascade, measured, folder / "report").read_text()


def assert_alike(seen, expected):
    assert (seen.images, seen.correct) == (expected.images, expected.correct)
    assert seen.exit_rates == pytest.approx(expected.exit_rates)
    assert (seen.mean_cost, seen.worst_cost) == pytest.approx((expected.mean_cost, expected.worst_cost))
