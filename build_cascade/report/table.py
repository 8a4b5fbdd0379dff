"""The report's table, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from build_cascade.evaluation import Evaluation
from build_cascade.report.content import POINT, Report, Row
from build_engines.costs.throughput import Throughput
from build_engines.tables import keep_whole
from cascade_core.contract import CASCADE
from cascade_core.spec import Cascade


def headers(report: Report, measured: Mapping[str, Throughput]) -> tuple[str, ...]:
    """Return the headers of the columns."""
    other = (report.other_costs.shown()[1],) if report.other_costs else ()
    speed = ("images/s", "served") if measured else ("images/s",)
    return ("", f"{report.measure} % (95%)", report.unit, "worst", *other, *speed, "exits %")


def cells(row: Row, report: Report, measured: Mapping[str, Throughput]) -> tuple[str, ...]:
    """Return the cells of a row as they are shown."""
    return (
        row.name,
        accuracy_in_words(row.evaluation),
        cost_in_words(row.evaluation.mean_cost, report),
        cost_in_words(row.evaluation.worst_cost, report),
        *_by_other_costs(row, report),
        *_speed(row, measured),
        exits_in_words(row.evaluation) if row.kind in {CASCADE, POINT} else "",
    )


def _speed(row: Row, measured: Mapping[str, Throughput]) -> tuple[str, ...]:
    seen = measured.get(row.name)
    if not measured:
        return ("",)
    return (f"{seen.images_per_s:.0f}", seen.served) if seen else ("", "")


def _by_other_costs(row: Row, report: Report) -> tuple[str, ...]:
    costs = report.other_costs
    return (f"{row.evaluation.mean_cost_by(costs, row.stages) * costs.shown()[0]:.3g}",) if costs else ()


def accuracy_in_words(seen: Evaluation) -> str:
    """Return accuracy, or agreement, and its interval in per cent, such as 98.8 (97.4–99.4)."""
    return f"{seen.accuracy:.1%} ({seen.interval[0]:.1%}–{seen.interval[1]:.1%})".replace("%", "")


def cost_in_words(cost: float, report: Report) -> str:
    """Return a cost in the unit shown, without the unit."""
    return f"{cost * report.factor:.3g}"


def exits_in_words(seen: Evaluation) -> str:
    """Return the share of images that exit at each stage, in per cent."""
    return " / ".join(f"{rate:.0%}" for rate in seen.exit_rates).replace("%", "")


def table(report: Report, cascade: Cascade, measured: Mapping[str, Throughput]) -> Table:
    """Return the report as a table for the terminal."""
    images = report.rows[0].evaluation.images
    title = f"{cascade.name}: {' → '.join(stage.model for stage in cascade.stages)} (on {images} test images)"
    result = Table(*headers(report, measured), title=title)
    for row in report.rows:
        result.add_row(*cells(row, report, measured), style="bold" if row.kind == CASCADE else None)
    return keep_whole(result, headers(report, measured)[0])
