"""Export a backbone in a process of its own and say all that can be known of the file without a GPU."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from build_engines.errors import BuildError
from build_engines.pool.artifacts import BackboneBuild


@dataclass(frozen=True)
class Checkup:
    """Say how the export of one backbone went.

    Attributes:
        problem: Why there is no file; None if there is one.
        unlisted: Operators that TensorRT's ONNX parser does not document.
        leftovers: Traces of the export.
        difference: Largest difference of a probability to PyTorch at batches 1, 2 and 7.
        seconds: That loading, exporting and comparing took; None where the file was there already.
        peak_bytes: Of memory of the process that did it; None as above.
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
        """Tell whether the file is there and nothing speaks against it."""
        return self.problem is None and not self.unlisted and not self.leftovers


def check_up(built: BackboneBuild, images: Path | None = None) -> Checkup:
    """Export a backbone unless it is there up to date, compare, inspect; in a process that ends with it.

    Args:
        built: The backbone, and where its file goes.
        images: A folder of labelled images to compare on; crops of two photographs if None.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        try:
            return executor.submit(_checkup_or_problem, built, images).result()
        except BrokenProcessPool:
            return Checkup(built.name, problem="its process was killed, most likely for want of memory")


def _checkup_or_problem(built: BackboneBuild, images: Path | None) -> Checkup:
    """Catch errors in the process itself: not all of torch's can be passed to another."""
    try:
        return _check_up(built, images)
    except BuildError as error:
        return Checkup(built.name, problem=str(error))
    except Exception as error:
        return Checkup(built.name, problem=f"backbone {built.name!r}: {type(error).__name__}: {error}")


def _check_up(built: BackboneBuild, images: Path | None) -> Checkup:
    from build_engines.export.export import export  # noqa: PLC0415 (torch takes seconds)
    from build_engines.export.onnx_lint import leftovers, load_graph, unlisted_operators  # noqa: PLC0415
    from build_engines.images.samples import check_images  # noqa: PLC0415

    start = time.perf_counter()
    present = built.manifest()
    manifest = present or export(built, check_images(built.pool, images))
    seconds, peak_bytes = time.perf_counter() - start, _peak_bytes()
    graph = load_graph(built.onnx)
    return Checkup(
        built.name,
        unlisted=tuple(unlisted_operators(graph)),
        leftovers=tuple(leftovers(graph)),
        difference=manifest.graph.largest_probability_difference,
        seconds=None if present else seconds,
        peak_bytes=None if present else peak_bytes,
        size_bytes=built.onnx.stat().st_size,
    )


def _peak_bytes() -> int:
    """Return the most memory that this process has held; getrusage would count its parent's before it started."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
