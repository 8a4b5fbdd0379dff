"""The command `build-engines`: pool file in; ONNX files and Triton entries out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from build_engines.costs.costs import Costs
from build_engines.costs.latency import measure_costs
from build_engines.costs.throughput import ROUNDS, Load
from build_engines.errors import BuildError
from build_engines.export.audit import check_up
from build_engines.export.manifest import ExportRecord
from build_engines.images.folder import order_note
from build_engines.plans.command import commands, make_plans, options_of
from build_engines.plans.record import HardwareCompatibility
from build_engines.pool.artifacts import Workspace
from build_engines.pool.schema import Pool, Precision, load_pool
from build_engines.repository.cascade_entry import put_cascade
from build_engines.repository.encoded import MAX_PIXELS
from build_engines.repository.runtimes import RUNTIMES, check_takes
from build_engines.repository.runtimes.torch import PRECISIONS
from build_engines.repository.writer import backbone_entry, remove_encoded, write_encoded, write_files
from build_engines.support.console import Version, friendly_errors, progress_bar, say_notes
from build_engines.tables import checkup_table, export_table, profile_table

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()
DEFAULT_URL = "127.0.0.1:8001"
friendly = friendly_errors(BuildError, OSError)
resumable = friendly_errors(BuildError, OSError, goes_on=True)

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
ServedPrecision = Annotated[
    str | None, typer.Option("--precision", help=f"With the runtime torch, on a GPU: {', '.join(PRECISIONS)}.")
]
Encoded = Annotated[bool, typer.Option(help="Whether the cascade is to take encoded images too; needs Pillow there.")]
MaxPixels = Annotated[int, typer.Option(min=2, help="The largest encoded image that is decoded, width x height.")]

BatchSizes = Annotated[
    list[int] | None,
    typer.Option(min=1, help="Measure milliseconds an image in requests of so many images; may be repeated."),
]
Clients = Annotated[int, typer.Option(min=1, help="With --batch: how many clients send such requests at once.")]
Url = Annotated[str, typer.Option(help="With --batch: host:port of Triton's gRPC service.")]

WorkspaceMib = Annotated[
    int, typer.Option(min=1, help="The most GPU memory of one layer beside what it takes and gives.")
]
VersionCompatible = Annotated[
    bool, typer.Option(help="Let later TensorRT of the same major load it; Triton must then be told to trust it.")
]
Hardware = Annotated[HardwareCompatibility, typer.Option(help="Let other GPUs load it; may be slower.")]
Tf32 = Annotated[
    bool,
    typer.Option(help="Let tensor cores round FP32 to 10 bits of mantissa: faster, and further from ONNX Runtime."),
]
Trtexec = Annotated[bool, typer.Option("--trtexec", help="Print the equivalent commands and build nothing.")]

PoolOption = Annotated[Path | None, typer.Option(help="The pool file, to compare entries with the files built of it.")]
Log = Annotated[Path | None, typer.Option(help="A log of Triton's, to look for known errors in.")]
ShmSize = Annotated[
    str | None, typer.Option(help="The container's, as docker writes it: 1g; by default this machine's shared memory.")
]
TensorRTVersion = Annotated[
    str | None,
    typer.Option(help="The TensorRT that is to serve, such as 10.13.3.9; by default the one installed here."),
]


@app.callback(help=__doc__)
def main(version: Version = False) -> None:
    """Take the options that come before a command."""


@app.command()
@resumable
def export(pool: PoolFile, build: Build = Path("build"), images: Images = None) -> None:
    """Export every backbone with its preprocessing and softmax as one ONNX file, and check it."""
    loaded = load_pool(pool)
    say_notes(console, _order_notes([loaded], images))
    workspace = Workspace.of(loaded, build)
    records = {backbone.name: ExportRecord.of(loaded, backbone, workspace) for backbone in loaded.backbones}
    missing = [backbone for backbone in loaded.backbones if records[backbone.name] is None]
    if missing:
        from build_engines.export.export import check_pool, export  # noqa: PLC0415 (torch takes seconds)
        from build_engines.images.samples import check_images  # noqa: PLC0415

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
    precision: ServedPrecision = None,
    encoded: Encoded = True,
    max_pixels: MaxPixels = MAX_PIXELS,
) -> None:
    """Write a Triton entry for every exported backbone; beside them the cascade, and what decodes images for it."""
    from build_engines.repository.foreign_entries import (  # noqa: PLC0415 (cascade.json is not read where plans are built)
        canvas_of_encoded,
        kept_of_others,
    )

    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    check_takes(loaded, runtime)
    entries = [backbone_entry(loaded, backbone, workspace, runtime, precision) for backbone in loaded.backbones]
    for config, files in entries:  # of all or none: half a repository of one runtime serves nobody
        wrote = write_files(output, config, files)
        console.print(f"{output / config.name}: {'written' if wrote else 'reused'}")
    put_cascade(output)
    if not encoded:
        remove_encoded(output)
    canvas = canvas_of_encoded(output, loaded)
    for name, wrote in write_encoded(canvas, output, max_pixels).items() if encoded else ():
        console.print(f"{output / name}: {'written' if wrote else 'reused'}")
    say_notes(console, kept_of_others(output, loaded))


@app.command()
@resumable
def check(
    pools: PoolFiles,
    build: Build = Path("build"),
    images: Images = None,
    random_weights: RandomWeights = False,
    precision: PrecisionName = None,
) -> None:
    """Export every backbone of the pools and say what speaks against its file; 1 if anything does."""
    chosen = [load_pool(path).variant(random_weights=random_weights, precision=precision) for path in pools]
    work = [(pool, backbone) for pool in chosen for backbone in pool.backbones]
    say_notes(console, _order_notes(chosen, images))
    with progress_bar(console) as progress:
        checkups = [
            check_up(pool, backbone, Workspace.of(pool, build), images)
            for pool, backbone in progress.track(work, description="checking")
        ]
    console.print(checkup_table(checkups))
    for problem in (checkup.problem for checkup in checkups if checkup.problem):
        console.print(problem, markup=False, highlight=False, soft_wrap=True)
    if not all(checkup.is_clean for checkup in checkups):
        raise typer.Exit(1)


@app.command()
@friendly
def profile(
    pool: PoolFile,
    batch: BatchSizes = None,
    clients: Clients = 1,
    url: Url = DEFAULT_URL,
    build: Build = Path("build"),
) -> None:
    """Count the multiply-accumulates of every backbone; with --batch, measure the served ones too."""
    from build_engines.costs.macs_profile import profile  # noqa: PLC0415 (torch takes seconds)

    loaded = load_pool(pool)
    with progress_bar(console) as progress:
        profiles = [profile(loaded, b) for b in progress.track(loaded.backbones, description="counting")]
    workspace = Workspace.of(loaded, build)
    measured = _measure(loaded, workspace, url, [Load(clients, size) for size in sorted(set(batch or ()))])
    console.print(profile_table(loaded, profiles, measured))
    for size in measured:
        console.print(f"for build-cascade search --costs: {workspace.costs_at(size)}", soft_wrap=True)


@app.command()
@resumable
def plan(
    pool: PoolFile,
    build: Build = Path("build"),
    workspace_mib: WorkspaceMib = 4096,
    version_compatible: VersionCompatible = False,
    hardware_compatibility: Hardware = "none",
    tf32: Tf32 = False,
    images: Images = None,
    trtexec: Trtexec = False,
) -> None:
    """Build a TensorRT plan of every exported backbone, on the GPU and in the TensorRT that will serve it."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    work = options_of(loaded, workspace_mib, version_compatible, hardware_compatibility, tf32)
    if trtexec:
        for command in commands(loaded, workspace, work):
            typer.echo(command)
        if absent := [backbone.name for backbone in loaded.backbones if not workspace.onnx(backbone.name).is_file()]:
            typer.echo(f"note: not exported yet: {', '.join(absent)}; run build-engines export first", err=True)
        return
    say_notes(console, _order_notes([loaded], images))
    make_plans(loaded, workspace, work, images, console)


