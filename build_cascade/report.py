"""Show what a pool and its cascade do: a table in the terminal and the accuracy-against-cost plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from rich.table import Table

from build_cascade.choice import Bench
from build_cascade.errors import ChoiceError
from build_cascade.evaluation import Evaluation
from build_cascade.search import Candidate, Committee
from build_engines.files import write_whole
from cascade_spec import Cascade

CASCADE = "cascade"
POINT = "operating point"
ENSEMBLE = "ensemble of all"
DOTS_PER_INCH = 150
NEVER = float("inf")


@dataclass(frozen=True)
class Row:
    """Hold one line of the report: what something does on the test images."""

    name: str
    kind: str
    evaluation: Evaluation


@dataclass(frozen=True)
class Report:
    """Hold what is shown of a pool and its cascade.

    Attributes:
        rows: Single backbones, their ensemble, the cascade and its operating points.
        frontier: Of the search, on the test images.
        factor: What a cost is multiplied by to be shown in `unit`.
        unit: Of the shown costs.
    """

    rows: tuple[Row, ...]
    frontier: tuple[Evaluation, ...]
    factor: float
    unit: str

    @classmethod
    def of(cls, bench: Bench, cascade: Cascade, frontier: Sequence[Candidate]) -> Self:
        """Replay everything on the test images."""
        foreign = [stage.model for stage in cascade.stages if stage.model not in bench.test.names]
        if foreign:
            raise ChoiceError(
                f"cascade.json has the stage {foreign[0]!r}, which is not in this pool; "
                "give the pool it was made of, or search again"
            )
        by_cost = sorted(bench.test.names, key=lambda name: bench.costs[name])
        committee = Committee(
            tuple(stage.model for stage in cascade.stages), cascade.rule.weights, cascade.confidence, cascade.combine
        )
        singles = [Row(name, "single", bench.on_test(Committee.of([name]))) for name in by_cost]
        ensemble = Row(ENSEMBLE, "ensemble", bench.on_test(Committee.of(by_cost), [NEVER] * (len(by_cost) - 1)))
        chosen = Row(CASCADE, "cascade", bench.on_test(committee, cascade.thresholds))
        points = [
            Row(f"  {name}", POINT, bench.on_test(committee, cascade.thresholds_at(name)))
            for name in cascade.operating_points
        ]
        return cls(
            (*singles, ensemble, chosen, *points),
            tuple(bench.on_test(candidate.committee, candidate.thresholds) for candidate in frontier),
            *bench.costs.shown(),
        )


def table(report: Report, cascade: Cascade, images_per_s: Mapping[str, float]) -> Table:
    """Return the report as a table for the terminal."""
    images = report.rows[0].evaluation.images
    title = f"{cascade.name}: {' → '.join(stage.model for stage in cascade.stages)} (on {images} test images)"
    result = Table(title=title)
    for header in ("", "accuracy % (95 %)", report.unit, "worst", "images/s", "exits %"):
        result.add_column(header, no_wrap=True)
    for row in report.rows:
        seen = row.evaluation
        result.add_row(
            row.name,
            f"{seen.accuracy:.1%} ({seen.interval[0]:.1%}–{seen.interval[1]:.1%})".replace("%", ""),
            f"{seen.mean_cost * report.factor:.3g}",
            f"{seen.worst_cost * report.factor:.3g}",
            f"{images_per_s[row.name]:.0f}" if row.name in images_per_s else "",
            " / ".join(f"{rate:.0%}" for rate in seen.exit_rates).replace("%", "")
            if row.kind in {CASCADE, POINT}
            else "",
            style="bold" if row.kind == CASCADE else None,
        )
    return result


def plot(report: Report, path: Path, title: str) -> None:
    """Save accuracy against mean cost as PNG: singles as dots, ensembles as squares, cascades as stars."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7.5, 4.8), layout="constrained")
        axes = figure.subplots()
        _draw_frontier(axes, report)
        for row in _distinct(report.rows):
            _draw_row(axes, row, report.factor)
        axes.set(xscale="log", xlabel=f"mean cost of an image ({report.unit})", ylabel="accuracy (%)")
        axes.set_title(title, loc="left", fontsize=11)
        axes.grid(alpha=0.25, which="both")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(loc="lower right", frameon=False)
    write_whole(path, lambda aside: figure.savefig(aside, dpi=DOTS_PER_INCH, format="png"))


def _draw_frontier(axes: Axes, report: Report) -> None:
    cost = [seen.mean_cost * report.factor for seen in report.frontier]
    accuracy = [seen.accuracy * 100 for seen in report.frontier]
    axes.plot(
        cost,
        accuracy,
        color="tab:orange",
        alpha=0.6,
        linewidth=1.2,
        label="best cascades (chosen on calibration)",
    )


def _draw_row(axes: Axes, row: Row, factor: float) -> None:
    styles = {
        "single": ("o", "tab:blue", 45),
        "ensemble": ("s", "tab:green", 45),
        CASCADE: ("*", "tab:red", 190),
        POINT: ("*", "tab:red", 60),
    }
    marker, colour, size = styles[row.kind]
    seen = row.evaluation
    x, y = seen.mean_cost * factor, seen.accuracy * 100
    if row.kind in {"single", CASCADE}:
        below, above = ((seen.accuracy - seen.interval[0]) * 100, (seen.interval[1] - seen.accuracy) * 100)
        axes.errorbar(x, y, [[below], [above]], color=colour, alpha=0.35, linewidth=1)
    label = "this cascade, served" if row.kind == CASCADE else None
    axes.scatter(x, y, s=size, c=colour, marker=marker, zorder=3, label=label)
    side = {"ensemble": "right", POINT: "right"}.get(row.kind, "left")
    offset = (7, -11) if side == "left" else (-7, 7)
    axes.annotate(row.name.strip(), (x, y), xytext=offset, textcoords="offset points", fontsize=9, ha=side)


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Leave out operating points that lie where the cascade itself lies."""
    chosen = next(row.evaluation for row in rows if row.kind == CASCADE)
    return [row for row in rows if row.kind != POINT or row.evaluation != chosen]
