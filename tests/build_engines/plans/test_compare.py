"""A plan beside ONNX Runtime: how they are compared, and polygraphy's real API, of which no more runs without a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import create_autospec

import numpy as np
import pytest

from build_engines.errors import CheckError, PlanError
from build_engines.plans import compare
from build_engines.plans.compare import Comparison, answers, check_agreement, compare_answers, tolerance_of
from build_engines.plans.record import PlanOptions
from build_engines.pool.schema import TimmBackbone
from tests.support.helpers import backbone_entry, onnx_probabilities, random_canvases

BATCHES = (1, 3, 8)
OPTIONS = PlanOptions(batch=BATCHES)


def backbone(**changes):
    return TimmBackbone(**backbone_entry("small", **changes))


def one_hot(classes, share=0.9):
    """Probabilities that are sure of the given classes."""
    rows = np.full((len(classes), 5), (1 - share) / 4, np.float32)
    rows[np.arange(len(classes)), classes] = share
    return rows


def compared(ours, theirs, tf32=False, **changes):
    """Compare probabilities at one batch size, or at several."""
    entry = backbone(**changes)
    agreement = compare_answers(ours.reshape(-1, *theirs.shape), theirs)
    check_agreement(entry, agreement, tolerance_of(entry.precision, PlanOptions(batch=BATCHES, tf32=tf32)))
    return agreement


@pytest.mark.parametrize("size", [1, 3, 8, 20])
def test_every_image_is_answered_at_every_batch_size(size):
    batches = []

    def run(images):
        batches.append(len(images))
        return images.reshape(len(images), -1).astype(np.float32)

    images = np.arange(10 * 2 * 2 * 3, dtype=np.uint8).reshape(10, 2, 2, 3)
    np.testing.assert_array_equal(answers(run, images, size), images.reshape(10, -1))
    assert set(batches) == {size}


@pytest.mark.parametrize(
    ("precision", "tf32", "tolerance"), [("fp32", False, 1e-3), ("fp16", False, 1e-2), ("fp32", True, 1e-2)]
)
def test_probabilities_must_be_near(precision, tf32, tolerance):
    theirs = one_hot([0] * 10)
    near = compared(theirs + 0.9 * tolerance, theirs, precision=precision, tf32=tf32)
    assert near.largest_probability_difference == pytest.approx(0.9 * tolerance, rel=1e-3)
    with pytest.raises(CheckError, match=rf"differs .* \(tolerance {tolerance}\).*was not kept"):
        compared(theirs + 1.1 * tolerance, theirs, precision=precision, tf32=tf32)
    with pytest.raises(CheckError, match="nan"):
        compared(theirs * np.nan, theirs, precision=precision, tf32=tf32)


@pytest.mark.parametrize(("images", "allowed"), [(16, 1), (200, 1), (400, 2), (1000, 5)])
def test_one_class_in_two_hundred_may_differ_and_always_one(images, allowed):
    """By a hair, and at every batch size: where two classes are as likely as each other."""
    theirs = np.tile(np.float32([0.4001, 0.4, 0.1, 0.1, 0.0]), (images, 1))
    ours = np.stack([theirs] * 3)
    ours[:, :allowed, :2] = ours[:, :allowed, 1::-1]
    assert compared(ours, theirs).class_agreement == 1 - allowed / images
    ours[1, allowed, :2] = ours[1, allowed, 1::-1]
    with pytest.raises(CheckError, match=rf"of {allowed + 1} of {images} images \(allowed {allowed}\).*--images"):
        compared(ours, theirs)
    compared(ours, theirs, weights="random")


def test_a_plan_of_random_weights_must_answer_numbers(images=16):
    theirs = one_hot([0] * images)
    assert compared(theirs[:, ::-1], theirs, weights="random").class_agreement == 0
    with pytest.raises(CheckError, match="nan"):
        compared(theirs * np.nan, theirs, weights="random")


@pytest.fixture
def onnx(tiny_build):
    return tiny_build["small"].onnx


def test_an_onnx_file_agrees_with_itself_and_not_with_another(tiny_build, onnx, monkeypatch):
    images = random_canvases(20)
    for name, agrees in (("small", True), ("large", False)):
        plan = tiny_build[name].onnx
        monkeypatch.setattr(compare, "_plan_answers", lambda *given, plan=plan: run_as_plan(plan, *given))
        comparison = Comparison(None, images)
        if agrees:
            check = comparison.check(backbone(), onnx, OPTIONS, b"plan")
            assert (check.images, check.class_agreement) == (20, 1)
        else:
            with pytest.raises(CheckError, match="its plan differs from ONNX Runtime"):
                comparison.check(backbone(), onnx, OPTIONS, b"plan")


def run_as_plan(file, trt, backbone, plan, images, sizes):
    return np.stack([answers(lambda part: onnx_probabilities(file, part), images, size) for size in sizes])


def test_polygraphy_is_used_as_it_is(onnx, monkeypatch):
    """Its classes autospecced: a method or an argument that it does not have fails."""
    polygraphy = pytest.importorskip("polygraphy.backend.trt")
    images, batches = random_canvases(5), []

    def infer(feed_dict):
        batches.append(len(feed_dict["image"]))
        return {"probabilities": onnx_probabilities(onnx, feed_dict["image"])}

    engine, runner = (create_autospec(getattr(polygraphy, name)) for name in ("EngineFromBytes", "TrtRunner"))
    runner.return_value.__enter__.return_value = runner.return_value
    runner.return_value.infer.side_effect = infer
    monkeypatch.setattr(polygraphy, "EngineFromBytes", engine)
    monkeypatch.setattr(polygraphy, "TrtRunner", runner)
    check = Comparison(SimpleNamespace(), images).check(backbone(), onnx, OPTIONS, b"plan")
    assert check.largest_probability_difference < 1e-6
    assert batches == [1] * 5 + [3] * 2 + [8]
    engine.assert_called_once_with(b"plan")
    runner.assert_called_once_with(engine.return_value)


def test_a_plan_that_does_not_run_is_a_message(onnx, monkeypatch):
    polygraphy = pytest.importorskip("polygraphy.backend.trt")
    from polygraphy.exception import PolygraphyException

    runner = create_autospec(polygraphy.TrtRunner)
    runner.return_value.__enter__.side_effect = PolygraphyException("Invalid Context. See error log for details.")
    monkeypatch.setattr(polygraphy, "TrtRunner", runner)
    with pytest.raises(PlanError, match=r"does not run here: Invalid Context.*lower max_batch_size"):
        Comparison(SimpleNamespace(), random_canvases(2)).check(backbone(), onnx, OPTIONS, b"plan")


def test_what_keeps_plans_from_being_compared_is_named(monkeypatch):
    cuda = pytest.importorskip("polygraphy.cuda")
    monkeypatch.setattr(cuda, "wrapper", lambda: None)
    assert compare.comparison_obstacle() is None
    monkeypatch.setattr(cuda, "wrapper", no_runtime)
    assert "libcudart.so: cannot open" in compare.comparison_obstacle()
    monkeypatch.setattr(compare, "find_spec", lambda name: None if name == "polygraphy" else name)
    assert compare.comparison_obstacle() == "pip install polygraphy"


def no_runtime():
    raise OSError("libcudart.so: cannot open shared object file")
