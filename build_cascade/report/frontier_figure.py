"""Accuracy against mean cost: single backbones, ensembles and cascades (figure 1 of "Wisdom of Committees")."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from build_cascade.evaluation import Evaluation
from build_cascade.report.content import CommitteeResult, Report
from build_cascade.report.labels import Label, Other, place_labels
from build_cascade.report.style import Theme, new_figure, on_paper

HEIGHT_INCHES = 5.0
LINE_INCHES = 0.2  # of a star in the list below
LINE_LETTERS = 105
STAR, CHOSEN_STAR = 230, 420
STAR_PIXELS, CHOSEN_PIXELS = 10, 15


def draw(report: Report, stages: Sequence[str], theme: Theme, title: str) -> Figure:
    """Draw it; stars are numbered, and their stages are listed below.

    Args:
        report: What to draw.
        stages: Of the chosen cascade.
        theme: The colours.
        title: Above the axes.
    """
    figure, axes = new_figure(HEIGHT_INCHES + LINE_INCHES * (len(report.stars) + 1))
    _draw_line(axes, report, theme)
    _draw_points(axes, report, theme)
    _draw_stars(axes, report, theme)
    _dress(axes, report, title)
    figure.legend(loc="outside upper left", ncols=5, frameon=False, fontsize=9)
    _list_stars(figure, report, " → ".join(stages), theme)
    _name_singles(axes, report, theme)
    return figure


def _at(seen: Evaluation, report: Report) -> tuple[float, float]:
    return seen.mean_cost * report.factor, seen.accuracy * 100


def _draw_line(axes: Axes, report: Report, theme: Theme) -> None:
    points = [_at(result.evaluation, report) for result in report.frontier]
    x, y = zip(*points, strict=True) if points else ((), ())
    axes.plot(x, y, color=theme.cascade, alpha=0.8, linewidth=1.2, label="frontier on calibration", zorder=2)


def _draw_points(axes: Axes, report: Report, theme: Theme) -> None:
    for row in (*report.singles, report.chosen):
        x, _ = _at(row.evaluation, report)
        low, high = (100 * bound for bound in row.evaluation.interval)
        colour = theme.chosen if row is report.chosen else theme.single
        axes.plot([x, x], [low, high], color=colour, alpha=0.4, linewidth=1, zorder=1)
    _scatter(axes, [_at(row.evaluation, report) for row in report.singles], "o", theme.single, "single backbone")
    _scatter(axes, [_at(result.evaluation, report) for result in report.ensembles], "s", theme.ensemble, "ensemble")


def _scatter(axes: Axes, points: Sequence[tuple[float, float]], marker: str, colour: str, label: str) -> None:
    if points:
        x, y = zip(*points, strict=True)
        axes.scatter(x, y, s=34, c=colour, marker=marker, zorder=4, label=label)


def _draw_stars(axes: Axes, report: Report, theme: Theme) -> None:
    for number, result in enumerate(report.stars, start=1):
        x, y = _at(result.evaluation, report)
        label = "cascade" if number == 1 else None
        axes.scatter(x, y, s=STAR, c=theme.cascade, marker="*", zorder=5, label=label)
        axes.annotate(str(number), (x, y), color=on_paper(theme.cascade), zorder=6, **_in_the_middle())
    x, y = _at(report.chosen.evaluation, report)
    axes.scatter(
        x, y, s=CHOSEN_STAR, c=theme.chosen, marker="*", edgecolors=theme.ink, zorder=7, label="chosen cascade"
    )


def _in_the_middle() -> dict[str, Any]:
    return {"ha": "center", "va": "center_baseline", "fontsize": 7, "fontweight": "bold"}


def _dress(axes: Axes, report: Report, title: str) -> None:
    axes.set(xscale="log", xlabel=f"mean cost per image ({report.unit})", ylabel=f"{report.measure} (%)")
    axes.margins(x=0.08, y=0.08)
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(which="both")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _list_stars(figure: Figure, report: Report, stages: str, theme: Theme) -> None:
    listed = [("", CommitteeResult((stages,), report.chosen.evaluation), theme.chosen)]
    listed += [(str(number), result, theme.cascade) for number, result in enumerate(report.stars, start=1)]
    handles: list[Any] = [_handle(number, colour) for number, _, colour in listed]
    texts = [textwrap.fill(result.name, LINE_LETTERS) for _, result, _ in listed]
    figure.legend(
        handles,
        texts,
        loc="outside lower left",
        frameon=False,
        fontsize=9,
        handler_map={tuple: HandlerTuple(ndivide=1, pad=0)},
        handletextpad=0.3,
    )


def _handle(number: str, colour: str) -> tuple[Artist, ...]:
    star = Line2D([], [], linestyle="", marker="*", color=colour, markersize=14)
    if not number:
        return (star,)
    return (
        star,
        Line2D([], [], linestyle="", marker=f"${number}$", color=on_paper(colour), markersize=4, markeredgewidth=0.3),
    )


def _name_singles(axes: Axes, report: Report, theme: Theme) -> None:
    labels = [Label(row.name, *_at(row.evaluation, report)) for row in report.singles]
    plain = [Other(*_at(result.evaluation, report)) for result in (*report.ensembles, *report.frontier)]
    stars = [Other(*_at(result.evaluation, report), STAR_PIXELS) for result in report.stars]
    chosen = Other(*_at(report.chosen.evaluation, report), CHOSEN_PIXELS)
    place_labels(axes, labels, [*plain, *stars, chosen], theme.ink, theme.paper)
