"""What a model repository holds beside the entries of a pool: it is kept, and Triton loads it too."""

from __future__ import annotations

from pathlib import Path

from build_engines.pool.schema import SERVED_NAMES, Pool
from build_engines.repository.cascade_entry import CASCADE
from cascade_core.spec import Cascade, SpecError, read_cascade


def foreign_entry_notes(repository: Path, pool: Pool) -> list[str]:
    """Name the backbones' entries and the cascade that are not of this pool, a sentence each."""
    return [*_entries(repository, pool), *_cascade(repository / CASCADE / "cascade.json", pool)]


def encoded_canvas(repository: Path, pool: Pool) -> int:
    """Return the canvas that encoded images are to be put on: that of the cascade which is served, kept or to come."""
    cascade = _read(repository / CASCADE / "cascade.json")
    return cascade.canvas if cascade else pool.canvas


def _entries(repository: Path, pool: Pool) -> list[str]:
    folders = {path.parent.name for path in repository.glob("[!.]*/config.pbtxt")}
    if not (others := sorted(folders - SERVED_NAMES - _names(pool))):
        return []
    return [
        f"{repository} also holds {', '.join(others)}, not of this pool: Triton loads every entry; remove them, or use "
        "another --output, if they are not wanted"
    ]


def _cascade(path: Path, pool: Pool) -> list[str]:
    if (cascade := _read(path)) is None:
        return []
    if cascade.canvas != pool.canvas:
        return [
            f"{path} is kept: it is of {cascade.name}, of another pool, for its canvas is {cascade.canvas} and "
            f"this pool's {pool.canvas}; encoded images are still put on {cascade.canvas}. To serve this pool, choose "
            "anew with build-cascade search, or remove that file; then run build-engines repository again"
        ]
    stages = [stage.model for stage in cascade.stages]
    if _names(pool).issuperset(stages):
        return []
    return [
        f"{path} is kept: it is of {cascade.name}, with the stages {', '.join(stages)}, not all of this pool; choose "
        "anew with build-cascade search"
    ]


def _read(path: Path) -> Cascade | None:
    try:
        return read_cascade(path)
    except SpecError:  # none, or doctor says what is wrong with it
        return None


def _names(pool: Pool) -> set[str]:
    return {backbone.name for backbone in pool.backbones}
