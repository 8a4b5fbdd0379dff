"""NVIDIA's perf_analyzer: find the program, run it on canvases, and read its report."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cascade_client.canvas import Canvas
from cascade_client.contract import IMAGE
from cascade_client.errors import BenchError

PROGRAM = "perf_analyzer"
HOW_TO_GET = (
    "install it with `make perf-analyzer`, or use NVIDIA's container tritonserver:<yy.mm>-py3-sdk; "
    "pass its path by --perf-analyzer or CASCADE_PERF_ANALYZER"
)
WINDOWS = 3  # its minimum
ANY_DEVIATION = "1000000"  # in percent: rounds and medians replace its own wait for stable windows
EXTRA_S = 120.0
TOO_SHORT = "Please use a larger time window"
LONGEST_WINDOW_S = 8.0


@dataclass(frozen=True)
class Level:
    """A load level.

    Attributes:
        concurrency: Number of concurrent requests.
        batch: Number of images per request.
    """

    concurrency: int
    batch: int


@dataclass(frozen=True)
class Measured:
    """The result of one run of perf_analyzer: throughput, and percentiles of the request latency."""

    images_per_s: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def read(cls, report: Path) -> Self:
        """Read perf_analyzer's CSV report of one load level.

        Raises:
            BenchError: the report is missing or lacks a figure.
        """
        try:
            with report.open(newline="") as file:
                (row,) = csv.DictReader(file)
            percentiles = {f"p{which}_ms": float(row[f"p{which} latency"]) / 1000 for which in (50, 90, 95, 99)}
            return cls(float(row["Inferences/Second"]), **percentiles)
        except (OSError, ValueError, KeyError) as error:
            raise BenchError(
                f"cannot read the report of {PROGRAM} ({error!r}); expected the format of version 2.51"
            ) from error


@dataclass(frozen=True)
class PerfAnalyzer:
    """A perf_analyzer program.

    Attributes:
        program: Its path.
        version: The version that it prints.
    """

    program: str
    version: str

    @classmethod
    def find(cls, given: Path | None) -> Self:
        """Find the program, by default on PATH, and check that it starts.

        Raises:
            BenchError: it is not found or does not start.
        """
        program = shutil.which(given or PROGRAM)
        if program is None:
            raise BenchError(f"{given or f'{PROGRAM} on PATH'} not found; {HOW_TO_GET}")
        seen = _run([program, "--version"], EXTRA_S)
        if seen.returncode:
            raise BenchError(f"{program} does not start: {_output_tail(seen)}; {HOW_TO_GET}")
        return cls(program, seen.stdout.strip())

    def measure(self, url: str, model: str, data: Path, level: Level, window_s: float) -> Measured:
        """Load a model with the images of a data file for three windows; double windows in which no request ends.

        Raises:
            BenchError: perf_analyzer fails; the message ends with its output.
        """
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.csv"
            options = {
                "-m": model, "-u": url, "-i": "grpc", "-b": level.batch, "-f": report, "--input-data": data,
                "--concurrency-range": level.concurrency, "-p": round(window_s * 1000), "-r": WINDOWS,
                "-s": ANY_DEVIATION,
            }  # fmt: skip
            command = [self.program, *(str(part) for option in options.items() for part in option)]
            done = _run(command, WINDOWS * window_s * 2 + EXTRA_S)
            if done.returncode and TOO_SHORT in done.stdout + done.stderr and window_s < LONGEST_WINDOW_S:
                return self.measure(url, model, data, level, window_s * 2)
            if done.returncode:
                raise BenchError(f"{PROGRAM} failed on {model!r}: {_output_tail(done)}")
            return Measured.read(report)


def write_data(canvases: Canvas, path: Path) -> None:
    """Write canvases UINT8 [N, S, S, 3] as perf_analyzer's input data; a batch has consecutive ones."""
    images = [{IMAGE.name: {"b64": base64.b64encode(canvas.tobytes()).decode()}} for canvas in canvases]
    path.write_text(json.dumps({"data": images}))


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 (perf_analyzer, with our own arguments)
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]} could not be run or did not end in time: {error}") from error


def _output_tail(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or f"exit status {done.returncode}"
