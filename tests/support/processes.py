"""What the processes below this one hold in memory."""

from __future__ import annotations

import os
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
BLOCK_BYTES = 512


def server_processes(root: int) -> set[int]:
    """The processes of Triton servers below a process: the server, and a stub a model."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (entry / "stat").read_text().partition(" (")[2].rpartition(") ")
        except OSError:  # it has ended
            continue
        parents[int(entry.name)], names[int(entry.name)] = int(rest.split()[1]), name
    found, new = set(), {root}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return {pid for pid in found if "triton" in names[pid]}


def resident_bytes(pids: set[int]) -> int:
    """Memory that is not shared between processes."""
    pages = [[int(field) for field in Path(f"/proc/{pid}/statm").read_text().split()] for pid in pids]
    return sum(resident - shared for _, resident, shared, *_ in pages) * PAGE_BYTES


def shared_bytes(pids: set[int]) -> int:
    """What the files of /dev/shm hold that these processes have open."""
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
    files = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/dev/shm/" in line and "deleted" not in line}
    return sum(Path(file).stat().st_blocks * BLOCK_BYTES for file in files)
