"""Place names next to points so that they cover neither each other nor the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patheffects import withStroke

Boxes = npt.NDArray[np.float64]

DISTANCES = (9.0, 16.0, 26.0, 40.0, 60.0)  # pixels
ANGLES = 16
LED_FROM = 14.0  # a name farther away than this gets a line to its point
MARKER = 7.0
FONT_SIZE = 8
HALO = 2.5
POINTS_AN_INCH = 72
ON_A_NAME, ON_A_POINT, OUTSIDE = 30.0, 12.0, 100.0  # cost of a covered pixel
AWAY = 1.5  # cost of a pixel of distance


@dataclass(frozen=True)
class Label:
    """A name, and the point in data coordinates that it belongs to."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Other:
    """Another point in data coordinates; its marker reaches about `radius` pixels to each side."""

    x: float
    y: float
    radius: float = MARKER


def place_labels(axes: Axes, labels: Sequence[Label], others: Sequence[Other], colour: str, paper: str) -> None:
    """Write every label near its point.

    Args:
        axes: With scales and limits as they will stay.
        labels: What to write.
        others: Further points to leave uncovered.
        colour: Of the text.
        paper: The colour behind it, drawn around the letters: lines may pass below.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 (axes of a figure)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    to_pixels = axes.transData.transform
    points = to_pixels([(label.x, label.y) for label in labels])
    markers = [_around(x, y, MARKER, MARKER) for x, y in points]
    for other in others:
        x, y = to_pixels((other.x, other.y))
        markers.append(_around(x, y, other.radius, other.radius))
    taken: list[Boxes] = []
    frame = np.array(axes.get_window_extent().extents)
    for label, point in zip(labels, points, strict=True):
        offset, box = _best(point, _size(axes, label.name), np.array(markers), taken, frame)
        taken.append(box)
        _write(axes, label, offset, _distance(point, box) > LED_FROM, colour, paper)


def _best(
    point: Boxes, size: tuple[float, float], markers: Boxes, taken: Sequence[Boxes], frame: Boxes
) -> tuple[tuple[float, float], Boxes]:
    """Try positions around the point; return the offset of the text's centre and the text's box at the best."""
    best: tuple[float, tuple[float, float], Boxes] | None = None
    for distance in DISTANCES:
        for angle in np.linspace(0, 2 * math.pi, ANGLES, endpoint=False):
            offset = (
                math.cos(angle) * (distance + size[0] / 2),
                math.sin(angle) * (distance + size[1] / 2),
            )
            box = _around(point[0] + offset[0], point[1] + offset[1], size[0] / 2, size[1] / 2)
            penalty = AWAY * distance + OUTSIDE * _sticks_out(box, frame)
            penalty += ON_A_POINT * _covered(box, markers) + ON_A_NAME * _covered(box, np.array(taken))
            if best is None or penalty < best[0]:
                best = (penalty, offset, box)
    assert best is not None  # noqa: S101 (there are places to try)
    return best[1], best[2]


def _write(axes: Axes, label: Label, offset: tuple[float, float], far: bool, colour: str, paper: str) -> None:
    points = POINTS_AN_INCH / axes.figure.dpi  # of a pixel: a file may be saved at other dots an inch
    text = axes.annotate(
        label.name,
        (label.x, label.y),
        xytext=(offset[0] * points, offset[1] * points),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=FONT_SIZE,
        color=colour,
        path_effects=[withStroke(linewidth=HALO, foreground=paper)],
        arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": colour, "alpha": 0.6} if far else None,
    )
    text.set_in_layout(False)


def _distance(point: Boxes, box: Boxes) -> float:
    """Return how far a point is from a box."""
    return float(np.hypot(*np.maximum(box[:2] - point, point - box[2:]).clip(0)))


def _size(axes: Axes, name: str) -> tuple[float, float]:
    text = axes.text(0, 0, name, fontsize=FONT_SIZE)
    box = text.get_window_extent()
    text.remove()
    return box.width + 4, box.height + 2


def _around(x: float, y: float, half_width: float, half_height: float) -> Boxes:
    return np.array([x - half_width, y - half_height, x + half_width, y + half_height])


def _covered(box: Boxes, others: Boxes) -> float:
    """Return how many pixels of other boxes lie under a box, as a length: the root of the area."""
    if not len(others):
        return 0.0
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return float(np.sqrt((high - low).clip(0).prod(axis=1)).sum())


def _sticks_out(box: Boxes, frame: Boxes) -> float:
    return float((frame[:2] - box[:2]).clip(0).sum() + (box[2:] - frame[2:]).clip(0).sum())
