"""Run every step once on real digits: train, export, serve, predict, search, serve the cascade, classify, report.

A step that has a command prints that command and runs it.
"""

from __future__ import annotations

import time
from pathlib import Path

from build_cascade.predictions import SPLITS
from build_engines.images.opening import open_images
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import Pool
from build_engines.support.console import RESUMABLE, progress_bar
from cascade_core.contract import CASCADE, CASCADE_FILE
from examples.common import console, run, served
from examples.digits.dataset import write_digits

POOL_FILE = Path("pools/digits.yaml")
CLASSIFIED_IMAGES = 8


def main() -> None:
    """Run every step, reusing what is up to date."""
    started_s = time.monotonic()
    build = PoolBuild.open(POOL_FILE)
    images, repository = build.folder / "images", build.folder / "repository"
    cascade = repository / CASCADE / CASCADE_FILE
    _write_images(images)
    _train(build.pool, images / "train")
    run("build-engines", "export", POOL_FILE, "--images", images / "calibration")
    run("build-engines", "repository", POOL_FILE, "--output", repository, "--alone")
    _predict(images, repository)
    goal = ("--accuracy-at-least", "best", "--tolerance", "0.004")
    run("build-cascade", "search", POOL_FILE, *goal, "--output", cascade)
    _serve(images / "test", repository, cascade)
    run("build-cascade", "report", POOL_FILE, "--cascade", cascade, "--output", build.report)
    took_s = time.monotonic() - started_s
    console.print(f"[bold]done in {took_s:.0f} s[/]; serve-repository --repository {repository} serves it")


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


def _predict(images: Path, repository: Path) -> None:
    options = [part for split in SPLITS for part in (f"--{split}", images / split)]
    with served(repository, backbones_only=True) as url:
        run("build-cascade", "predict", POOL_FILE, *options, "--url", url)


def _serve(test: Path, repository: Path, cascade: Path) -> None:
    images = open_images(test, [entry.name for entry in sorted(test.iterdir())])
    files = [test / name for name in images.sample(CLASSIFIED_IMAGES).image_ids]
    with served(repository) as url:
        run("cascade", "status", "--url", url)
        run("cascade", "classify", *files, "--url", url)
        run("build-cascade", "measure", POOL_FILE, "--test", test, "--url", url, "--cascade", cascade)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(RESUMABLE) from None
