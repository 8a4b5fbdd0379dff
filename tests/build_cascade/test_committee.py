"""Answers by the search's kernels are those of the gate."""

from __future__ import annotations

import numpy as np

from build_cascade.committee import Candidate, Committee, answers, right_answers, stage_statistics
from build_cascade.evaluation import evaluate, outcome_of
from build_cascade.exhaustive.frontier import exit_places
from tests.support.topk import COSTS, sparse


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
