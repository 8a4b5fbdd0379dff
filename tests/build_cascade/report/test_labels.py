from __future__ import annotations

import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from build_cascade.report.labels import Label, place_labels


def test_names_cover_neither_each_other_nor_the_points():
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    generator = np.random.default_rng(0)
    points = generator.random((20, 2)) * [0.3, 1.0]
    axes.set_xlim(-0.4, 0.7)
    axes.scatter(*points.T)
    place_labels(axes, [Label(f"backbone_{i}", x, y) for i, (x, y) in enumerate(points)], [], "black", "white")
    figure.draw_without_rendering()
    # The leading line of an annotation is no part of what may cover.
    boxes = [Text.get_window_extent(annotation) for annotation in axes.texts]
    pixels = axes.transData.transform(points)
    assert len(boxes) == 20
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.contains(*pixel) for box in boxes for pixel in pixels)
