"""The tables that `build-engines` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from build_engines.costs.costs import Costs
from build_engines.costs.published import published
from build_engines.doctor.finding import Finding
from build_engines.export.audit import Audit
from build_engines.export.export import ExportResult
from build_engines.plans.pool_plans import PlanResult
from build_engines.plans.record import PlanAgreement, PlanRecord
from build_engines.pool.manifest import ExportManifest
from build_engines.pool.schema import Pool

if TYPE_CHECKING:
    from build_engines.costs.macs_profile import Profile

NOTHING = "–"
NOT_MEASURED: Mapping[int, Costs] = MappingProxyType({})


def export_table(title: str, results: Sequence[ExportResult]) -> Table:
    """Return the cost of each exported backbone, and the agreement of its file with its source; or that it is refused.

    Pixels and classes are those of the fused preprocessing against the one that the backbone asks for.
    """
    columns = ("backbone", "MMACs", "ONNX − source", "pixels: max, mean", "same class")
    table = Table(*columns, title=title, padding=0)
    for result in results:
        if result.manifest is None:
            table.add_row(result.name, *3 * [NOTHING], "refused", style="red")
        else:
            table.add_row(result.name, *_export_row(result.manifest))
    return keep_whole(table, "backbone", "MMACs")


def audit_table(audits: Sequence[Audit]) -> Table:
    """Return the problems of each exported file, and the time and memory that the export took."""
    columns = ("backbone", "exported", "unlisted by TensorRT", "leftovers", "ONNX − source", "s", "peak GiB", "MiB")
    table = Table(*columns, padding=0)
    for audit in audits:
        reused = audit.problem is None and audit.seconds is None
        table.add_row(
            audit.backbone,
            "no" if audit.problem else ("reused" if reused else "yes"),
            ", ".join(audit.unlisted) or NOTHING,
            ", ".join(audit.leftovers) or NOTHING,
            _number(audit.difference, 1, ".0e"),
            _number(audit.seconds, 1, ".0f"),
            _number(audit.peak_bytes, 2**30, ".1f"),
            _number(audit.size_bytes, 2**20, ".0f"),
            style=None if audit.is_clean else "red",
        )
    return keep_whole(table, "backbone")


def profile_table(pool: Pool, profiles: Sequence[Profile], measured: Mapping[int, Costs] = NOT_MEASURED) -> Table:
    """Return the cost of one image in each backbone, also as measured by batch size, and its weights' licence."""
    figures = {profile.backbone.name: published(profile.backbone) for profile in profiles}
    shown = {source: None for known in figures.values() for source in list(known)[:1]}
    columns = ("backbone", "pixels", "GMACs", "published", "M weights", "weights", "licence")
    table = Table(*columns, title=pool.name, padding=0)
    table.caption = f"published: {'; '.join(shown)}" if shown else None
    for batch, costs in measured.items():
        table.add_column(f"{costs.unit}, batch {batch}")
    for profile in profiles:
        backbone = profile.backbone
        table.add_row(
            backbone.name,
            str(backbone.input_size),
            f"{profile.gmacs:.4g}",
            _number(next(iter(figures[backbone.name].values()), None), 1, ".4g"),
            f"{profile.parameters / 1e6:.1f}",
            profile.weights,
            profile.licence or NOTHING,
            *(f"{costs[backbone.name]:.3g}" for costs in measured.values()),
        )
    return keep_whole(table, "backbone", "pixels", "GMACs", "published")


def plan_table(results: Sequence[PlanResult]) -> Table:
    """Return the size of each plan, the time it took to build, and its agreement with ONNX Runtime."""
    table = Table("backbone", "batch", "seconds", "MB", "plan − ONNX Runtime", "")
    for result in results:
        if result.record is None:
            table.add_row(result.name, *4 * [NOTHING], "no plan", style="red")
        else:
            table.add_row(result.name, *_plan_row(result.record), "built" if result.is_new else "reused")
    return keep_whole(table, "backbone")


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return all findings of the doctor."""
    table = Table("", "what", "found", "what to do")
    for finding in findings:
        mark = "[green]✓[/]" if finding.is_ok else "[bold red]✗[/]"
        table.add_row(mark, escape(finding.subject), escape(finding.found), escape(finding.advice))
    return keep_whole(table, "what")


def keep_whole(table: Table, *headers: str) -> Table:
    """Give some columns the width that they need before all others; what still does not fit is folded, not cut."""
    for column in table.columns:
        column.overflow = "fold"
        if column.header in headers:
            column.width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    return table


def _number(value: float | None, unit: float, form: str) -> str:
    return NOTHING if value is None else format(value / unit, form)


def _export_row(manifest: ExportManifest) -> tuple[str, ...]:
    pixels = manifest.preprocessing
    return (
        f"{manifest.gmacs * 1000:.4g}",
        f"{manifest.graph.largest_probability_difference:.0e}",
        f"{pixels.largest_pixel_difference:.1f}, {pixels.mean_pixel_difference:.2f} of 255",
        f"{pixels.class_agreement:.1%} of {pixels.images}",
    )


def _plan_row(record: PlanRecord) -> tuple[str, ...]:
    batch = " / ".join(map(str, record.options.batch))
    return batch, f"{record.seconds:.0f}", f"{record.size_bytes / 1e6:.1f}", _plan_agreement(record.check)


def _plan_agreement(agreement: PlanAgreement | None) -> str:
    if agreement is None:
        return "not compared"
    difference, same = agreement.largest_probability_difference, agreement.class_agreement
    return f"{difference:.0e}, same class on {same:.1%} of {agreement.images}"
