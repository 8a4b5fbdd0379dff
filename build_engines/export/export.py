"""Export a pool: every backbone as one checked ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build_engines.images.canvas import Canvas
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.manifest import ExportManifest
from build_engines.support.progress import OnProgress, ignore_progress, tracked


@dataclass(frozen=True)
class ExportedBackbone:
    """A backbone's up-to-date ONNX file.

    Attributes:
        is_new: Whether it was exported just now, rather than reused.
    """

    name: str
    manifest: ExportManifest
    is_new: bool


def export_pool(
    build: PoolBuild, images: Path | Canvas | None = None, on_progress: OnProgress = ignore_progress
) -> list[ExportedBackbone]:
    """Export every backbone of a pool that has no up-to-date ONNX file.

    Args:
        build: Of the pool.
        images: To compare on: a folder of labelled images, canvases UINT8 [N, S, S, 3], or None for crops of two
            photographs.
        on_progress: Called for each backbone that is exported.

    Returns:
        The backbones in the pool's order, reused ones too.

    Raises:
        PoolError: unknown architecture or arguments.
        WeightsError: weights are missing or do not fit; nothing is exported where that can be known before.
        CheckError: a file does not agree with PyTorch, or its preprocessing with timm's; it is not kept, those before
            it are.
        ImageFolderError: the folder of images cannot be used.
    """
    manifests = {built.name: built.manifest() for built in build}
    missing = [built for built in build if manifests[built.name] is None]
    if missing:
        from build_engines.export.backbone import check_sources, export_backbone  # noqa: PLC0415 (torch takes seconds)
        from build_engines.images.samples import comparison_images  # noqa: PLC0415 (scikit-learn takes a second)

        check_sources(build)
        canvases = comparison_images(build.pool, images)
        for built in tracked(missing, "exporting", on_progress):
            manifests[built.name] = export_backbone(built, canvases)
    is_new = {built.name for built in missing}
    return [ExportedBackbone(name, manifest, name in is_new) for name, manifest in manifests.items() if manifest]
