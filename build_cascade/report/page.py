"""Write the report's files: three PNGs, and one page that contains everything and needs no network."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from build_cascade.evaluator import Evaluator
from build_cascade.report import frontier_figure, stage_figures, words
from build_cascade.report.content import POINT, Report
from build_cascade.report.style import DARK, LIGHT, Drawing, as_data, save_png
from build_cascade.report.table import accuracy_in_words, cells, cost_in_words, exits_in_words, headers
from build_engines.costs.throughput import Throughput
from build_engines.support.atomic_files import write_text_whole
from cascade_core.contract import CASCADE
from cascade_core.spec import Cascade

PAGE = "index.html"


@dataclass(frozen=True)
class Line:
    """One line of a table on the page."""

    cells: tuple[str, ...]
    chosen: bool = False
    indented: bool = False


def write_report(
    report: Report, evaluator: Evaluator, cascade: Cascade, measured: Mapping[str, Throughput], folder: Path
) -> Path:
    """Write figures and page into a folder; return the page.

    Args:
        report: What to show.
        evaluator: What it was made with: how many images, which costs.
        cascade: With its evidence.
        measured: Throughput, by the rows' names; may be empty.
        folder: Created if it does not exist.
    """
    drawings = _drawings(report, cascade)
    for name, drawing in drawings.items():
        save_png(drawing, folder / f"{name}.png")
    template = Environment(
        loader=PackageLoader("build_cascade.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("page.html.j2")
    figures = {
        name: {"light": as_data(drawing, LIGHT), "dark": as_data(drawing, DARK)} for name, drawing in drawings.items()
    }
    content = _sentences(report, evaluator, cascade) | _tables(report, cascade, measured)
    write_text_whole(folder / PAGE, template.render(figures=figures, **content))
    return folder / PAGE


def _drawings(report: Report, cascade: Cascade) -> dict[str, Drawing]:
    stages = tuple(stage.model for stage in cascade.stages)
    title = f"{cascade.name}: {len(report.singles)} {_plural(len(report.singles), 'backbone')} and their cascades"
    return {
        "frontier": functools.partial(frontier_figure.draw, report, stages, title=title),
        "exits": functools.partial(stage_figures.draw_exits, report, stages),
        "coverage": functools.partial(stage_figures.draw_coverage, report),
    }


def _sentences(report: Report, evaluator: Evaluator, cascade: Cascade) -> dict[str, Any]:
    return {
        "name": cascade.name,
        "stages": " → ".join(stage.model for stage in cascade.stages),
        "backbones": len(report.singles),
        "images": report.chosen.evaluation.images,
        "unit": report.unit,
        "measure": report.measure.capitalize(),
        "errors": report.errors,
        "headline": words.headline(report),
        "guarantee": words.guarantee(cascade),
        "consistency": words.consistency(cascade),
        "how_chosen": words.how_chosen(evaluator, cascade, report),
        "warnings": [*filter(None, [report.measured_note]), *words.warnings(evaluator, cascade)],
    }


def _tables(report: Report, cascade: Cascade, measured: Mapping[str, Throughput]) -> dict[str, Any]:
    return {
        "measured": bool(measured),
        "headers": headers(report, measured),
        "rows": [Line(cells(row, report, measured), row.kind == CASCADE, row.kind == POINT) for row in report.rows],
        "frontier_note": report.frontier_note,
        "star_headers": ("star", "stages", f"{report.measure} % (95%)", report.unit, "exits %"),
        "stars": _stars(report),
        "point_headers": (
            "",
            "thresholds",
            f"{report.measure} % (95%)",
            report.unit,
            f"against {report.reference.name}",
        ),
        "points": _points(report, cascade),
    }


def _stars(report: Report) -> list[Line]:
    return [
        Line(
            (
                str(number),
                result.name,
                accuracy_in_words(result.evaluation),
                cost_in_words(result.evaluation.mean_cost, report),
                exits_in_words(result.evaluation),
            )
        )
        for number, result in enumerate(report.stars, start=1)
    ]


def _points(report: Report, cascade: Cascade) -> list[Line]:
    return [
        Line(
            (
                row.name.strip(),
                words.thresholds_in_words(cascade.thresholds_at(row.name.strip())),
                accuracy_in_words(row.evaluation),
                cost_in_words(row.evaluation.mean_cost, report),
                words.saving(row.evaluation, report.reference.evaluation).rsplit(" ", 1)[0],
            )
        )
        for row in report.points
    ]


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"
