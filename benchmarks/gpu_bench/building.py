"""Build what is served: backbones with random weights, and a cascade entry for each line of the study."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from build_engines.export.backbone import export_backbone
from build_engines.export.source import source_of
from build_engines.plans.pool_plans import PlanBuilder, check_results
from build_engines.plans.record import PlanSettings
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.schema import Pool
from build_engines.repository.backbone_entry import backbone_config, write_backbone
from build_engines.repository.cascade_entry import copy_cascade
from build_engines.repository.entry import write_hashed_entry
from build_engines.repository.runtimes import RUNTIMES
from build_engines.tables import plan_table
from cascade_core.contract import CASCADE, CASCADE_FILE
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
            export_backbone(built, images)
    if runtime == "tensorrt":
        _build_plans(build, console)
    for built in build:
        write_backbone(built, repository, runtime)


def _build_plans(build: PoolBuild, console: Console) -> None:
    builder = PlanBuilder.find()
    console.print(str(builder))
    results = builder.build_plans(build, PlanSettings(workspace_mib=MAX_WORKSPACE_MIB))
    console.print(plan_table(results))
    check_results(results)


def _write_program(built: BackboneBuild, repository: Path) -> None:
    """Write the entry of a PyTorch program, without the ONNX file that other entries are known by.

    It takes minutes to make for a pool, and the PyTorch at hand may not be able to.
    """
    runtime = RUNTIMES["torch"]
    write_hashed_entry(repository, backbone_config(built, runtime), runtime.files(built))


def write_cascade(pool: Pool, line: Line, thresholds: Sequence[float], repository: Path, max_images: int) -> None:
    """Write a line's cascade as an entry of the line's name: all of them are served at once."""
    entry = repository / line.name
    shutil.rmtree(entry, ignore_errors=True)
    copy_cascade(entry)
    config = entry / "config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{CASCADE}"', f'name: "{line.name}"'))
    build = PoolBuild.of(pool)
    stages = tuple(_stage(build[name], limit) for name, limit in zip(line.stages, (*thresholds, None), strict=True))
    # By BLS whatever the runtime: it is the way that stages on a GPU are reached.
    serving = Serving(reach="bls", max_images_in_flight=max_images)
    cascade = Cascade(line.name, pool.canvas, pool.labels, stages, serving=serving)
    (entry / CASCADE_FILE).write_text(cascade.to_json())


def _stage(built: BackboneBuild, threshold: float | None) -> Stage:
    cost, max_batch_size = source_of(built).gmacs(), built.backbone.max_batch_size
    return Stage(built.name, threshold=threshold, cost=cost, max_batch_size=max_batch_size)
