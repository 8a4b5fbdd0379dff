"""What happens at each stage of the cascade: where images exit, and how often a confident answer is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from build_cascade.report.content import Report, Row
from build_cascade.report.coverage import Curve
from build_cascade.report.style import Theme, new_figure, on_paper
from build_cascade.report.table import exits_in_words

BAR_INCHES = 0.42
LEAST_NAMED = 0.06  # a narrower part of a bar is too small for its number
DRAWN_POINTS = 600
LONGEST_BESIDE = 26  # letters of a name in a legend of two columns
COVERAGE_INCHES = 4.6


def draw_exits(report: Report, stages: tuple[str, ...], theme: Theme) -> Figure:
    """Draw the share of images that exit at each stage, one bar for the cascade and for each operating point."""
    rows = [report.chosen, *report.points]
    figure, axes = new_figure(1.5 + BAR_INCHES * len(rows))
    for height, row in enumerate(rows):
        _draw_bar(axes, height, row, theme)
    axes.set_yticks(range(len(rows)), [row.name.strip() for row in rows])
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="images that exit at the stage (% of the test images)")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    handles = [Patch(color=theme.stages[place], label=f"{place + 1}  {stage}") for place, stage in enumerate(stages)]
    figure.legend(handles=handles, loc="outside upper left", ncols=_columns(stages), frameon=False, fontsize=9)
    return figure


def _draw_bar(axes: Axes, height: int, row: Row, theme: Theme) -> None:
    left = 0.0
    for colour, rate in zip(theme.stages, row.evaluation.exit_rates, strict=False):
        axes.barh(height, 100 * rate, left=left, color=colour, height=0.7)
        if rate >= LEAST_NAMED:
            middle = left + 50 * rate
            axes.text(middle, height, f"{rate:.0%}", ha="center", va="center", fontsize=9, color=on_paper(colour))
        left += 100 * rate
    axes.text(101, height, exits_in_words(row.evaluation), ha="left", va="center", fontsize=9)


def _columns(names: Sequence[str]) -> int:
    """Return how many names of a legend fit in one row."""
    return 2 if max(map(len, names)) <= LONGEST_BESIDE else 1


def draw_coverage(report: Report, theme: Theme) -> Figure:
    """Draw the risk of each stage, with those before it, among the images of highest confidence."""
    figure, axes = new_figure(COVERAGE_INCHES)
    for place, (curve, colour) in enumerate(zip(report.curves, theme.stages, strict=False)):
        _draw_curve(axes, curve, place, colour)
    marked = [curve for curve in report.curves if curve.chosen]
    if marked:
        x, y = zip(*((100 * curve.chosen[0], 100 * curve.chosen[1]) for curve in marked if curve.chosen), strict=True)
        axes.scatter(x, y, s=60, c=theme.chosen, edgecolors=theme.paper, zorder=5, label="at the chosen threshold")
    axes.set(
        xlim=(_first_error(report.curves), 100.5),
        xlabel="coverage: images above a confidence (% of the test images)",
        ylabel=f"risk: {report.errors} among them (%)",
    )
    axes.set_ylim(bottom=0)
    axes.grid()
    axes.set_axisbelow(True)
    figure.legend(
        loc="outside upper left", ncols=_columns([curve.name for curve in report.curves]), frameon=False, fontsize=9
    )
    return figure


def _first_error(curves: Sequence[Curve]) -> float:
    """Return the coverage in per cent, a little below where any stage errs: there is nothing to see to its left."""
    coverage = min(float(curve.coverage[curve.risk > 0].min(initial=1.0)) for curve in curves)
    return max(0.0, 10 * math.floor(10 * coverage - 1))


def _draw_curve(axes: Axes, curve: Curve, place: int, colour: str) -> None:
    kept = np.unique(np.linspace(0, len(curve.coverage) - 1, DRAWN_POINTS).astype(int))
    name = f"after stage {place + 1}, {curve.name}"
    style = ("solid", "dashed", "dashdot", "dotted")[place]
    axes.plot(100 * curve.coverage[kept], 100 * curve.risk[kept], color=colour, linestyle=style, label=name)
