"""What takes long to make, made by the first of the workers that needs it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return this worker's own copy of a folder that `make` fills, once for all workers of a run."""
    return Path(shutil.copytree(shared(factory, name, make), factory.getbasetemp() / name))


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` fills, once for all workers of a run; it is to be read only."""
    own = factory.getbasetemp()
    run = own.parent if own.name.startswith("popen-") else own  # as pytest-xdist calls the folders of its workers
    first = run / f"first_{name}"
    with (run / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not first.exists():
            aside = factory.mktemp(f"aside_{name}")
            make(aside)
            aside.rename(first)
    return first
