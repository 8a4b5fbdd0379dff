"""Export a backbone in a process of its own and report everything that can be known of the file without a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from build_engines.errors import BuildError
from build_engines.images.source import ImageSource
from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.support.progress import OnProgress, ignore_progress, tracked


@dataclass(frozen=True)
class Audit:
    """How the export of one backbone went.

    Attributes:
        problem: Why there is no file; None if there is one.
        unlisted: Operators that TensorRT's ONNX parser does not document.
        leftovers: Traces of the export.
        difference: Largest difference of a probability from PyTorch at batches 1, 2 and 7.
        seconds: For loading, exporting and comparing; None where the file was reused.
        peak_bytes: Memory of the process that did it; None as above.
        size_bytes: Of the file.
    """

    backbone: str
    problem: str | None = None
    unlisted: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    difference: float | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    size_bytes: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether there is a file and nothing was found against it."""
        return self.problem is None and not self.unlisted and not self.leftovers


def audit_pools(
    builds: Iterable[PoolBuild], images: ImageSource | None = None, on_progress: OnProgress = ignore_progress
) -> list[Audit]:
    """Audit every backbone of several pools; one that fails does not stop the others.

    Args:
        builds: Of the pools.
        images: Images to compare on; crops of two photographs if None.
        on_progress: Called for each backbone.
    """
    work = [built for build in builds for built in build]
    return [audit_backbone(built, images) for built in tracked(work, "checking", on_progress)]


def audit_backbone(built: BackboneBuild, images: ImageSource | None = None) -> Audit:
    """Export a backbone unless it is up to date, compare it, inspect its graph; in a process that ends afterwards.

    Args:
        built: The backbone, and where its file goes.
        images: Images to compare on; crops of two photographs if None.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        try:
            return executor.submit(_audit_or_problem, built, images).result()
        except BrokenProcessPool:
            return Audit(built.name, problem="its process was killed, most likely because memory ran out")


def _audit_or_problem(built: BackboneBuild, images: ImageSource | None) -> Audit:
    """Catch errors in the process itself: not all of torch's can be passed to another."""
    try:
        return _audit(built, images)
    except BuildError as error:
        return Audit(built.name, problem=str(error))
    except Exception as error:
        return Audit(built.name, problem=f"backbone {built.name!r}: {type(error).__name__}: {error}")


def _audit(built: BackboneBuild, images: ImageSource | None) -> Audit:
    from build_engines.export.backbone import export_backbone  # noqa: PLC0415 (torch takes seconds)
    from build_engines.export.onnx_lint import leftovers, load_graph, unlisted_operators  # noqa: PLC0415
    from build_engines.images.samples import comparison_images  # noqa: PLC0415

    start_s = time.perf_counter()
    present = built.manifest()
    manifest = present or export_backbone(built, comparison_images(built.pool, images))
    seconds, peak_bytes = time.perf_counter() - start_s, _peak_bytes()
    graph = load_graph(built.onnx)
    return Audit(
        built.name,
        unlisted=tuple(unlisted_operators(graph)),
        leftovers=tuple(leftovers(graph)),
        difference=manifest.graph.largest_probability_difference,
        seconds=None if present else seconds,
        peak_bytes=None if present else peak_bytes,
        size_bytes=built.onnx.stat().st_size,
    )


def _peak_bytes() -> int:
    """Return the peak memory of this process; getrusage would include its parent's from before it started."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
