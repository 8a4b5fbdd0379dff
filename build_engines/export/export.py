"""Export a pool: every backbone as one checked ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from build_engines.errors import BuildError, CheckError
from build_engines.images.canvas import Canvas
from build_engines.images.source import ImageSource
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.manifest import ExportManifest
from build_engines.support.progress import OnProgress, ignore_progress, tracked


@dataclass(frozen=True)
class ExportResult:
    """How the export of one backbone went.

    Attributes:
        manifest: Of its up-to-date ONNX file; None if it was refused.
        is_new: Whether it was exported just now, rather than reused.
        error: Why it was refused.
    """

    name: str
    manifest: ExportManifest | None = None
    is_new: bool = False
    error: BuildError | None = None


def export_pool(
    build: PoolBuild, images: ImageSource | Canvas | None = None, on_progress: OnProgress = ignore_progress
) -> list[ExportResult]:
    """Export every backbone of a pool that has no up-to-date ONNX file; one that is refused does not stop the others.

    Args:
        build: Of the pool.
        images: To compare on: a source of images, canvases UINT8 [N, S, S, 3], or None for crops of two
            photographs.
        on_progress: Called for each backbone that is exported.

    Returns:
        The results in the pool's order, of reused files too; see `check_exported`.

    Raises:
        PoolError: unknown architecture or tag, known before anything is exported.
        WeightsError: weights are missing, known before as well.
        ImageSourceError: none of the images can be used.
    """
    results = {built.name: ExportResult(built.name, built.manifest()) for built in build}
    missing = [built for built in build if results[built.name].manifest is None]
    if missing:
        from build_engines.export.backbone import check_sources  # noqa: PLC0415 (torch takes seconds)
        from build_engines.images.samples import comparison_images  # noqa: PLC0415 (scikit-learn takes a second)

        check_sources(build)
        canvases = comparison_images(build.pool, images)
        for built in tracked(missing, "exporting", on_progress):
            results[built.name] = _export(built, canvases)
    return list(results.values())


def check_exported(results: Sequence[ExportResult]) -> None:
    """Check that there is an ONNX file of every backbone.

    Raises:
        CheckError: there is not; the message has all the reasons.
    """
    if errors := [str(result.error) for result in results if result.error]:
        raise CheckError("\n".join(errors))


def _export(built: BackboneBuild, canvases: Canvas) -> ExportResult:
    from build_engines.export.backbone import export_backbone  # noqa: PLC0415 (torch takes seconds)

    try:
        return ExportResult(built.name, export_backbone(built, canvases), is_new=True)
    except BuildError as error:
        return ExportResult(built.name, error=error)
