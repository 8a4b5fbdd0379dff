"""Entries of other pools in a model repository: they are kept, and Triton loads them too."""

from __future__ import annotations

from pathlib import Path

from build_engines.pool.schema import Pool
from cascade_core.contract import ALONE_SUFFIX, CASCADE, CASCADE_FILE, ENTRIES
from cascade_core.spec import Cascade, SpecError, is_backbone_entry, read_cascade


def foreign_entry_notes(repository: Path, pool: Pool) -> list[str]:
    """Return a note about the entries of other backbones, and one about a cascade of another pool."""
    return [*_entries(repository, pool), *_cascade(repository / CASCADE / CASCADE_FILE, pool)]


def encoded_canvas(repository: Path, pool: Pool) -> int:
    """Return the canvas for encoded images: that of the cascade in the repository, or else of the pool."""
    cascade = _read(repository / CASCADE / CASCADE_FILE)
    return cascade.canvas if cascade else pool.canvas


def _entries(repository: Path, pool: Pool) -> list[str]:
    entries = [path.parent for path in repository.glob("[!.]*/config.pbtxt")]
    alone = {name + ALONE_SUFFIX for name in _names(pool)}
    of_pool = (
        ENTRIES
        | _names(pool)
        | {entry.name for entry in entries if entry.name in alone and not is_backbone_entry(entry)}
    )
    if not (others := sorted({entry.name for entry in entries} - of_pool)):
        return []
    return [
        f"{repository} also contains {', '.join(others)}, not of this pool: Triton loads every entry; if they are not "
        "wanted, remove them or use another --output"
    ]


def _cascade(path: Path, pool: Pool) -> list[str]:
    if (cascade := _read(path)) is None:
        return []
    if cascade.canvas != pool.canvas:
        return [
            f"{path} is kept: it is of {cascade.name}, a cascade of another pool, with a canvas of {cascade.canvas} "
            f"rather than {pool.canvas}; encoded images are still resized to {cascade.canvas}. To serve this pool, run "
            "build-cascade search or remove that file, then rerun build-engines repository"
        ]
    stages = [stage.model for stage in cascade.stages]
    if _names(pool).issuperset(stages):
        return []
    return [
        f"{path} is kept: it is of {cascade.name}, whose stages {', '.join(stages)} are not all of this pool; rerun "
        "build-cascade search"
    ]


def _read(path: Path) -> Cascade | None:
    try:
        return read_cascade(path)
    except SpecError:  # there is none, or it is invalid, which doctor reports
        return None


def _names(pool: Pool) -> set[str]:
    return {backbone.name for backbone in pool.backbones}
