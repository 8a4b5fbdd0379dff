"""What the figures share: colours for light and dark backgrounds, and how they become files."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from build_engines.support.atomic_files import write_whole

DOTS_PER_INCH = 150
WIDTH_INCHES = 8.0


@dataclass(frozen=True)
class Theme:
    """The colours of a figure; `stages` are those of the first to the fourth stage."""

    paper: str
    ink: str
    faint: str
    single: str
    ensemble: str
    cascade: str
    chosen: str
    stages: tuple[str, ...]

    def settings(self) -> dict[Any, Any]:  # some versions of matplotlib list every key in their annotations
        """Return matplotlib's settings for these colours."""
        ink = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        paper = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
        return {
            **dict.fromkeys(ink, self.ink),
            **dict.fromkeys(paper, self.paper),
            "grid.color": self.faint,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "report",  # the same figure is the same file
        }


LIGHT = Theme(
    paper="#ffffff",
    ink="#1f2328",
    faint="#e3e6ea",
    single="#2f6fbb",
    ensemble="#2e8b57",
    cascade="#e08a1e",
    chosen="#c62839",
    stages=("#8fbce6", "#4f8fd0", "#2a63a3", "#173b66"),
)
DARK = Theme(
    paper="#16191d",
    ink="#e6e8eb",
    faint="#343a41",
    single="#74b0f4",
    ensemble="#62c48d",
    cascade="#f0ab52",
    chosen="#ff6b7a",
    stages=("#2d5a8a", "#4c86c2", "#7db2e8", "#b9d8f7"),
)

Drawing = Callable[[Theme], Figure]


def new_figure(height_inches: float) -> tuple[Figure, Axes]:
    """Return a figure of the common width, and its axes."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure, figure.subplots()


def on_paper(colour: str) -> str:
    """Return black or white, whichever is more readable on a colour."""
    red, green, blue = mpl.colors.to_rgb(colour)
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "#ffffff"  # noqa: PLR2004 (BT.601)


def save_png(drawing: Drawing, path: Path) -> None:
    """Save a figure on a light background as PNG."""
    with mpl.rc_context(LIGHT.settings()):
        figure = drawing(LIGHT)
        write_whole(path, lambda aside: figure.savefig(aside, dpi=DOTS_PER_INCH, format="png"))


def as_data(drawing: Drawing, theme: Theme) -> str:
    """Return a figure as an SVG in a data URL."""
    with mpl.rc_context(theme.settings()), io.BytesIO() as file:
        drawing(theme).savefig(file, format="svg", metadata={"Date": None})
        return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