@app.command()
@friendly
def doctor(
    repository: Repository = Path("model_repository"),
    pool: PoolOption = None,
    build: Build = Path("build"),
    log: Log = None,
    tensorrt: TensorRTVersion = None,
    shm_size: ShmSize = None,
) -> None:
    """Say what in a model repository fits and what does not, and what to do; 1 if anything does not."""
    from build_engines.doctor.command import (  # noqa: PLC0415 (cascade.json is not read where plans are built)
        examine,
        findings_table,
        shared_memory_bytes,
        size_bytes,
        this_place,
    )

    workspace = Workspace.of(load_pool(pool), build) if pool else None
    shared_bytes = size_bytes(shm_size) if shm_size else shared_memory_bytes()
    findings = examine(repository, workspace, log, this_place(tensorrt), shared_bytes)
    console.print(findings_table(findings))
    if not all(finding.is_well for finding in findings):
        raise typer.Exit(1)


def _order_notes(pools: Sequence[Pool], images: Path | None) -> list[str]:
    return sorted({order_note(images, pool.labels) for pool in pools}) if images else []


def _measure(pool: Pool, workspace: Workspace, url: str, loads: Sequence[Load]) -> dict[int, Costs]:
    if not loads:
        return {}
    with progress_bar(console) as progress:
        task = progress.add_task("measuring", total=len(loads) * len(pool.backbones) * ROUNDS)
        return measure_costs(pool, workspace, url, loads, lambda: progress.advance(task))
