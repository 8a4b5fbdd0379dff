"""The command `cascade`: ask a served cascade."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from cascade_client.client import DEFAULT_MODEL, CascadeClient
from cascade_client.errors import CascadeError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console, stderr = Console(), Console(stderr=True)

Url = Annotated[str, typer.Option(envvar="CASCADE_URL", help="host:port of Triton's gRPC service.")]
Model = Annotated[str, typer.Option(help="The cascade's Triton model name.")]
DEFAULT_URL = "127.0.0.1:8001"

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def friendly_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Print an error that was raised on purpose and exit with 1."""

    @functools.wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except CascadeError as error:
            stderr.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from error

    return run


@app.command()
@friendly_errors
def classify(
    files: Annotated[list[Path], typer.Argument(help="Image files.")],
    url: Url = DEFAULT_URL,
    model: Model = DEFAULT_MODEL,
    operating_point: Annotated[str | None, typer.Option(help="A name from the served cascade.json.")] = None,
    max_stage: Annotated[int | None, typer.Option(help="The last stage to pay for; 1 is the first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Classify image files; say which stage answered."""
    with CascadeClient(url, model=model) as client:
        results = client.classify(files, operating_point=operating_point, max_stage=max_stage, details=True)
    if as_json:
        for file, result in zip(files, results, strict=True):
            typer.echo(json.dumps({"file": str(file), **result.as_dict()}))
        return
    table = Table("label", "confidence", "stage", "confidence at each stage", Column("file", overflow="fold"))
    for file, result in zip(files, results, strict=True):
        stages = "  ".join(f"{value:.3f}" for value in result.stage_confidence or ())
        stage = f"{result.exit_stage} (degraded)" if result.degraded else str(result.exit_stage)
        row = (escape(result.label), f"{result.confidence:.3f}", stage, stages, escape(str(file)))
        table.add_row(*row)
    console.print(table)


@app.command()
@friendly_errors
def status(url: Url = DEFAULT_URL, model: Model = DEFAULT_MODEL) -> None:
    """Show whether the cascade is ready, and what it takes."""
    with CascadeClient(url, model=model) as client:
        seen = client.status
    table = Table(show_header=False)
    table.add_row("server", f"{seen.server} at {url}")
    table.add_row("model", f"{seen.model}, version {', '.join(seen.versions)}")
    table.add_row("ready", "[green]yes[/]" if seen.ready else "[red]no[/]")
    table.add_row("stages", str(seen.stages))
    table.add_row("canvas", f"{seen.canvas} x {seen.canvas} pixels, RGB")
    table.add_row("classes", str(seen.classes))
    table.add_row("largest request", f"{seen.max_batch_size} images")
    console.print(table)
    raise typer.Exit(0 if seen.ready else 1)
