"""Examine a model repository: its entries, its cascade, and where it is to be served."""

from __future__ import annotations

from pathlib import Path

from build_engines.doctor.cascade import inspect_cascade
from build_engines.doctor.entries import inspect_entry, inspect_hidden_folders, read_entries
from build_engines.doctor.environment import Environment, describe_environment
from build_engines.doctor.finding import Finding
from build_engines.doctor.log import inspect_log
from build_engines.pool.artifacts import PoolBuild


def examine(
    repository: Path, build: PoolBuild | None, log: Path | None, environment: Environment, shared_memory_bytes: int
) -> list[Finding]:
    """Return everything that was found, good and bad.

    Args:
        repository: The model repository.
        build: Of the pool, to compare entries with the files that they were made from.
        log: A log of Triton's, to find known errors in.
        environment: Where the repository is to be served.
        shared_memory_bytes: The size of /dev/shm there.

    Raises:
        OSError: the log cannot be read.
    """
    entries, findings = read_entries(repository)
    if not entries and not findings:
        findings.append(Finding(str(repository), "contains no backbone", "run build-engines repository"))
    findings += inspect_hidden_folders(repository)
    environment = environment.serving(entries)
    findings += describe_environment(entries, environment)
    findings += [inspect_entry(repository / name, config, build, environment) for name, config in entries.items()]
    findings += inspect_cascade(repository, entries, environment, shared_memory_bytes)
    if log:
        with log.open(encoding="utf-8", errors="replace") as lines:
            findings += inspect_log(lines)
    return findings
