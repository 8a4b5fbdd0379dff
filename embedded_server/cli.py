"""The command `serve-repository`: serve a Triton model repository until Ctrl-C; SIGHUP reloads the cascade."""

from __future__ import annotations

import signal
import threading
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cascade_core.contract import CASCADE
from embedded_server.errors import EmbeddedServerError
from embedded_server.preflight import backbones
from embedded_server.server import LOOPBACK, START_TIMEOUT_S, EmbeddedServer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console, stderr = Console(), Console(stderr=True)
HEALTH_PERIOD_S = 1.0


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"triton-cascades {version_of('triton-cascades')}")
        raise typer.Exit


@app.command(help=__doc__)
def serve(
    repository: Annotated[Path, typer.Option(help="The Triton model repository.")] = Path("model_repository"),
    backbones_only: Annotated[bool, typer.Option(help="Serve the backbones without the cascade.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is reached by other machines.")] = LOOPBACK,
    http_port: Annotated[int, typer.Option(help="Port of the HTTP service; 0 chooses a free one.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="Port of the gRPC service.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="Port of the metrics service.")] = 8002,
    log_file: Annotated[Path, typer.Option(help="Triton's own log.")] = Path("build/triton.log"),
    start_timeout_s: Annotated[
        int, typer.Option(min=1, help="How long loading may take; on a GPU the runtime torch compiles for minutes.")
    ] = START_TIMEOUT_S,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM; reload the cascade on SIGHUP."""
    try:
        server = EmbeddedServer(
            repository,
            models=backbones(repository) if backbones_only else None,
            host=host,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            log_file=log_file,
            start_timeout_s=start_timeout_s,
        )
        with server:
            stop, reload = _event(signal.SIGINT, signal.SIGTERM), _event(signal.SIGHUP)
            _announce(server, log_file)
            _wait(stop, reload, server)
            console.print("stopping")
    except EmbeddedServerError as error:
        stderr.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _announce(server: EmbeddedServer, log_file: Path) -> None:
    addresses = server.addresses
    console.print(f"serving; Ctrl-C stops it\n  gRPC     {addresses.grpc}\n  HTTP     http://{addresses.http}")
    console.print(f"  metrics  http://{addresses.metrics}/metrics\n  log      {log_file}", soft_wrap=True)


def _event(*signals: signal.Signals) -> threading.Event:
    event = threading.Event()
    for number in signals:
        signal.signal(number, lambda *_: event.set())
    return event


def _wait(stop: threading.Event, reload: threading.Event, server: EmbeddedServer) -> None:
    while not stop.wait(HEALTH_PERIOD_S):
        if reload.is_set():
            reload.clear()
            _reload(server)
        if not server.is_alive():
            raise EmbeddedServerError("Triton ended unexpectedly; see its log")


def _reload(server: EmbeddedServer) -> None:
    try:
        server.load(CASCADE)
        console.print("cascade reloaded")
    except EmbeddedServerError as error:
        stderr.print(
            f"[bold red]reload failed, the previous cascade is still served:[/] {escape(str(error))}", highlight=False
        )


if __name__ == "__main__":
    app()
