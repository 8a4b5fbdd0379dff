"""The command `cascade`: classify images with a served cascade, and benchmark it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Column, Table

from cascade_client.bench import Plan, measure, result
from cascade_client.bench.perf_analyzer import PerfAnalyzer
from cascade_client.bench.plots import check_can_plot, draw
from cascade_client.client import DEFAULT_MODEL, CascadeClient
from cascade_client.description import IN_PROCESS, Description
from cascade_client.errors import BenchError, CascadeError
from cascade_client.results import Classification

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console, stderr = Console(), Console(stderr=True)

Url = Annotated[str, typer.Option(envvar="CASCADE_URL", help="host:port of Triton's gRPC service.")]
Model = Annotated[str, typer.Option(help="Triton model name of the cascade.")]
LONGEST_WORD = 24  # of a label that is kept whole in a narrow terminal
DEFAULT_URL = "127.0.0.1:8001"

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def friendly_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Print an error of this package as one line and exit with 1."""

    @functools.wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except CascadeError as error:
            stderr.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error

    return run


def _print_note(note: str) -> None:
    console.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"triton-cascades-client {version_of('triton-cascades-client')}")
        raise typer.Exit


@app.callback(help=__doc__)
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command()
@friendly_errors
def classify(
    files: Annotated[list[Path], typer.Argument(help="Image files.")],
    url: Url = DEFAULT_URL,
    model: Model = DEFAULT_MODEL,
    operating_point: Annotated[str | None, typer.Option(help="Name of an operating point in cascade.json.")] = None,
    max_stage: Annotated[int | None, typer.Option(help="The last stage that may run; 1 is the first.")] = None,
    encoded: Annotated[
        bool, typer.Option("--encoded", help="Send the files undecoded; the server decodes them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Classify image files and show which stage answered."""
    with CascadeClient(url, model=model) as client:
        described = None if as_json else client.description
        results = client.classify(
            files, operating_point=operating_point, max_stage=max_stage, details=True, encoded=encoded
        )
    if as_json:
        for file, result in zip(files, results, strict=True):
            typer.echo(json.dumps({"file": str(file), **result.as_dict()}))
        return
    console.print(_answers(files, results, described))


def _answers(files: Sequence[Path], answers: Sequence[Classification], described: Description | None) -> Table:
    """Return a line for each file; labels fold between words, which are kept whole as far as there is room."""
    confidence = f"confidence\n({described.confidence})" if described else "confidence"
    words = max((len(word) for answer in answers for word in answer.label.split()), default=0)
    label = Column("label", min_width=min(words, LONGEST_WORD))
    table = Table(label, confidence, "stage", "by stage", Column("file", overflow="fold"))
    for file, answer in zip(files, answers, strict=True):
        stages = "  ".join(f"{value:.3f}" for value in answer.stage_confidence or ())
        stage = f"{answer.exit_stage} (degraded)" if answer.degraded else str(answer.exit_stage)
        table.add_row(escape(answer.label), f"{answer.confidence:.3f}", stage, stages, escape(str(file)))
    return table


@app.command()
@friendly_errors
def status(url: Url = DEFAULT_URL, model: Model = DEFAULT_MODEL) -> None:
    """Show whether the cascade is ready, its stages and its limits."""
    with CascadeClient(url, model=model) as client:
        served = client.status
        described = client.description if served.ready else None
    table = Table(show_header=False)
    table.add_row("server", f"{served.server} at {url}")
    table.add_row("model", f"{served.model}, version {', '.join(served.versions)}")
    table.add_row("ready", "[green]yes[/]" if served.ready else "[red]no[/]")
    table.add_row("stages", _stages(described) if described else str(served.stages))
    if described:
        table.add_row("predictions", f"combined by {described.combine}")
        table.add_row("confidence", described.confidence)
        table.add_row("operating points", _points(described) or "none")
        table.add_row("stages run", "in process" if described.reach == IN_PROCESS else "through BLS")
    table.add_row("canvas", f"{served.canvas} x {served.canvas} pixels, RGB")
    table.add_row("classes", str(served.classes))
    table.add_row("largest request", f"{served.max_batch_size} images")
    console.print(table)
    raise typer.Exit(0 if served.ready else 1)


def _stages(described: Description) -> str:
    """Return a line for each stage: its name, and when an image leaves there."""
    every = described.mode == "ensemble"
    lines = []
    for place, stage in enumerate(described.stages, start=1):
        leaves = "" if stage.threshold is None or every else f", images leave {_at(stage.threshold)}"
        weight = "" if stage.weight == 1 else f", weight {stage.weight:g}"
        cost = f", {stage.cost:.4g} {described.cost_unit}" if stage.cost else ""
        lines.append(f"{place}  {stage.model}{cost}{weight}{leaves}")
    return escape("\n".join(lines + ["every image runs all stages"] * every))


def _points(described: Description) -> str:
    """Return a line for each operating point, with its thresholds."""
    points = described.operating_points.items()
    return escape(
        "\n".join(f"{name}: {', '.join(map(_threshold, values)) or 'no threshold'}" for name, values in points)
    )


def _at(threshold: float | str) -> str:
    return "never" if isinstance(threshold, str) else f"at {_threshold(threshold)}"


def _threshold(threshold: float | str) -> str:
    return threshold if isinstance(threshold, str) else f"{threshold:.4g}"


@app.command()
@friendly_errors
def bench(
    images: Annotated[Path, typer.Argument(help="Labelled images: a folder with one subfolder per class.")],
    url: Url = DEFAULT_URL,
    model: Model = DEFAULT_MODEL,
    backbone: Annotated[
        list[str] | None, typer.Option(help="A backbone to compare with; may be repeated; by default all served.")
    ] = None,
    ensemble: Annotated[
        list[str] | None, typer.Option(help="A model that runs several backbones; may be repeated.")
    ] = None,
    concurrency: Annotated[str, typer.Option(help="Numbers of concurrent requests, comma-separated.")] = "1,4,16",
    batch: Annotated[str, typer.Option(help="Numbers of images per request, comma-separated.")] = "1,8",
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds of measurement; medians are reported.")] = 3,
    window_s: Annotated[float, typer.Option(min=0.1, help="Length of a measurement window; a run has three.")] = 1.0,
    exit_mix: Annotated[
        str | None, typer.Option(help="Share of the load that exits at each stage, such as 60,25,15.")
    ] = None,
    most_images: Annotated[int, typer.Option(min=1, help="Maximum number of images to measure top-1 on.")] = 2000,
    perf_analyzer: Annotated[
        Path | None,
        typer.Option(envvar="CASCADE_PERF_ANALYZER", help="Path of perf_analyzer; by default found on PATH."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for bench.json, bench.csv and the plots.")] = Path("bench"),
    plots: Annotated[bool, typer.Option(help="Draw plots; needs matplotlib (the extra `bench`).")] = True,
) -> None:
    """Measure the cascade and its backbones with perf_analyzer, on labelled images."""
    if plots:
        check_can_plot()
    plan = Plan(
        url=url,
        cascade=model,
        images=images,
        backbones=tuple(backbone or ()),
        ensembles=tuple(ensemble or ()),
        concurrencies=tuple(map(int, _numbers("--concurrency", concurrency))),
        batches=tuple(map(int, _numbers("--batch", batch))),
        rounds=rounds,
        window_s=window_s,
        mix=None if exit_mix is None else _numbers("--exit-mix", exit_mix, least=0),
        most_images=most_images,
    )
    program = PerfAnalyzer.find(perf_analyzer)
    with Progress(console=console) as progress:
        measured = measure(plan, program, _Bars(progress).update, _print_note)
    written = measured.write(output) + (draw(measured, output) if plots else [])
    console.print(result.table(measured))
    console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True)


class _Bars:
    """Progress bars, one per title."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def update(self, title: str, done: int, total: int) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=done)


def _numbers(option: str, given: str, least: float = 1) -> tuple[float, ...]:
    try:
        numbers = tuple(float(number) for number in given.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < least:
        raise BenchError(
            f"invalid {option} {given!r}: expected comma-separated numbers of at least {least:g}, such as 1,8"
        )
    return numbers
