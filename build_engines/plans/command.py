"""The command `build-engines plan`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from build_engines.errors import BuildError, PlanError
from build_engines.plans.compare import Comparison, obstacle
from build_engines.plans.device import find_device
from build_engines.plans.make import batch_range, check_writable, make_plan
from build_engines.plans.record import HardwareCompatibility, PlanCheck, PlanOptions, PlanRecord
from build_engines.plans.tensorrt import load_tensorrt
from build_engines.plans.trtexec import trtexec_command
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.pool.schema import Pool
from build_engines.support.console import progress_bar
from build_engines.tables import keep_whole

NOTHING = "–"
IMAGES = 256  # to compare on, where there is a folder of them


def options_of(
    build: PoolBuild,
    workspace_mib: int,
    version_compatible: bool,
    hardware_compatibility: HardwareCompatibility,
    tf32: bool,
) -> list[tuple[BackboneBuild, PlanOptions]]:
    """Return what the plan of each backbone is for."""
    return [
        (
            built,
            PlanOptions(
                batch=batch_range(built.backbone),
                workspace_mib=workspace_mib,
                version_compatible=version_compatible,
                hardware_compatibility=hardware_compatibility,
                tf32=tf32,
            ),
        )
        for built in build
    ]


def commands(build: PoolBuild, work: Iterable[tuple[BackboneBuild, PlanOptions]]) -> list[str]:
    """Return the shell commands that build the plans with trtexec, which makes no folder by itself."""
    return [
        shlex.join(["mkdir", "-p", str(build.plan_folder)]),
        *(trtexec_command(built.onnx, built.plan, build.pool.canvas, options) for built, options in work),
    ]


def make_plans(
    build: PoolBuild,
    work: Sequence[tuple[BackboneBuild, PlanOptions]],
    images: Path | None,
    console: Console,
) -> None:
    """Make plan after plan, and print them as a table; those that are there stay, and one that fails stops no other.

    Args:
        build: Of a pool that was exported before.
        work: Its backbones, with what their plans are for.
        images: A folder of labelled images to compare with ONNX Runtime on; None for crops of two photographs.
        console: Where to say what was done.

    Raises:
        PlanError: TensorRT or a GPU is missing, or nothing can be written; or, when all others are made, an ONNX file
            is missing, TensorRT cannot build a plan, or one does not answer as its ONNX file does.
    """
    device = find_device()
    trt = load_tensorrt()
    check_writable(build.plan_folder)
    console.print(f"TensorRT {trt.__version__}, {device.gpu} ({device.compute_capability}), driver {device.driver}")
    comparison = _comparison(trt, build.pool, images, console)
    table = Table("backbone", "batch", "seconds", "MB", "plan − ONNX Runtime", "")
    refused: list[BuildError] = []
    with progress_bar(console) as progress:
        for built, options in progress.track(work, description="building"):
            check = partial(comparison.check, built.backbone, built.onnx, options) if comparison else None
            try:
                is_new = make_plan(trt, device, built, options, check)
            except BuildError as error:
                refused.append(error)
                table.add_row(built.name, *4 * [NOTHING], "no plan", style="red")
            else:
                table.add_row(built.name, *_row(PlanRecord.required(built)), "built" if is_new else "reused")
    console.print(keep_whole(table, "backbone"))
    if refused:
        raise PlanError("\n".join(map(str, refused)))


def _comparison(trt: Any, pool: Pool, images: Path | None, console: Console) -> Comparison | None:  # noqa: ANN401
    if reason := obstacle():
        console.print(f"plans are not compared with ONNX Runtime: {reason}")
        return None
    from build_engines.images.samples import comparison_images  # noqa: PLC0415 (scikit-learn takes a second)

    return Comparison(trt, comparison_images(pool, images, IMAGES))


def _row(record: PlanRecord) -> tuple[str, ...]:
    batch = " / ".join(map(str, record.options.batch))
    return batch, f"{record.seconds:.0f}", f"{record.size_bytes / 1e6:.1f}", _agreement(record.check)


def _agreement(check: PlanCheck | None) -> str:
    if check is None:
        return "not compared"
    return f"{check.largest_probability_difference:.0e}, same class on {check.class_agreement:.1%} of {check.images}"
