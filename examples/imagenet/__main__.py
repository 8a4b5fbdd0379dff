"""Serve a cascade of ImageNet classifiers: convert, export, serve, classify photographs, compare with single networks.

A step that has a command prints that command and runs it. The cascade is the one that ships with the pool.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from build_cascade.cascade_file import write_cascade
from build_cascade.errors import ChoiceError
from build_engines.errors import BuildError
from build_engines.images.canvas import Canvas
from build_engines.images.opening import open_images
from build_engines.pool.artifacts import BUILD_ROOT, PoolBuild
from build_engines.pool.schema import Pool
from build_engines.support.console import ProgressBars, friendly_errors, progress_bar
from cascade_client import CascadeClient, CascadeError
from cascade_core.contract import CASCADE, CASCADE_FILE
from cascade_core.spec import Cascade, SpecError, read_cascade
from embedded_server import EmbeddedServerError
from examples.common import console, run, served
from examples.imagenet.comparison import compare, comparison_table
from examples.imagenet.contact_sheet import write_contact_sheet
from examples.imagenet.crops import MEASURED_IMAGES, mixed_crops
from examples.imagenet.photographs import PHOTOGRAPHS
from examples.imagenet.pool import POOL_FILE, REPOSITORY, SHIPPED, export, read_shipped

CONSISTENT = ("--tolerance", "0.02")  # at most 2 % of the answers differ from those of the reference

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


Photos = Annotated[
    Path | None,
    typer.Option(envvar="PHOTOS", help="A folder of a few hundred photographs, without labels, to choose anew on."),
]


@app.command(help=__doc__)
@friendly_errors(BuildError, ChoiceError, SpecError, CascadeError, EmbeddedServerError, OSError, resumable=True)
def main(photos: Photos = None) -> None:
    """Run every step, reusing what is up to date."""
    started_s = time.monotonic()
    build = PoolBuild.open(POOL_FILE)
    photographs = _write_photographs(BUILD_ROOT / "photographs")
    export(build.pool)
    cascade = _take_shipped(build.pool)
    run("build-engines", "repository", POOL_FILE)
    if photos is not None:
        cascade = _choose_on(photos)
    canvases = _classify(photographs, cascade, build)
    if photos is not None:
        canvases = (
            open_images(str(photos), build.pool.labels, "none").sample(MEASURED_IMAGES).usable(build.pool.canvas)[1]
        )
    _compare(cascade, build, canvases)
    console.print(f"[bold]done in {time.monotonic() - started_s:.0f} s[/]; `make serve` serves it")


def _choose_on(photos: Path) -> Cascade:
    """Choose by agreement with the backbone nearest to the consensus on half of the photographs; report on the rest."""
    with served(REPOSITORY, backbones_only=True) as url:
        run("build-cascade", "predict", POOL_FILE, "--images", photos, "--labels", "none", "--url", url)
    run("build-cascade", "search", POOL_FILE, *CONSISTENT)
    run("build-cascade", "report", POOL_FILE)
    return read_cascade(REPOSITORY / CASCADE / CASCADE_FILE)


def _write_photographs(folder: Path) -> list[Path]:
    """Copy the photographs out of their packages, so that commands can name them."""
    console.rule("photographs of scikit-image and scikit-learn")
    folder.mkdir(parents=True, exist_ok=True)
    files = [Path(shutil.copy(photograph.path, folder)) for photograph in PHOTOGRAPHS]
    console.print(f"{folder}: {len(files)} photographs")
    return files


def _take_shipped(pool: Pool) -> Cascade:
    """Serve the cascade that ships with the pool, with the serving settings of the one that it replaces."""
    console.rule("the cascade that ships with the pool")
    cascade, note = write_cascade(REPOSITORY / CASCADE / CASCADE_FILE, read_shipped(SHIPPED, pool))
    stages = " → ".join(stage.model for stage in cascade.stages)
    console.print(f"{SHIPPED}: {stages}{'; ' * bool(note)}{note}", soft_wrap=True)
    return cascade


def _classify(photographs: list[Path], cascade: Cascade, build: PoolBuild) -> Canvas:
    """Classify the photographs; return crops of them that leave the cascade as the test images did."""
    sheet = build.folder / "contact-sheet.png"
    with served(REPOSITORY) as url:
        run("cascade", "status", "--url", url)
        run("cascade", "classify", *photographs, "--url", url)
        with CascadeClient(url) as client:
            write_contact_sheet(photographs, client.classify(photographs), cascade, sheet)
            console.print(f"contact sheet: {sheet}")
            return mixed_crops(client, photographs, cascade.evidence["test"]["exit_rates"])


def _compare(cascade: Cascade, build: PoolBuild, canvases: Canvas) -> None:
    console.rule("the cascade and single networks, served the same way")
    with progress_bar(console) as progress:
        rates = compare(cascade, build, REPOSITORY, canvases, ProgressBars(progress).report)
    console.print(comparison_table(cascade, rates))


if __name__ == "__main__":
    app()
