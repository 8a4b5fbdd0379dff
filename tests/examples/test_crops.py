"""examples/imagenet/crops.py: images that leave a cascade in given shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from examples.imagenet.crops import CROPS_OF_EACH, crops, mixed

STAGES = 3


@given(
    exit_stage=st.lists(st.integers(1, STAGES), min_size=1, max_size=50),
    rates=st.lists(st.floats(0.01, 1), min_size=STAGES, max_size=STAGES),
    count=st.integers(1, 100),
)
def test_the_drawn_images_leave_in_the_given_shares(exit_stage, rates, count):
    exit_stage = np.array(exit_stage)
    rows = mixed(exit_stage, rates, count)
    assert len(rows) == count
    present = [stage in exit_stage for stage in range(1, STAGES + 1)]
    expected = np.where(present, rates, 0) / np.sum(np.array(rates)[present])
    drawn = np.bincount(exit_stage[rows], minlength=STAGES + 1)[1:] / count
    assert np.abs(np.cumsum(drawn) - np.cumsum(expected)).max() <= 0.5 / count + 1e-9


def test_every_image_of_a_stage_is_used_before_one_repeats():
    rows = mixed(np.array([1, 1, 1, 2]), [0.5, 0.5], 6)
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 3, 3]


def test_crops_are_different_parts_of_each_photograph(tmp_path):
    for name, size in (("wide", (90, 60)), ("high", (50, 80))):
        pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    made = crops(sorted(tmp_path.glob("*.png")), 32)
    assert made.shape == (2 * CROPS_OF_EACH, 32, 32, 3)
    assert len(np.unique(made, axis=0)) > 1.9 * CROPS_OF_EACH
    assert np.array_equal(made, crops(sorted(tmp_path.glob("*.png")), 32))
