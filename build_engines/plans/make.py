"""Make a backbone's plan and its record, unless they are up to date."""

from __future__ import annotations

import errno
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from build_engines.errors import CheckError, PlanError
from build_engines.plans.record import Device, PlanAgreement, PlanOptions, PlanRecord
from build_engines.plans.tensorrt import build_plan
from build_engines.pool.artifacts import BackboneBuild
from build_engines.pool.manifest import ExportManifest
from build_engines.support.atomic_files import sha256, write_whole

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Check = Callable[[bytes], PlanAgreement]


def check_exported(built: BackboneBuild) -> str:
    """Check that a backbone's ONNX file is as it was exported, and return its SHA-256.

    Needs neither torch nor timm: NVIDIA's container has neither. So an outdated file is not noticed here.

    Raises:
        PlanError: the file is missing or damaged.
    """
    manifest = ExportManifest.read(built.manifest_file)
    try:
        found = sha256(built.onnx)
    except OSError as error:
        raise _not_exported(built) from error
    if manifest is None:
        raise _not_exported(built)
    if found != manifest.onnx_sha256:
        raise PlanError(f"{built.onnx} has changed since it was exported; run build-engines export again")
    return manifest.onnx_sha256


def _not_exported(built: BackboneBuild) -> PlanError:
    return PlanError(f"backbone {built.name!r} has no intact {built.onnx}; run build-engines export first")


def check_writable(folder: Path) -> None:
    """Check that a folder can be written, before hours of building are lost.

    Raises:
        PlanError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PlanError(
            f"cannot write to {folder} ({error.strerror}); make this user its owner, or name another folder with "
            "--build. In a container the user is that of docker's --user, and under rootless docker a different one"
        ) from error


def make_plan(
    trt: Any,  # noqa: ANN401 (a module without stubs)
    device: Device,
    built: BackboneBuild,
    options: PlanOptions,
    check: Check | None = None,
) -> bool:
    """Make the plan and its record, each whole or not at all; return whether the plan was built just now.

    Args:
        trt: TensorRT's Python module.
        device: The GPU.
        built: The backbone, exported before.
        options: Build options.
        check: Compares a plan with its ONNX file before it is kept; raises CheckError or PlanError.

    Raises:
        PlanError: the ONNX file is missing, TensorRT cannot build it, or the disk is full; an earlier plan is kept.
        CheckError: the plan does not answer as the ONNX file does; it is not kept.
    """
    source = check_exported(built)
    present = PlanRecord.of(built)
    if present is not None and present.is_of(source, trt.__version__, device, options):
        _check_present(built, present, check)
        return False
    cache = built.build.timing_cache(trt.__version__, f"{device.gpu.replace(' ', '-')}-{device.compute_capability}")
    start_s = time.monotonic()
    plan, timings = build_plan(trt, built.onnx, options, cache.read_bytes() if cache.is_file() else b"")
    seconds = round(time.monotonic() - start_s, 1)
    _write(cache, timings)  # before the plan is compared: if it is rejected, the next build is quick
    record = PlanRecord(
        onnx_sha256=source,
        plan_sha256=hashlib.sha256(plan).hexdigest(),
        tensorrt=trt.__version__,
        device=device,
        options=options,
        seconds=seconds,
        size_bytes=len(plan),
        check=check(plan) if check else None,
    )
    _write(built.plan, plan)  # without its record, written next, it does not count as a plan
    _write_record(built, record)
    return True


def _check_present(built: BackboneBuild, record: PlanRecord, check: Check | None) -> None:
    """Compare a plan that was built where nothing could be compared."""
    if check is None or record.check is not None:
        return
    try:
        done = check(built.plan.read_bytes())
    except CheckError:
        built.plan_record_file.unlink()
        built.plan.unlink()
        raise
    _write_record(built, record.model_copy(update={"check": done}))


def _write_record(built: BackboneBuild, record: PlanRecord) -> None:
    _write(built.plan_record_file, record.model_dump_json(indent=2).encode())


def _write(path: Path, content: bytes) -> None:
    def write(aside: Path) -> None:
        aside.write_bytes(content)

    try:
        write_whole(path, write)
    except OSError as error:
        fix = f"; free {len(content) / 1e6:.1f} MB" if error.errno in DISK_FULL else "; fix it"
        raise PlanError(f"cannot write {path} ({error.strerror}){fix} and rerun. Finished plans are kept") from error
