"""What the command lines share: progress bars, and expected errors as one clear line instead of a traceback."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
SECONDS_A_LINE = 15.0
INTERRUPTED = 130
RESUMABLE = "interrupted; finished work is kept: rerun to continue"
NOT_RESUMABLE = "interrupted; rerun from the start"


def progress_bar(console: Console) -> Progress:
    """Return a progress bar with the title, how much is done, and the time remaining."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


class ProgressBars:
    """The bars of one job: one for each title that its `OnProgress` callback, `report`, is called with.

    Where the output is no terminal, which shows bars at their end only, a line is printed now and then.
    """

    def __init__(self, progress: Progress, seconds_a_line: float = SECONDS_A_LINE) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._seconds_a_line = seconds_a_line
        self._last_line_s = time.monotonic()

    def report(self, title: str, done: int, total: int) -> None:
        """Show how much of a total is done."""
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=done)
        if not self._progress.console.is_terminal and done < total:
            self._print_now_and_then(f"{title}: {done} of {total}")

    def _print_now_and_then(self, line: str) -> None:
        now_s = time.monotonic()
        if now_s - self._last_line_s >= self._seconds_a_line:
            self._progress.console.print(line, markup=False, highlight=False)
            self._last_line_s = now_s


def print_notes(console: Console, notes: Iterable[str]) -> None:
    """Print what the user should look at, a yellow line each, without duplicates; empty notes are left out."""
    for note in filter(None, dict.fromkeys(notes)):
        console.print(note, style="yellow", markup=False, highlight=False, soft_wrap=True)


def print_version(requested: bool) -> None:
    """Print the version of the installed distribution and exit, if requested."""
    if requested:
        typer.echo(f"triton-cascades {_installed_version()}")
        raise typer.Exit


def _installed_version() -> str:
    try:
        return version("triton-cascades")
    except PackageNotFoundError:  # run from a checkout, as in NVIDIA's container
        return "(not installed)"


Version = Annotated[
    bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
]


def friendly_errors(
    *expected: type[Exception], resumable: bool = False
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator: print an expected error and exit with 1; on Ctrl-C exit with 130.

    Args:
        expected: The exceptions that are printed as one line.
        resumable: Whether the command, when rerun, continues where it stopped.
    """

    def decorate(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(command)
        def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            stderr = Console(stderr=True)
            try:
                return command(*args, **kwargs)
            except expected as error:
                stderr.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
                raise typer.Exit(1) from error
            except KeyboardInterrupt as error:
                stderr.print(RESUMABLE if resumable else NOT_RESUMABLE)
                raise typer.Exit(INTERRUPTED) from error

        return run

    return decorate
