"""The parts of benchmarks/imagenet_served.py that need no data: pools put together, what is chosen, what is shown."""

from __future__ import annotations

import pytest
from imagenet_pool.choosing import choose
from imagenet_pool.pools import only, studies, together
from imagenet_pool.show import plot, table
from rich.console import Console

from build_cascade.committee import Committee
from build_engines.support.progress import ignore_progress
from tests.support.helpers import backbone_entry, pool_of
from tests.support.onnx_files import onnx_entry
from tests.support.reports import evaluator_of


@pytest.fixture
def pools(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first = pool_of(tmp_path / "first", onnx_entry("theirs"), name="first")
    second = pool_of(tmp_path / "second", backbone_entry("ours"), canvas=64, name="second")
    return first, second


def test_pools_are_put_together_on_the_largest_canvas_with_their_own_files(pools):
    whole = together("both", list(pools))
    assert (whole.name, whole.canvas) == ("both", 64)
    files = [whole.weights_file(backbone) for backbone in whole.backbones]
    assert files == [pool.weights_file(pool.backbones[0]) for pool in pools]
    assert [backbone.name for backbone in only(whole, ("ours",)).backbones] == ["ours"]


def test_pools_of_other_labels_are_refused(pools):
    other = pools[1].model_copy(update={"labels": pools[1].labels[::-1]})
    with pytest.raises(SystemExit, match="different labels"):
        together("both", [pools[0], other])


def test_the_second_pool_is_measured_once_its_weights_are_there(pools, tmp_path):
    real, lite = (pool.folder / "pool.yaml" for pool in pools)
    assert "no weights of ours" in studies(real, lite, None)[1]
    (lite.parent / "ours.safetensors").touch()
    found, note = studies(real, lite, None)
    assert [len(pool.backbones) for pool in found] == [1, 2]
    assert not note
    assert "there is no" in studies(real, tmp_path / "nowhere.yaml", None)[1]
    assert [len(pool.backbones) for pool in studies(real, lite, ("theirs",))[0]] == [1]


def test_cascades_are_as_accurate_as_the_best_networks_and_cheaper():
    evaluator = evaluator_of()
    chosen = choose(evaluator, ignore_progress)
    assert chosen
    for one in chosen:
        alone = evaluator.on_calibration(Committee.of([one.reference]))
        assert one.candidate.correct >= alone.correct
        assert one.candidate.mean_cost < alone.mean_cost
        assert len(one.candidate.committee.stages) > 1


def test_no_cascade_stands_in_for_a_network_that_a_cheaper_one_matches():
    evaluator = evaluator_of(("small", "large", "medium"))  # the later, the more accurate; medium costs less than large
    assert "large" not in {one.reference for one in choose(evaluator, ignore_progress)}


def test_what_was_measured_is_shown_and_drawn(tmp_path):
    speed = {str(batch): {"images_per_s": 100.0 * batch} for batch in (1, 8)}
    single = {
        "name": "large",
        "accuracy": 0.8,
        "accuracy_interval_95": (0.7, 0.9),
        "mean_gmacs": 1,
        "images_per_s": speed,
    }
    cascade = single | {
        "name": "cascade_for_large",
        "stages": ("small", "large"),
        "mean_gmacs": 0.5,
        "times_by_macs": 2.0,
        "times_served": {"1": 1.8, "8": 1.9},
    }
    study = {"images": 10, "rows": [cascade, single]}
    console = Console(width=140, record=True)
    console.print(table("nine", study))
    assert "1.90 (0.95)" in console.export_text()
    plot(tmp_path / "plot.png", {"nine": study})
    assert (tmp_path / "plot.png").stat().st_size > 10_000
