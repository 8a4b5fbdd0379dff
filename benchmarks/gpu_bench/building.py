"""Build what is served: backbones with random weights, and a cascade entry for each line of the study."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from build_engines.export.export import export
from build_engines.export.timm_source import gmacs
from build_engines.plans.command import make_plans, options_of
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.schema import Pool
from build_engines.repository.cascade_entry import CASCADE, copy_cascade
from build_engines.repository.runtimes import RUNTIMES
from build_engines.repository.writer import backbone_config, write_backbone, write_files
from cascade_core.spec import Cascade, Serving, Stage
from gpu_bench.deck import candidates
from gpu_bench.studies import Line

MAX_WORKSPACE_MIB = 8192
CHECK_IMAGES = 4


def build_backbones(build: PoolBuild, repository: Path, runtime: str, console: Console) -> None:
    """Write the entry of every backbone; what an earlier run has built stays.

    Raises:
        BuildError: a backbone cannot be exported, or the runtime cannot build it.
    """
    if runtime == "torch":
        for built in build:
            console.print(f"exporting {built.name}")
            _write_program(built, repository)
        return
    images = candidates(build.pool.canvas)[:CHECK_IMAGES]
    for built in build:
        if built.manifest() is None:
            console.print(f"exporting {built.name}")
            export(built, images)
    if runtime == "tensorrt":
        make_plans(build, options_of(build, MAX_WORKSPACE_MIB, False, "none", False), None, console)
    for built in build:
        write_backbone(built, repository, runtime)


def _write_program(built: BackboneBuild, repository: Path) -> None:
    """Write the entry of a PyTorch program, without the ONNX file that other entries are known by.

    It takes minutes to make for a pool, and the PyTorch at hand may not be able to.
    """
    runtime = RUNTIMES["torch"]
    write_files(repository, backbone_config(built.pool, built.backbone, runtime), runtime.files(built))


def write_cascade(pool: Pool, line: Line, thresholds: Sequence[float], repository: Path, max_images: int) -> None:
    """Write a line's cascade as an entry of the line's name: all of them are served at once."""
    entry = repository / line.name
    shutil.rmtree(entry, ignore_errors=True)
    copy_cascade(entry)
    config = entry / "config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{CASCADE}"', f'name: "{line.name}"'))
    stages = tuple(
        Stage(name, threshold=threshold, cost=gmacs(pool.backbone(name)), max_batch_size=_max_batch(pool, name))
        for name, threshold in zip(line.stages, (*thresholds, None), strict=True)
    )
    # By BLS whatever the runtime: it is the way that stages on a GPU are reached.
    serving = Serving(reach="bls", max_images_in_flight=max_images)
    cascade = Cascade(line.name, pool.canvas, pool.labels, stages, serving=serving)
    (entry / "cascade.json").write_text(cascade.to_json())


def _max_batch(pool: Pool, name: str) -> int:
    return pool.backbone(name).max_batch_size
