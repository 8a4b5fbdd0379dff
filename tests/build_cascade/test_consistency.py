"""Without labels, a backbone's answers stand for them: what is chosen, certified and said then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from build_cascade.choosing import choose_cascade
from build_cascade.cli import app
from build_cascade.committee import most_agreeing
from build_cascade.errors import GoalError
from build_cascade.evaluator import Evaluator
from build_cascade.goal import Goal, parse_goal, parse_reference
from build_cascade.guarantee import ACCURACY, CONSISTENCY, Guarantee, parse_consistency, parse_guarantee
from build_cascade.imported import import_pool, read_npz_folder
from build_cascade.predictions import SPLIT_SEED
from build_cascade.search_space import SearchSpace
from build_engines.costs.costs import Costs
from build_engines.images.source import UNLABELLED
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import Pool
from cascade_core.spec import read_cascade
from tests.support.random_predictions import COSTS as COARSE_COSTS
from tests.support.random_predictions import random_predictions
from tests.support.reports import COSTS, evaluator_of, predictions, sparse

SHARED = Path(__file__).parents[3] / "shared" / "imagenet"
SPACE = SearchSpace(confidences=("margin",), ratios=(1.0,), thresholds=4)
NAMES = tuple(COARSE_COSTS)


def hidden(some, share=1.0, seed=0):
    """Predictions of which a share of the labels is not known."""
    forgotten = np.random.default_rng(seed).random(len(some.class_ids)) < share
    return replace(some, class_ids=np.where(forgotten, UNLABELLED, some.class_ids))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    reference=st.sampled_from(NAMES),
    tolerance=st.sampled_from([0.0, 0.1, 0.3]),
    risk=st.sampled_from([None, 0.2]),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_the_choice_is_the_one_for_the_references_answers_as_labels(
    tmp_path_factory, seed, reference, tolerance, risk, share
):
    """Whatever is known of the labels, one choice: that of the labelled machinery given the reference's answers."""
    tolerance = 0.3 if risk is not None else tolerance
    build = PoolBuild.of(Pool.model_construct(name="random", backbones=()), tmp_path_factory.getbasetemp())
    splits = [random_predictions(seed + place, images=40) for place in range(2)]
    answers = [replace(one, class_ids=np.asarray(one.probabilities[reference].argmax(axis=1))) for one in splits]
    labelled = Evaluator(*answers, Costs(COARSE_COSTS))
    without = Evaluator(*(hidden(one, share, seed) for one in splits), Costs(COARSE_COSTS)).judged(reference)
    guarantee = None if risk is None else Guarantee(tolerance, risk, CONSISTENCY)
    chosen = []
    for evaluator in (without, labelled):
        goal = parse_goal(reference, tolerance, None, evaluator)
        chosen.append(choose_cascade(build, evaluator, goal, SPACE, reference=reference, guarantee=guarantee))
    assert chosen[0] == chosen[1]
    if guarantee is not None:
        known = Evaluator(*splits, Costs(COARSE_COSTS))  # a certificate of consistency looks at no label
        assert choose_cascade(build, known, goal, SPACE, reference=reference, guarantee=guarantee) == chosen[0]
    committee, thresholds = chosen[0].candidate.committee, chosen[0].candidate.thresholds
    assert without.on_calibration(committee, thresholds) == replace(
        labelled.on_calibration(committee, thresholds), reference=reference
    )


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.3, 1.0]), kind=st.sampled_from([ACCURACY, CONSISTENCY]))
def test_the_default_reference_of_a_guarantee_depends_on_the_choosing_half_alone(tmp_path_factory, seed, share, kind):
    """For consistency no label decides either; and the command takes the reference that the library takes."""
    build = PoolBuild.of(Pool.model_construct(name="random", backbones=()), tmp_path_factory.getbasetemp())
    some, other, test = (random_predictions(seed + place, images=40) for place in range(3))
    guarantee = Guarantee(0.3, 0.2, kind)

    def reference(calibration):
        evaluator = Evaluator(calibration, test, Costs(COARSE_COSTS)).judged()
        stands_for_labels = parse_consistency(None, None, kind, evaluator)
        judged = evaluator.judged(stands_for_labels, by_labels=kind != CONSISTENCY)
        found = parse_reference(None, judged, certified=True)
        assert choose_cascade(build, evaluator, Goal(0.5), SPACE, guarantee=guarantee).reference == found
        return found

    order = np.random.default_rng(SPLIT_SEED).permutation(40)
    chosen = reference(some)
    assert reference(with_rows(some, other, order[20:])) == chosen
    if kind == CONSISTENCY:
        assert reference(hidden(some, share, seed)) == chosen


def with_rows(some, other, rows):
    """Predictions and labels of which some rows are another's."""
    arrays = {name: array.copy() for name, array in some.probabilities.items()}
    class_ids = some.class_ids.copy()
    for name, array in arrays.items():
        array[rows] = other.probabilities[name][rows]
    class_ids[rows] = other.class_ids[rows]
    return replace(some, class_ids=class_ids, probabilities=arrays)


def test_without_labels_the_backbone_that_agrees_most_with_all_is_the_reference():
    some = replace(evaluator_of(), costs=Costs({"small": 9.0, "medium": 0.3, "large": 0.9}))
    judged = replace(some, calibration=hidden(some.calibration), test=hidden(some.test)).judged()
    assert judged.best_single() == judged.calibration.reference == judged.test.reference == "large"
    assert [note.split(":")[0] for note in judged.notes[:2]] == ["calibration", "test"]
    assert "'large' agrees most with the mean prediction of all backbones" in judged.notes[2]
    assert "by agreement with the answers of 'large' on all 300 images, none of which has a label" in judged.notes[0]
    assert judged.judged("medium").best_single() == "medium"
    with pytest.raises(GoalError, match="no backbone 'huge'"):
        judged.judged("huge")


