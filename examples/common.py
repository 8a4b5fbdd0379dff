"""What the examples share: they run the project's own commands, and serve a repository while they ask it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from build_engines.pool.artifacts import BUILD_ROOT
from embedded_server import EmbeddedServer
from embedded_server.preflight import backbones

console = Console()


def run(command: str, *arguments: str | Path) -> None:
    """Print one of the project's commands and run it; exit with its status where it fails."""
    console.rule(f"{command} {arguments[0]}")
    console.print(f"$ {command} {' '.join(str(argument) for argument in arguments)}", style="bold cyan", soft_wrap=True)
    program = shutil.which(command, path=Path(sys.executable).parent)
    finished = subprocess.run([program or command, *map(str, arguments)], check=False)  # noqa: S603 (our own commands)
    if finished.returncode:
        raise SystemExit(finished.returncode)


@contextmanager
def served(repository: Path, *, backbones_only: bool = False) -> Iterator[str]:
    """Serve a model repository on free ports while the context lasts; return host:port of its gRPC service."""
    console.rule("serve the backbones" if backbones_only else "serve the cascade")
    models = backbones(repository) if backbones_only else None
    with EmbeddedServer(repository, models=models, log_file=BUILD_ROOT / "triton.log") as server:
        console.print(f"Triton answers at {server.addresses.grpc}")
        yield server.addresses.grpc
