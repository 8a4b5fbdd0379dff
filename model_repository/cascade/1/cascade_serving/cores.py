"""The number of cores that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = CGROUPS) -> int:
    """Return the number of cores of this process's affinity mask and its container's CPU limit, at least one.

    Args:
        cgroups: Where the limit is found: `cpu.max` of cgroup v2, `cpu/cpu.cfs_*` of v1.
    """
    return max(1, min([len(os.sched_getaffinity(0)), *_limits(cgroups)]))


def _limits(cgroups: Path) -> list[int]:
    """Return the limit in whole cores, if there is one: "150000 100000" is 1.5 cores, "max" or -1 is none."""
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            quota_us, period_us = " ".join((cgroups / file).read_text() for file in files).split()
            return [int(quota_us) // int(period_us)] if int(quota_us) > 0 else []
        except (OSError, ValueError):
            continue
    return []
