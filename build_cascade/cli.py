"""The command `build-cascade`: predictions and costs in; cascade.json, a plot and a report out."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from build_cascade import pipeline
from build_cascade import report as reports
from build_cascade.choice import Bench, Goal
from build_cascade.errors import ChoiceError, GoalError
from build_cascade.search import Committee
from build_cascade.throughput import ROUNDS
from build_engines.console import friendly_errors, progress_bar
from build_engines.errors import BuildError
from build_engines.image_folder import open_image_folder
from build_engines.pool import load_pool
from build_engines.workspace import Workspace
from cascade_spec import SpecError, read_cascade
from gating import CONFIDENCES

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
friendly = friendly_errors(ChoiceError, BuildError, SpecError)

PoolFile = Annotated[Path, typer.Argument(help="A pool file, such as pools/digits.yaml.")]
Build = Annotated[Path, typer.Option(help="Where built files go.")]
Url = Annotated[str, typer.Option(help="host:port of Triton's gRPC service.")]
CascadeFile = Annotated[Path, typer.Option(help="The cascade.json to write or read.")]
Accuracy = Annotated[str | None, typer.Option(help="A share such as 0.98, or `best`: the best single backbone's.")]
Tolerance = Annotated[float, typer.Option(help="How far below that accuracy the cascade may be, as a share.")]
Cost = Annotated[float | None, typer.Option(help="Mean GMACs of an image.")]
Confidence = Annotated[str, typer.Option(help=f"What is compared with the thresholds: {', '.join(CONFIDENCES)}.")]
CalibrationFolder = Annotated[Path, typer.Option(help="Labelled images to choose on, one folder a class.")]
TestFolder = Annotated[Path, typer.Option(help="Labelled images to report on, one folder a class.")]

DEFAULT_URL = "127.0.0.1:8001"
DEFAULT_CASCADE = Path("model_repository/cascade/cascade.json")
BEST = "best"


@app.command()
@friendly
def predict(
    pool: PoolFile,
    calibration: CalibrationFolder,
    test: TestFolder,
    url: Url = DEFAULT_URL,
    build: Build = Path("build"),
) -> None:
    """Collect predictions on two folders of labelled images through the served backbones."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    for split, folder in zip(pipeline.SPLITS, (calibration, test), strict=True):
        images = open_image_folder(folder, loaded.labels)
        missing = pipeline.uncollected(loaded, workspace, split, images)
        with progress_bar(console) as progress:
            pipeline.collect(missing, split, url, _Bars(progress).tell)
        reused = len(loaded.backbones) - len(missing)
        console.print(f"{split}: {len(images)} images, {len(missing)} backbones asked, {reused} reused")


@app.command()
@friendly
def search(
    pool: PoolFile,
    accuracy_at_least: Accuracy = None,
    tolerance: Tolerance = 0.0,
    cost_at_most: Cost = None,
    confidence: Confidence = "max_probability",
    build: Build = Path("build"),
    output: CascadeFile = DEFAULT_CASCADE,
) -> None:
    """Look at every cascade of up to four backbones; write the best for a goal as cascade.json."""
    if confidence not in CONFIDENCES:
        raise GoalError(f"unknown confidence {confidence!r}; known are {', '.join(CONFIDENCES)}")
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    bench = pipeline.read_bench(loaded, workspace)
    with progress_bar(console) as progress:
        tell = functools.partial(_Bars(progress).tell, "searching")
        found = pipeline.search_frontier(bench, workspace, confidence, tell)
    accuracy = _accuracy(accuracy_at_least, cost_at_most, bench)
    goal = Goal(None if accuracy is None else accuracy - tolerance, cost_at_most)
    cascade = pipeline.choose_and_write(loaded, bench, found, goal, output)
    thresholds = ", ".join(f"{threshold:.4f}" for threshold in cascade.thresholds)
    console.print(f"{output}: {' → '.join(stage.model for stage in cascade.stages)}, thresholds {thresholds}")


@app.command()
@friendly
def measure(
    pool: PoolFile,
    test: TestFolder,
    url: Url = DEFAULT_URL,
    build: Build = Path("build"),
    cascade: CascadeFile = DEFAULT_CASCADE,
) -> None:
    """Measure images a second of each served backbone, all of them, and the cascade."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    if pipeline.read_throughput(loaded, workspace, cascade):
        console.print(f"{workspace.throughput}: reused")
        return
    with progress_bar(console) as progress:
        rounds = len(pipeline.measured_ways(loaded)) * ROUNDS
        task = progress.add_task("measuring", total=rounds)
        pipeline.measure_throughput(loaded, workspace, test, url, cascade, lambda: progress.advance(task))


@app.command()
@friendly
def report(pool: PoolFile, build: Build = Path("build"), cascade: CascadeFile = DEFAULT_CASCADE) -> None:
    """Print the table of single backbones, ensemble and cascade; save the accuracy-against-cost plot."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    chosen = read_cascade(cascade)
    bench = pipeline.read_bench(loaded, workspace)
    made = reports.Report.of(bench, chosen, pipeline.read_frontier(workspace))
    console.print(reports.table(made, chosen, pipeline.read_throughput(loaded, workspace, cascade)))
    picture = workspace.report / "frontier.png"
    reports.plot(made, picture, f"{loaded.name}: {len(loaded.backbones)} backbones and their cascades")
    console.print(f"plot: {picture}")


class _Bars:
    """Show one progress bar for each title that is told of."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def tell(self, title: str, done: int, total: int) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=done)


def _accuracy(given: str | None, cost_at_most: float | None, bench: Bench) -> float | None:
    if given == BEST or (given is None and cost_at_most is None):
        return bench.on_calibration(Committee.of([bench.best_single()])).accuracy
    try:
        return None if given is None else float(given)
    except ValueError as error:
        raise GoalError(f"--accuracy-at-least takes a share such as 0.98, or {BEST!r}, not {given!r}") from error
