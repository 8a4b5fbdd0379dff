"""The result of a benchmark: medians over the rounds, speed-up at equal accuracy, and its files and table."""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from cascade_client.bench.perf_analyzer import Level, Measured
from cascade_client.bench.plan import Plan


@dataclass(frozen=True)
class Run:
    """One run of perf_analyzer on one model."""

    round: int
    model: str
    level: Level
    measured: Measured


@dataclass(frozen=True)
class ProbedRun:
    """The latencies of single images by exit stage, under one load level."""

    round: int
    level: Level
    latencies_ms: dict[int, list[float]]


@dataclass(frozen=True)
class Line:
    """The medians of one model at one load level.

    Attributes:
        model: Its name.
        top1: Share of the labelled images that it classifies correctly.
        level: The load level.
        measured: Medians over the rounds.
        served: How its networks are reached.
        faster_than: The fastest single model at this level, served the same way, that is at least as accurate, or the
            most accurate one if there is none; None for single models, and where none is served the same way.
        speed_up: Throughput relative to that model's.
    """

    model: str
    top1: float
    level: Level
    measured: Measured
    served: str = ""
    faster_than: str | None = None
    speed_up: float | None = None


@dataclass(frozen=True)
class Result:
    """A whole benchmark.

    Attributes:
        server: Triton's name and version.
        perf_analyzer: Its version.
        plan: What was measured.
        canvas: Side of the canvas, in pixels.
        images: Number of images that top-1 was measured on.
        exit_mix: Share of the load that exits at each stage.
        top1: Top-1 accuracy of each model.
        served: How the networks of each model are reached.
        runs: All runs.
        probes: All latencies by exit stage.
        committees: The models of several backbones: the cascade, and the ensembles.
    """

    server: str
    perf_analyzer: str
    plan: Plan
    canvas: int
    images: int
    exit_mix: list[float]
    top1: dict[str, float]
    served: dict[str, str]
    runs: tuple[Run, ...]
    probes: tuple[ProbedRun, ...]
    committees: tuple[str, ...]

    def lines(self) -> list[Line]:
        """Return the medians by load level, the cascade first."""
        return [line for level in self.plan.levels for line in self._compared(level)]

    def latencies_ms(self, level: Level) -> dict[int, list[float]]:
        """Return all latencies at a load level by exit stage."""
        found = [probe.latencies_ms for probe in self.probes if probe.level == level]
        stages = sorted({stage for seen in found for stage in seen})
        return {stage: [value for seen in found for value in seen.get(stage, [])] for stage in stages}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON can hold it: environment, medians and all runs."""
        own = {
            name: getattr(self, name)
            for name in ("server", "perf_analyzer", "canvas", "images", "exit_mix", "top1", "served")
        }
        return {
            "environment": {
                "cores": os.cpu_count(),
                "machine": platform.machine(),
                "python": platform.python_version(),
            },
            **own,
            "plan": {name: str(value) if name == "images" else value for name, value in asdict(self.plan).items()},
            "medians": [_flat(line) for line in self.lines()],
            "runs": [_flat(run) for run in self.runs],
            "latency_by_exit_stage": [
                {**asdict(level), **_exits(self.latencies_ms(level))} for level in self.plan.levels
            ],
        }

    def unlike_note(self) -> str | None:
        """Return why a committee has no speed-up; None if each has one."""
        singles = {way for model, way in self.served.items() if model not in self.committees}
        unlike = [name for name in self.committees if self.served[name] not in singles]
        if not unlike or not singles:
            return None
        return (
            f"no speed-up for {', '.join(unlike)}: no single network is served the same way; write each as a cascade "
            "of one stage with build-engines repository --alone"
        )

    def write(self, folder: Path) -> list[Path]:
        """Write bench.json, and the medians as bench.csv, and return both paths."""
        folder.mkdir(parents=True, exist_ok=True)
        as_json, as_csv = folder / "bench.json", folder / "bench.csv"
        as_json.write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        rows = [_flat(line) for line in self.lines()]
        with as_csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return [as_json, as_csv]

    def _compared(self, level: Level) -> list[Line]:
        lines = [self._median(model, level) for model in self.top1]
        singles = [line for line in lines if line.model not in self.committees]
        return [with_speed_up(line, singles) if line.model in self.committees else line for line in lines]

    def _median(self, model: str, level: Level) -> Line:
        seen = [run.measured for run in self.runs if (run.model, run.level) == (model, level)]
        medians = {
            field.name: statistics.median(getattr(one, field.name) for one in seen) for field in fields(Measured)
        }
        return Line(model, self.top1[model], level, Measured(**medians), self.served[model])


def with_speed_up(line: Line, singles: Sequence[Line]) -> Line:
    """Compare with the fastest single model that is at least as accurate, or the most accurate if there is none.

    Only with those that are served the same way: behind another process, the same network is slower.
    """
    singles = [single for single in singles if single.served == line.served]
    if not singles:
        return line
    equals = [single for single in singles if single.top1 >= line.top1]
    most = max(single.top1 for single in singles)
    against = max(
        equals or [single for single in singles if single.top1 == most], key=lambda one: one.measured.images_per_s
    )
    speed_up = line.measured.images_per_s / against.measured.images_per_s
    return replace(line, faster_than=against.model, speed_up=speed_up)


def table(result: Result) -> Table:
    """Return the medians as a table for the terminal, one section per load level."""
    mix = " / ".join(f"{share:.0%}" for share in result.exit_mix)
    title = f"{result.plan.cascade}: top-1 on {result.images} images; load: batch × clients, exits {mix}"
    shown = Table(title=title)
    for header in ("load", "model", "served", "top-1 %", "images/s", "p50 / p99 ms"):
        shown.add_column(header, no_wrap=True)
    shown.add_column("speed-up at equal top-1")
    shown.caption = result.unlike_note()
    before = None
    for line in result.lines():
        if before not in {None, line.level}:
            shown.add_section()
        level = f"{line.level.batch} × {line.level.concurrency}" if line.level != before else ""
        style = "bold" if line.model == result.plan.cascade else None
        shown.add_row(level, *_cells(line), style=style)
        before = line.level
    return shown


def _cells(line: Line) -> tuple[str, ...]:
    seen = line.measured
    speed_up = f"{line.speed_up:.2f} × {line.faster_than}" if line.speed_up is not None else ""
    return (
        line.model,
        line.served,
        f"{line.top1:.1%}".rstrip("%"),
        f"{seen.images_per_s:.0f}",
        f"{seen.p50_ms:.1f} / {seen.p99_ms:.1f}",
        speed_up,
    )


def _exits(latencies_ms: dict[int, list[float]]) -> dict[str, Any]:
    return {
        str(stage): {"requests": len(seen), "p50_ms": statistics.median(seen), "p99_ms": percentile(seen, 99)}
        for stage, seen in latencies_ms.items()
    }


def percentile(values: Sequence[float], which: int) -> float:
    """Return a percentile as one of the values, the nearest above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * which // 100)]


def _flat(entry: Run | Line) -> dict[str, Any]:
    """Return an entry with its load level and measurements as columns."""
    parts = asdict(entry)
    return {**parts.pop("level"), **parts.pop("measured"), **parts}
