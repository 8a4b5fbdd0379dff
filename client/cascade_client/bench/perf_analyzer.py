"""Find NVIDIA's perf_analyzer, run it on canvases, and read what it measured."""

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
    "get it with `make perf-analyzer`, or run in NVIDIA's container tritonserver:<yy.mm>-py3-sdk; "
    "name it with --perf-analyzer or in CASCADE_PERF_ANALYZER"
)
WINDOWS = 3  # it takes no fewer
ANY_DEVIATION = "1000000"  # rounds and medians are ours: it is not to go on until it finds its windows alike
EXTRA_S = 120.0
TOO_SHORT = "Please use a larger time window"
LONGEST_WINDOW_S = 8.0


@dataclass(frozen=True)
class Level:
    """Say how hard the server is driven.

    Attributes:
        concurrency: Requests that are in flight at once.
        batch: Images in a request.
    """

    concurrency: int
    batch: int


@dataclass(frozen=True)
class Measured:
    """Hold what one run of perf_analyzer saw: throughput, and percentiles of the latency of a request."""

    images_per_s: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def read(cls, report: Path) -> Self:
        """Read perf_analyzer's CSV report of one level.

        Raises:
            BenchError: it holds no figures.
        """
        try:
            with report.open(newline="") as file:
                (row,) = csv.DictReader(file)
            percentiles = {f"p{which}_ms": float(row[f"p{which} latency"]) / 1000 for which in (50, 90, 95, 99)}
            return cls(float(row["Inferences/Second"]), **percentiles)
        except (OSError, ValueError, KeyError) as error:
            raise BenchError(
                f"cannot read the report of {PROGRAM} ({error!r}); is its version 2.51 or near?"
            ) from error


@dataclass(frozen=True)
class PerfAnalyzer:
    """Run one perf_analyzer program.

    Attributes:
        program: Where it lies.
        version: What it says of itself.
    """

    program: str
    version: str

    @classmethod
    def find(cls, given: Path | None) -> Self:
        """Find the program, by default on PATH, and see that it starts.

        Raises:
            BenchError: there is none, or it does not start.
        """
        program = shutil.which(given or PROGRAM)
        if program is None:
            raise BenchError(f"there is no {given or f'{PROGRAM} on PATH'}; {HOW_TO_GET}")
        seen = _run([program, "--version"], EXTRA_S)
        if seen.returncode:
            raise BenchError(f"{program} does not start: {_last_words(seen)}; {HOW_TO_GET}")
        return cls(program, seen.stdout.strip())

    def measure(self, url: str, model: str, data: Path, level: Level, window_s: float) -> Measured:
        """Drive a model with the images of a data file for three windows, longer ones where no request fits in.

        Raises:
            BenchError: perf_analyzer fails; its own last words say why.
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
                raise BenchError(f"{PROGRAM} failed on {model!r}: {_last_words(done)}")
            return Measured.read(report)


def write_data(canvases: Canvas, path: Path) -> None:
    """Write canvases UINT8 [N, S, S, 3] as perf_analyzer's input data; a batch is made of consecutive ones."""
    images = [{IMAGE.name: {"b64": base64.b64encode(canvas.tobytes()).decode()}} for canvas in canvases]
    path.write_text(json.dumps({"data": images}))


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]} does not run or does not end: {error}") from error


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or f"exit status {done.returncode}"
