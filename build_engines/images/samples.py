"""Real images to compare networks on, read without torch or timm: NVIDIA's container has neither."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_sample_images

from build_engines.images.canvas import Canvas, to_canvas
from build_engines.images.source import ImageSource
from build_engines.pool.schema import Pool

SAMPLE_CROPS = 16
COMPARISON_IMAGES = 64


def comparison_images(pool: Pool, given: ImageSource | Canvas | None, count: int = COMPARISON_IMAGES) -> Canvas:
    """Return images to compare networks on, UINT8 [N, S, S, 3].

    Args:
        pool: For its canvas and labels.
        given: A source of images, canvases to use as they are, or None for crops of two photographs.
        count: How many images of a source to use.

    Raises:
        ImageSourceError: none of the images can be used.
    """
    if given is None:
        return sample_canvases(pool.canvas)
    if isinstance(given, ImageSource):
        return given.sample(count).usable(pool.canvas)[1]
    return given


def sample_canvases(size: int) -> Canvas:
    """Return crops of scikit-learn's two photographs on the canvas: UINT8 [16, size, size, 3]."""
    crops = []
    generator = np.random.default_rng(0)
    for photograph in load_sample_images().images:
        for _ in range(SAMPLE_CROPS // 2):
            side = int(generator.integers(200, photograph.shape[0]))
            top, left = (int(generator.integers(0, extent - side)) for extent in photograph.shape[:2])
            crops.append(to_canvas(photograph[top : top + side, left : left + side], size))
    return np.stack(crops)
