"""A contact sheet: photographs with their label, their confidence and the stage that answered."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from build_cascade.report.style import Theme, on_paper, save_png
from build_engines.images.canvas import to_canvas
from cascade_client import Classification
from cascade_core.spec import Cascade

COLUMNS = 4
TILE_PIXELS = 320
TILE_INCHES, CAPTION_INCHES = 2.0, 0.75
LABEL_CHARACTERS = 24


def write_contact_sheet(
    photographs: Sequence[Path], answers: Sequence[Classification], cascade: Cascade, path: Path
) -> None:
    """Write the photographs, each with its answer, as one PNG.

    Args:
        photographs: The files.
        answers: One for each.
        cascade: What answered.
        path: The PNG.
    """

    def draw(theme: Theme) -> Figure:
        rows = math.ceil(len(photographs) / COLUMNS)
        size = (COLUMNS * TILE_INCHES, rows * (TILE_INCHES + CAPTION_INCHES))
        figure = Figure(figsize=size, layout="constrained")
        tiles = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        for tile in tiles:
            tile.axis("off")
        for tile, photograph, answer in zip(tiles, photographs, answers, strict=False):
            tile.imshow(to_canvas(photograph, TILE_PIXELS))
            _caption(tile, answer, cascade, theme)
        return figure

    save_png(draw, path)


def _caption(tile: Axes, answer: Classification, cascade: Cascade, theme: Theme) -> None:
    label = textwrap.shorten(answer.label, LABEL_CHARACTERS, placeholder=" …")
    below: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    tile.annotate(label, (0, 0), (0, -4), fontsize=9, fontweight="bold", **below)
    stage, colour = cascade.stages[answer.exit_stage - 1].model, theme.stages[answer.exit_stage - 1]
    badge: dict[str, Any] = {"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "none"}
    tile.annotate(
        f"{answer.exit_stage} {stage}",
        (0, 0),
        (3, -22),
        fontsize=8,
        color=on_paper(colour),
        bbox=badge,
        **below,
    )
    tile.annotate(
        f"{cascade.confidence.replace('_', ' ')} {answer.confidence:.2f}",
        (1, 0),
        (0, -22),
        fontsize=8,
        ha="right",
        **below,
    )
