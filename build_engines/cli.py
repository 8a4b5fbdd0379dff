"""The command `build-engines`: pool file in; ONNX files and Triton entries out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from build_engines.checkup import check_up
from build_engines.console import friendly_errors, progress_bar
from build_engines.encoded import MAX_PIXELS
from build_engines.errors import BuildError
from build_engines.pool import Precision, load_pool
from build_engines.record import ExportRecord
from build_engines.runtimes import RUNTIMES
from build_engines.tables import checkup_table, export_table, profile_table
from build_engines.triton_repository import put_cascade, remove_encoded, write_backbone, write_encoded
from build_engines.workspace import Workspace

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
friendly = friendly_errors(BuildError, OSError)

PoolFile = Annotated[Path, typer.Argument(help="A pool file, such as pools/digits.yaml.")]
PoolFiles = Annotated[list[Path], typer.Argument(help="Pool files, such as pools/*.yaml.")]
RandomWeights = Annotated[
    bool, typer.Option(help="Draw the weights at random, into build/POOL-random: what is left to check without them.")
]
PrecisionName = Annotated[
    Precision | None, typer.Option(help="Check in this precision, into build/POOL-PRECISION; by default the pool's.")
]
Build = Annotated[Path, typer.Option(help="Where built files go.")]
Images = Annotated[
    Path | None,
    typer.Option(help="A folder of labelled images to check with; by default crops of two photographs."),
]
Repository = Annotated[Path, typer.Option(help="The Triton model repository to write to.")]
RuntimeName = Annotated[str, typer.Option(help=f"What serves the backbones: {', '.join(RUNTIMES)}.")]
Encoded = Annotated[bool, typer.Option(help="Whether the cascade is to take encoded images too; needs Pillow there.")]
MaxPixels = Annotated[int, typer.Option(min=2, help="The largest encoded image that is decoded, width x height.")]


@app.command()
@friendly
def export(pool: PoolFile, build: Build = Path("build"), images: Images = None) -> None:
    """Export every backbone with its preprocessing and softmax as one ONNX file, and check it."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    records = {backbone.name: ExportRecord.of(loaded, backbone, workspace) for backbone in loaded.backbones}
    missing = [backbone for backbone in loaded.backbones if records[backbone.name] is None]
    if missing:
        from build_engines.export import check_images, check_pool, export  # noqa: PLC0415 (torch takes seconds)

        check_pool(loaded)
        canvases = check_images(loaded, images)
        with progress_bar(console) as progress:
            for backbone in progress.track(missing, description="exporting"):
                records[backbone.name] = export(loaded, backbone, workspace, canvases)
    console.print(export_table(loaded.name, {name: record for name, record in records.items() if record}))
    console.print(f"{len(missing)} exported, {len(records) - len(missing)} reused, in {workspace.folder / 'onnx'}")


@app.command()
@friendly
def repository(
    pool: PoolFile,
    build: Build = Path("build"),
    output: Repository = Path("model_repository"),
    runtime: RuntimeName = "embedded",
    encoded: Encoded = True,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Write a Triton entry for every exported backbone; beside them the cascade, and what decodes images for it."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    for backbone in loaded.backbones:
        wrote = write_backbone(loaded, backbone, workspace, output, runtime)
        console.print(f"{output / backbone.name}: {'written' if wrote else 'reused'}")
    put_cascade(output)
    if not encoded:
        remove_encoded(output)
        return
    for name, wrote in write_encoded(loaded.canvas, output, max_pixels).items():
        console.print(f"{output / name}: {'written' if wrote else 'reused'}")


@app.command()
@friendly
def check(
    pools: PoolFiles,
    build: Build = Path("build"),
    random_weights: RandomWeights = False,
    precision: PrecisionName = None,
) -> None:
    """Export every backbone of the pools and say what speaks against its file; 1 if anything does."""
    chosen = [load_pool(path).variant(random_weights=random_weights, precision=precision) for path in pools]
    work = [(pool, backbone) for pool in chosen for backbone in pool.backbones]
    with progress_bar(console) as progress:
        checkups = [
            check_up(pool, backbone, Workspace.of(pool, build))
            for pool, backbone in progress.track(work, description="checking")
        ]
    console.print(checkup_table(checkups))
    if not all(checkup.is_clean for checkup in checkups):
        raise typer.Exit(1)


@app.command()
@friendly
def profile(pool: PoolFile) -> None:
    """Count the multiply-accumulates of every backbone; no weights are needed."""
    from build_engines.profile import profile  # noqa: PLC0415 (torch takes seconds)

    loaded = load_pool(pool)
    with progress_bar(console) as progress:
        profiles = [profile(backbone) for backbone in progress.track(loaded.backbones, description="counting")]
    console.print(profile_table(loaded, profiles))
