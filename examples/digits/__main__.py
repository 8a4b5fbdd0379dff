"""Run every step once on real digits: train, export, serve, predict, search, serve the cascade, classify, report.

A step that has a command prints that command and runs it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from build_cascade.predictions import SPLITS
from build_engines.images.opening import open_images
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import Pool, load_pool
from build_engines.support.console import RESUMABLE, progress_bar
from embedded_server import EmbeddedServer
from embedded_server.preflight import backbones
from examples.digits.dataset import write_digits

POOL_FILE, BUILD, REPOSITORY = Path("pools/digits.yaml"), Path("build"), Path("model_repository")
CLASSIFIED_IMAGES = 8
console = Console()


def main() -> None:
    """Run every step, reusing what is up to date."""
    started_s = time.monotonic()
    pool = load_pool(POOL_FILE)
    images = PoolBuild.of(pool, BUILD).folder / "images"
    _write_images(images)
    _train(pool, images / "train")
    _run("build-engines", "export", POOL_FILE, "--images", images / "calibration")
    _run("build-engines", "repository", POOL_FILE, "--alone")
    _predict(images)
    _run("build-cascade", "search", POOL_FILE, "--accuracy-at-least", "best", "--tolerance", "0.004")
    _serve(images / "test")
    _run("build-cascade", "report", POOL_FILE)
    console.print(
        f"[bold]done in {time.monotonic() - started_s:.0f} s[/]; `make serve` serves it, `make test` tests it"
    )


def _write_images(folder: Path) -> None:
    console.rule("1  scikit-learn's scanned digits as an image folder")
    if folder.is_dir():
        console.print(f"{folder}: reused")
        return
    write_digits(folder)
    console.print(f"{folder}: written")


def _train(pool: Pool, folder: Path) -> None:
    console.rule("2  train the pool")
    from examples.digits.train_pool import train_all, untrained  # noqa: PLC0415 (importing torch takes seconds, and nothing may need training)

    missing = untrained(pool)
    if missing:
        with progress_bar(console) as progress:
            tasks = {backbone.name: progress.add_task(backbone.name, total=None) for backbone in missing}
            train_all(
                pool,
                missing,
                open_images(folder, pool.labels),
                lambda name, done, total: progress.update(tasks[name], completed=done, total=total),
            )
    console.print(f"{len(missing)} backbones trained, {len(pool.backbones) - len(missing)} reused")


def _predict(images: Path) -> None:
    folders = [images / split for split in SPLITS]
    options = [part for split, folder in zip(SPLITS, folders, strict=True) for part in (f"--{split}", folder)]
    _with_server(backbones(REPOSITORY), lambda url: _run("build-cascade", "predict", POOL_FILE, *options, "--url", url))


def _serve(test: Path) -> None:
    images = open_images(test, [entry.name for entry in sorted(test.iterdir())])
    files = [test / name for name in images.sample(CLASSIFIED_IMAGES).image_ids]

    def ask(url: str) -> None:
        _run("cascade", "status", "--url", url)
        _run("cascade", "classify", *files, "--url", url)
        _run("build-cascade", "measure", POOL_FILE, "--test", test, "--url", url)

    _with_server(None, ask)


def _with_server(models: list[str] | None, ask: Callable[[str], None]) -> None:
    console.rule("serve the cascade" if models is None else "serve the backbones")
    with EmbeddedServer(REPOSITORY, models=models, log_file=BUILD / "triton.log") as server:
        console.print(f"Triton answers at {server.addresses.grpc}")
        ask(server.addresses.grpc)


def _run(command: str, *arguments: str | Path) -> None:
    console.rule(f"{command} {arguments[0]}")
    console.print(f"$ {command} {' '.join(str(argument) for argument in arguments)}", style="bold cyan", soft_wrap=True)
    program = shutil.which(command, path=Path(sys.executable).parent)
    finished = subprocess.run([program or command, *map(str, arguments)], check=False)  # noqa: S603 (our own commands)
    if finished.returncode:
        raise SystemExit(finished.returncode)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(RESUMABLE) from None
