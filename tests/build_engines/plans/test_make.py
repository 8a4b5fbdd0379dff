"""Plans: made once, whole or not at all, with what they hold for."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from build_engines.errors import CheckError, PlanError
from build_engines.plans import make
from build_engines.plans.make import make_plan
from build_engines.plans.record import PlanAgreement, PlanOptions, PlanRecord
from build_engines.support.atomic_files import sha256
from tests.support.plans import DEVICE, OPTIONS, TRT, export_bytes


def test_a_plan_is_made_once_and_again_when_anything_changes(build, built):
    assert make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert not make_plan(TRT, DEVICE, build["a"], OPTIONS)
    other = DEVICE.model_copy(update={"gpu": "NVIDIA H100"})
    assert make_plan(TRT, other, build["a"], OPTIONS)
    assert make_plan(SimpleNamespace(__version__="11.4"), other, build["a"], OPTIONS)
    assert make_plan(TRT, DEVICE, build["a"], PlanOptions(batch=(1, 4, 4)))
    export_bytes(build["a"], b"new weights")
    assert make_plan(TRT, DEVICE, build["a"], PlanOptions(batch=(1, 4, 4)))
    assert [cache for *_, cache in built] == [b"", b"", b"", b"timings", b"timings"]


def test_the_side_file_says_what_a_plan_is(build, built):
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    record = PlanRecord.required(build["a"])
    assert (record.tensorrt, record.device, record.options) == ("10.13.3.9", DEVICE, OPTIONS)
    assert (record.onnx_sha256, record.size_bytes) == (sha256(build["a"].onnx), len(b"plan of a"))
    assert record.plan_sha256 == sha256(build["a"].plan)


@contextmanager
def files_of_at_most(size_bytes):
    """As on a full disk: the kernel refuses to write on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_no_half_plan_and_the_earlier_ones(build, monkeypatch):
    plans = iter([b"small", b"x" * 10_000_000, b"y" * 10_000_000])
    monkeypatch.setattr(make, "build_plan", lambda *_: (next(plans), b"timings"))
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    earlier = PlanRecord.of(build["a"])
    before = sorted(build["a"].plan.parent.iterdir())
    export_bytes(build["a"], b"new")
    with files_of_at_most(1_000_000):
        for name in ("a", "b"):
            with pytest.raises(PlanError, match=r"cannot write .*; free 10\.0 MB and rerun"):
                make_plan(TRT, DEVICE, build[name], OPTIONS)
    assert sorted(build["a"].plan.parent.iterdir()) == before
    assert PlanRecord.of(build["a"]) == earlier
    assert build["a"].plan.read_bytes() == b"small"


def test_a_plan_whose_side_file_was_not_written_counts_as_none(build, built, monkeypatch):
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    export_bytes(build["a"], b"new")
    monkeypatch.setattr(make, "_write_record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert build["a"].plan.read_bytes() == b"plan of new"
    assert PlanRecord.of(build["a"]) is None


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_plan_that_answers_otherwise_is_not_kept(build, built):
    def refuse(plan):
        raise CheckError(plan.decode())

    with pytest.raises(CheckError, match="plan of a"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS, refuse)
    assert not build["a"].plan.exists()
    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert [cache for *_, cache in built] == [b"", b"timings"], "what TensorRT measured was lost with the plan"
    with pytest.raises(CheckError):
        make_plan(TRT, DEVICE, build["a"], OPTIONS, refuse)
    assert not build["a"].plan.exists()
    assert PlanRecord.of(build["a"]) is None


def test_a_plan_is_compared_once_also_if_that_was_impossible_when_it_was_built(build, built):
    compared = []

    def check(plan):
        compared.append(plan)
        return PlanAgreement(images=16, largest_probability_difference=0.001, class_agreement=1)

    make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert PlanRecord.required(build["a"]).check is None
    for _ in range(2):
        assert not make_plan(TRT, DEVICE, build["a"], OPTIONS, check)
    make_plan(TRT, DEVICE, build["b"], OPTIONS, check)
    assert compared == [b"plan of a", b"plan of b"]
    assert PlanRecord.required(build["a"]).check.largest_probability_difference == 0.001


def test_an_onnx_file_that_is_not_as_exported_is_refused(build, built):
    build["a"].onnx.write_bytes(b"other")
    with pytest.raises(PlanError, match="run build-engines export again"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)
    build["b"].onnx.unlink()
    with pytest.raises(PlanError, match="run build-engines export first"):
        make_plan(TRT, DEVICE, build["b"], OPTIONS)
    build["a"].manifest_file.write_bytes(b"\xff")
    with pytest.raises(PlanError, match="run build-engines export first"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)
    assert not built


def test_what_is_not_for_lack_of_room_is_not_said_to_be(build, built):
    build["a"].plan.mkdir(parents=True)
    with pytest.raises(PlanError, match=r"cannot write .*; fix it and rerun"):
        make_plan(TRT, DEVICE, build["a"], OPTIONS)
