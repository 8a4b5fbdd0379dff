"""Write a whole Triton model repository: an entry for each backbone, the cascade, and the decoding of images for it."""

from __future__ import annotations

from pathlib import Path

from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.alone import remove_alone, write_alone
from build_engines.repository.backbone_entry import backbone_entry
from build_engines.repository.cascade_entry import put_cascade
from build_engines.repository.encoded import MAX_PIXELS, remove_encoded, write_encoded
from build_engines.repository.entry import WrittenEntry, write_hashed_entry
from build_engines.repository.foreign_entries import encoded_canvas
from build_engines.repository.runtimes import check_runtime


def write_repository(
    build: PoolBuild,
    output: Path,
    runtime: str = "embedded",
    precision: str | None = None,
    encoded: bool = True,
    max_pixels: int = MAX_PIXELS,
    alone: bool = False,
) -> list[WrittenEntry]:
    """Write the entries of a pool whose backbones were exported; nothing is written unless all of them can be served.

    Args:
        build: Of the pool.
        output: The model repository; entries of other pools and a cascade.json are left alone.
        runtime: A key of `RUNTIMES`.
        precision: Other than the runtime's default, where the served files leave it open: one of `PRECISIONS`.
        encoded: Whether the cascade also takes encoded images; if not, the entries for that are removed.
        max_pixels: Larger encoded images are rejected before they are decoded.
        alone: Whether every backbone is also served as a cascade of one stage; if not, such entries are removed.

    Returns:
        The entries of the backbones, then of those alone, then those for encoded images.

    Raises:
        BuildError: unknown runtime or precision, a backbone that the runtime cannot serve, or one whose ONNX file,
            plan or program is missing or out of date.
    """
    check_runtime(build.pool, runtime)
    entries = [backbone_entry(built, runtime, precision) for built in build]
    written = [write_hashed_entry(output, config, files) for config, files in entries]
    put_cascade(output)
    if alone:
        written += write_alone(build, output)
    else:
        remove_alone(build, output)
    if not encoded:
        remove_encoded(output)
        return written
    return written + write_encoded(encoded_canvas(output, build.pool), output, max_pixels)
