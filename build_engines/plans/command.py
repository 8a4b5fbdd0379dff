"""The command `build-engines plan`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from build_engines.console import progress_bar
from build_engines.plans.device import find_device
from build_engines.plans.make import batch_range, make_plan
from build_engines.plans.record import HardwareCompatibility, PlanOptions, PlanRecord
from build_engines.plans.tensorrt import load_tensorrt
from build_engines.plans.trtexec import trtexec_command
from build_engines.pool import Backbone, Pool
from build_engines.workspace import Workspace


def options_of(
    pool: Pool, workspace_mib: int, version_compatible: bool, hardware_compatibility: HardwareCompatibility
) -> list[tuple[Backbone, PlanOptions]]:
    """Return what the plan of each backbone is for."""
    return [
        (
            backbone,
            PlanOptions(
                batch=batch_range(backbone),
                workspace_mib=workspace_mib,
                version_compatible=version_compatible,
                hardware_compatibility=hardware_compatibility,
            ),
        )
        for backbone in pool.backbones
    ]


def commands(pool: Pool, workspace: Workspace, work: Iterable[tuple[Backbone, PlanOptions]]) -> list[str]:
    """Return trtexec's command for each backbone."""
    return [
        trtexec_command(workspace.onnx(b.name), workspace.plan(b.name), pool.canvas, options) for b, options in work
    ]


def make_plans(workspace: Workspace, work: Sequence[tuple[Backbone, PlanOptions]], console: Console) -> None:
    """Make plan after plan, and print them as a table; those that are there stay.

    Raises:
        PlanError: TensorRT, a GPU or an ONNX file is missing, or TensorRT cannot build one; finished plans stay.
    """
    trt = load_tensorrt()
    device = find_device()
    console.print(f"TensorRT {trt.__version__}, {device.gpu} ({device.compute_capability}), driver {device.driver}")
    table = Table("backbone", "batch", "seconds", "MB", "")
    with progress_bar(console) as progress:
        for backbone, options in progress.track(work, description="building"):
            built = make_plan(trt, device, workspace, backbone.name, options)
            record = PlanRecord.required(workspace, backbone.name)
            batch = " / ".join(map(str, record.options.batch))
            size = f"{record.size_bytes / 1e6:.1f}"
            table.add_row(backbone.name, batch, f"{record.seconds:.0f}", size, "built" if built else "reused")
    console.print(table)
