"""Examine a model repository: its entries, its cascade, and the machine that is to serve them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from build_engines.doctor.cascade import look_at_cascade
from build_engines.doctor.entries import Place, look_at_entry, look_at_hidden_folders, look_at_place, read_entries
from build_engines.doctor.finding import Finding
from build_engines.doctor.log import look_at_log
from build_engines.errors import PlanError
from build_engines.plans.device import find_device
from build_engines.plans.tensorrt import load_tensorrt
from build_engines.pool.artifacts import PoolBuild

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (where Triton's Python backend keeps tensors)

VERSION = re.compile(r"\d+(\.\d+)*")
SIZE = re.compile(r"(\d+)([kmg]?)b?")
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def examine(
    repository: Path, build: PoolBuild | None, log: Path | None, place: Place, shared_memory_bytes: int
) -> list[Finding]:
    """Return how everything stands."""
    entries, findings = read_entries(repository)
    if not entries and not findings:
        findings.append(Finding(str(repository), "holds no backbone", "run build-engines repository"))
    findings += look_at_hidden_folders(repository)
    place = place.serving(entries)
    findings += look_at_place(entries, place)
    findings += [look_at_entry(repository / name, config, build, place) for name, config in entries.items()]
    findings += look_at_cascade(repository, entries, place, shared_memory_bytes)
    if log:
        with log.open(encoding="utf-8", errors="replace") as lines:
            findings += look_at_log(lines)
    return findings


def find_place(tensorrt: str | None) -> Place:
    """Return what is at hand: the TensorRT that was named, as NVIDIA's container's, or is installed here; and the GPU.

    Raises:
        PlanError: what was named is no version.
    """
    is_named = tensorrt is not None
    if tensorrt is not None and not VERSION.fullmatch(tensorrt):
        raise PlanError(f"{tensorrt!r} is no version of TensorRT; write one such as 10.13.3.9 or 10.13")
    try:
        tensorrt = tensorrt or str(load_tensorrt().__version__)
    except PlanError:
        tensorrt = None
    try:
        device = find_device()
    except PlanError:
        device = None
    return Place(tensorrt, device, is_named)


def size_bytes(text: str) -> int:
    """Read a size as docker writes it: `1g`, `512m`, `67108864`.

    Raises:
        PlanError: it is none.
    """
    found = SIZE.fullmatch(text.lower())
    if not found:
        raise PlanError(f"{text!r} is no size; write one as docker does, such as 1g or 512m")
    return int(found[1]) * UNITS[found[2]]


def shared_memory_bytes() -> int:
    """Return how much shared memory this machine has."""
    return shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else 0