def test_where_some_images_have_labels_these_are_used_and_the_others_counted():
    some = evaluator_of()
    calibration = hidden(some.calibration, 0.5)
    judged = replace(some, calibration=calibration).judged()
    assert judged.calibration.class_ids.tolist() == calibration.class_ids[calibration.class_ids >= 0].tolist()
    left = 300 - calibration.labelled
    assert judged.notes == (f"calibration: {left} of 300 images have no label and are not used",)
    by_answers = judged.judged("large")
    assert len(by_answers.calibration.class_ids) == 300
    assert by_answers.test.reference is None
    assert some.judged().notes == ()


def test_test_images_without_labels_are_judged_by_the_best_backbone_on_calibration():
    some = evaluator_of()
    judged = replace(some, test=hidden(some.test)).judged()
    assert (judged.calibration.reference, judged.test.reference) == (None, judged.best_single())


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/imagenet")
def test_on_imagenet_the_most_agreeing_backbone_is_the_most_accurate():
    found, costs = read_npz_folder(SHARED)
    some = found.rows(np.arange(0, len(found.class_ids), 25))
    accuracy = {name: np.mean(array.argmax(axis=1) == some.class_ids) for name, array in some.probabilities.items()}
    assert most_agreeing(some, costs) == max(accuracy, key=accuracy.get) == "resnet152"


@pytest.mark.parametrize(
    ("consistent_with", "accuracy_at_least", "kind", "labelled", "expected"),
    [
        (None, None, None, True, None),
        (None, None, None, False, None),
        (None, "medium", None, False, "medium"),
        (None, "medium", None, True, None),
        (None, "0.9", None, False, None),
        ("small", None, None, True, "small"),
        (None, "best", CONSISTENCY, True, None),
        (None, "medium", CONSISTENCY, True, "medium"),
    ],
)
def test_options_say_whose_answers_stand_for_labels(consistent_with, accuracy_at_least, kind, labelled, expected):
    evaluator = evaluator_of() if labelled else evaluator_of().judged("large")
    assert parse_consistency(consistent_with, accuracy_at_least, kind, evaluator) == expected


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(GoalError, match="'medium' and --consistent-with 'large'; leave one"):
        parse_consistency("large", "medium", None, evaluator_of())
    with pytest.raises(GoalError, match="cannot be certified without labels"):
        parse_guarantee(0.02, 0.05, ACCURACY, None, None, labelled=False)
    assert parse_guarantee(0.02, 0.05, None, None, None, labelled=False) == Guarantee(0.02, 0.05, CONSISTENCY)


def run(*arguments):
    done = CliRunner(env={"COLUMNS": "300"}).invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_commands_say_that_labels_were_not_used(tmp_path):
    pool = import_pool("elsewhere", sparse(hidden(predictions(4, images=2000))), COSTS, tmp_path)
    options = ["--accuracy-at-least", "large", "--tolerance", "0.3", "--risk", "0.05", "--build", tmp_path]
    said = run("search", pool, *options)
    assert "calibration: judged without labels, by agreement with the answers of 'large' on all 1000 images" in said
    assert "at most 30.00% of answers on new images of the same kind differ from large's, at a risk of 5%" in said
    cascade = read_cascade(tmp_path / "elsewhere" / "cascade.json")
    assert cascade.evidence["consistent_with"] == "large"
    assert cascade.evidence["test"]["agreement"] == cascade.evidence["agreement_on_test"] < 1
    assert "accuracy" not in cascade.evidence["test"]
    told = run("report", pool, "--build", tmp_path)
    assert "agreement % (95%)" in told
    assert "accuracy" not in told
    page = (tmp_path / "elsewhere" / "report" / "index.html").read_text()
    for said_on_page in ("Answers as large does on", "does not say how accurate large is", "Agreement against cost"):
        assert said_on_page in page


def test_a_choice_by_consistency_is_reported_by_labels_where_the_test_images_have_them(tmp_path):
    pool = import_pool("elsewhere", sparse(predictions(4, images=600)), COSTS, tmp_path)
    said = run("search", pool, "--consistent-with", "medium", "--tolerance", "0.2", "--build", tmp_path)
    assert "'medium' on all 300 images, whose labels are not used" in said
    evidence = read_cascade(tmp_path / "elsewhere" / "cascade.json").evidence
    assert {"agreement", "accuracy"} == {*evidence["calibration"], *evidence["test"]} & {"agreement", "accuracy"}
    assert "accuracy % (95%)" in run("report", pool, "--build", tmp_path)


@pytest.mark.parametrize("labels", [UNLABELLED, 3])
def test_ten_images_and_images_of_one_class_are_enough_to_say_that_nothing_is_certain(tmp_path, labels):
    few = predictions(4, images=20)
    pool = import_pool("few", sparse(replace(few, class_ids=np.full(20, labels))), COSTS, tmp_path)
    said = run("search", pool, "--tolerance", "0.1", "--risk", "0.05", "--build", tmp_path)
    assert "none: no cascade could be certified" in said
    assert "on 10 test images" in run("report", pool, "--build", tmp_path)
