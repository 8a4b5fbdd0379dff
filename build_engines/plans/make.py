"""Make a backbone's plan and its side file, unless they are there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from build_engines.errors import PlanError
from build_engines.files import sha256, write_text_whole, write_whole
from build_engines.plans.record import Device, PlanOptions, PlanRecord
from build_engines.plans.tensorrt import build
from build_engines.pool import Backbone
from build_engines.record import ExportRecord
from build_engines.workspace import Workspace

USUAL_BATCH = 8


def batch_range(backbone: Backbone) -> tuple[int, int, int]:
    """Return the least, the usual and the largest batch of a backbone."""
    return 1, min(USUAL_BATCH, backbone.max_batch_size), backbone.max_batch_size


def exported(workspace: Workspace, backbone: str) -> str:
    """Return the SHA-256 of a backbone's ONNX file, which is as it was exported and checked.

    Needs neither torch nor timm: NVIDIA's container has none.

    Raises:
        PlanError: it is missing or damaged.
    """
    onnx = workspace.onnx(backbone)
    try:
        record = ExportRecord.model_validate_json(workspace.export_record(backbone).read_text())
        found = sha256(onnx)
    except (OSError, ValidationError) as error:
        raise PlanError(f"backbone {backbone!r} has no whole {onnx}; run build-engines export first") from error
    if found != record.onnx_sha256:
        raise PlanError(f"{onnx} is not as it was exported; run build-engines export again")
    return found


def make_plan(trt: Any, device: Device, workspace: Workspace, backbone: str, options: PlanOptions) -> bool:  # noqa: ANN401
    """Make the plan and its side file, each whole or not at all; return whether it was built anew.

    Raises:
        PlanError: the ONNX file is not there, or TensorRT cannot build it.
    """
    source = exported(workspace, backbone)
    if _is_current(PlanRecord.of(workspace, backbone), source, trt.__version__, device, options):
        return False
    cache = workspace.timing_cache(trt.__version__, f"{device.gpu.replace(' ', '-')}-{device.compute_capability}")
    start_s = time.monotonic()
    plan, timings = build(trt, workspace.onnx(backbone), options, cache.read_bytes() if cache.is_file() else b"")
    record = PlanRecord(
        onnx_sha256=source,
        tensorrt=trt.__version__,
        device=device,
        options=options,
        seconds=round(time.monotonic() - start_s, 1),
        size_bytes=len(plan),
    )
    _write(cache, timings)
    workspace.plan_record(backbone).unlink(missing_ok=True)  # it must never stand beside another plan
    _write(workspace.plan(backbone), plan)
    write_text_whole(workspace.plan_record(backbone), record.model_dump_json(indent=2))
    return True


def _is_current(record: PlanRecord | None, source: str, tensorrt: str, device: Device, options: PlanOptions) -> bool:
    return record is not None and (record.onnx_sha256, record.tensorrt, record.device, record.options) == (
        source,
        tensorrt,
        device,
        options,
    )


def _write(path: Path, content: bytes) -> None:
    def write(aside: Path) -> None:
        aside.write_bytes(content)

    write_whole(path, write)
