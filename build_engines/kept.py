"""What a model repository holds beside the entries of a pool: it is kept, and Triton loads it too."""

from __future__ import annotations

from pathlib import Path

from build_engines.pool import SERVED_NAMES, Pool
from build_engines.triton_repository import CASCADE
from cascade_spec import SpecError, read_cascade


def kept_of_others(repository: Path, pool: Pool) -> list[str]:
    """Name the backbones' entries and the cascade that are not of this pool, a sentence each."""
    return [*_entries(repository, pool), *_cascade(repository / CASCADE / "cascade.json", pool)]


def _entries(repository: Path, pool: Pool) -> list[str]:
    folders = {path.parent.name for path in repository.glob("[!.]*/config.pbtxt")}
    if not (others := sorted(folders - SERVED_NAMES - _names(pool))):
        return []
    return [
        f"{repository} also holds {', '.join(others)}, not of this pool: Triton loads every entry; remove them, or use "
        "another --output, if they are not wanted"
    ]


def _cascade(path: Path, pool: Pool) -> list[str]:
    try:
        cascade = read_cascade(path)
    except SpecError:  # none, or doctor says what is wrong with it
        return []
    stages = [stage.model for stage in cascade.stages]
    if _names(pool).issuperset(stages):
        return []
    return [
        f"{path} is kept: it is of {cascade.name}, with the stages {', '.join(stages)}, not all of this pool; choose "
        "anew with build-cascade search"
    ]


def _names(pool: Pool) -> set[str]:
    return {backbone.name for backbone in pool.backbones}
