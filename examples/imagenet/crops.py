"""Images for measuring speed: crops of photographs, of which each share leaves the cascade at a stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from build_engines.images.canvas import Canvas, to_canvas
from cascade_client import CascadeClient

MEASURED_IMAGES = 128
CROPS_OF_EACH = 40
SMALLEST_SHARE = 0.4  # of the shorter side
SEED = 0


def mixed_crops(client: CascadeClient, photographs: Sequence[Path], exit_rates: Sequence[float]) -> Canvas:
    """Return crops of photographs that leave the served cascade in given shares: UINT8 [M, S, S, 3]."""
    canvases = crops(photographs, client.status.canvas)
    exit_stage = np.array([answer.exit_stage for answer in client.classify(list(canvases))])
    return canvases[mixed(exit_stage, exit_rates, MEASURED_IMAGES)]


def crops(photographs: Sequence[Path], size: int) -> Canvas:
    """Return random squares of photographs on the canvas: UINT8 [N, size, size, 3]."""
    generator = np.random.default_rng(SEED)
    return np.stack([crop for path in photographs for crop in _crops_of(path, size, generator)])


def mixed(exit_stage: npt.NDArray[np.int64], exit_rates: Sequence[float], count: int) -> npt.NDArray[np.intp]:
    """Draw images so that they leave a cascade in given shares, in random order; images repeat where there are too few.

    Args:
        exit_stage: INT64 [N], where each image leaves; 1 is the first stage.
        exit_rates: The share that is to leave at each stage; a stage at which none leaves is left out.
        count: How many to draw, M.

    Returns:
        INTP [M], rows of images.
    """
    generator = np.random.default_rng(SEED)
    present = np.array([bool((exit_stage == stage).any()) for stage in range(1, len(exit_rates) + 1)])
    shares = np.where(present, exit_rates, 0)
    ends = np.rint(np.cumsum(shares / shares.sum()) * count).astype(int)
    drawn = [
        generator.permutation(np.resize(np.flatnonzero(exit_stage == stage), images))
        for stage, images in enumerate(np.diff(ends, prepend=0), start=1)
        if images
    ]
    return generator.permutation(np.concatenate(drawn))


def _crops_of(path: Path, size: int, generator: np.random.Generator) -> list[Canvas]:
    with Image.open(path) as opened:
        photograph = opened.convert("RGB")
    shorter = min(photograph.size)
    sides = generator.integers(round(SMALLEST_SHARE * shorter), shorter, CROPS_OF_EACH, endpoint=True)
    return [to_canvas(_square(photograph, int(side), generator), size) for side in sides]


def _square(photograph: Image.Image, side: int, generator: np.random.Generator) -> Image.Image:
    left, top = (int(generator.integers(0, extent - side, endpoint=True)) for extent in photograph.size)
    return photograph.crop((left, top, left + side, top + side))
