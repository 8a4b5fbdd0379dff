"""Every backbone as a cascade of one stage: served as the cascade is, its speed can be compared like with like."""

from __future__ import annotations

from pathlib import Path

from build_engines.pool.artifacts import BackboneBuild, PoolBuild
from build_engines.repository.cascade_entry import write_cascade_entry
from build_engines.repository.entry import WrittenEntry, remove_entry
from cascade_core.contract import ALONE_SUFFIX, CASCADE_FILE
from cascade_core.spec import Cascade, Serving, Stage


def write_alone(build: PoolBuild, repository: Path, reach: str = "auto") -> list[WrittenEntry]:
    """Write `NAME_alone` for every backbone of a pool whose entries are there; Triton loads it with them.

    Args:
        build: Of the pool.
        repository: The model repository.
        reach: How they call their one stage, see `Serving`.
    """
    return [
        write_cascade_entry(repository, built.name + ALONE_SUFFIX, alone(build, built, Serving(reach=reach)))
        for built in build
    ]


def remove_alone(build: PoolBuild, repository: Path) -> None:
    """Remove the entries that `write_alone` wrote."""
    for built in build:
        if (repository / (built.name + ALONE_SUFFIX) / CASCADE_FILE).is_file():
            remove_entry(repository, built.name + ALONE_SUFFIX)


def alone(build: PoolBuild, built: BackboneBuild, serving: Serving) -> Cascade:
    """Return a backbone as a cascade of one stage."""
    stage = Stage(built.name, cost=built.require_manifest().gmacs, max_batch_size=built.backbone.max_batch_size)
    return Cascade(f"{built.name} alone", build.pool.canvas, build.pool.labels, (stage,), serving=serving)
