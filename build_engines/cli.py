"""The command `build-engines`: pool file in; ONNX files and Triton entries out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from build_engines.costs.latency import measure_costs
from build_engines.costs.throughput import Load
from build_engines.doctor.environment import find_environment, shared_memory_bytes, size_bytes
from build_engines.doctor.examine import examine
from build_engines.errors import BuildError
from build_engines.export.audit import audit_pools
from build_engines.export.export import check_exported, export_pool
from build_engines.images.opening import open_with_optional_labels
from build_engines.images.source import ImageSource
from build_engines.plans.pool_plans import PlanBuilder, check_results, not_exported_note, trtexec_commands
from build_engines.plans.record import HardwareCompatibility, PlanSettings
from build_engines.pool.artifacts import BUILD_ROOT, PoolBuild
from build_engines.pool.schema import Pool, Precision, load_pool
from build_engines.repository.encoded import MAX_PIXELS
from build_engines.repository.foreign_entries import foreign_entry_notes
from build_engines.repository.runtimes import RUNTIMES
from build_engines.repository.runtimes.torch import PRECISIONS
from build_engines.repository.writer import write_repository
from build_engines.support.console import ProgressBars, Version, friendly_errors, print_notes, progress_bar
from build_engines.tables import audit_table, export_table, findings_table, plan_table, profile_table

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()
DEFAULT_URL = "127.0.0.1:8001"
friendly = friendly_errors(BuildError, OSError)
resumable = friendly_errors(BuildError, OSError, resumable=True)

PoolFile = Annotated[Path, typer.Argument(help="A pool file, such as pools/digits.yaml.")]
PoolFiles = Annotated[list[Path], typer.Argument(help="Pool files, such as pools/*.yaml.")]
RandomWeights = Annotated[
    bool, typer.Option(help="Use random weights, and write to build/POOL-random: checks everything but the weights.")
]
PrecisionName = Annotated[
    Precision | None,
    typer.Option(help="Check in this precision, and write to build/POOL-PRECISION; by default the pool's."),
]
Root = Annotated[Path, typer.Option("--build", help="The folder for built files.")]
Images = Annotated[
    str | None,
    typer.Option(
        help="Images to compare on, such as a folder; labels are not needed. Default: crops of two photographs."
    ),
]
Repository = Annotated[Path, typer.Option(help="The Triton model repository.")]
RuntimeName = Annotated[str, typer.Option(help=f"The runtime that serves the backbones: {', '.join(RUNTIMES)}.")]
ServedPrecision = Annotated[
    str | None,
    typer.Option("--precision", help=f"The precision of the runtime torch on a GPU: {', '.join(PRECISIONS)}."),
]
Encoded = Annotated[
    bool, typer.Option(help="Whether the cascade also accepts encoded images; needs Pillow in the server.")
]
MaxPixels = Annotated[int, typer.Option(min=2, help="The largest encoded image that is decoded, as width x height.")]

Alone = Annotated[
    bool,
    typer.Option(
        "--alone",
        help="Also serve every backbone as a cascade of one stage, NAME_alone: speeds compare like with like.",
    ),
]
BatchSizes = Annotated[
    list[int] | None,
    typer.Option(min=1, help="Measure milliseconds per image in requests of this many images; may be repeated."),
]
Clients = Annotated[
    int, typer.Option(min=1, help="With --batch: the number of clients that send requests concurrently.")
]
Url = Annotated[str, typer.Option(envvar="CASCADE_URL", help="With --batch: host:port of Triton's gRPC service.")]

WorkspaceMib = Annotated[
    int, typer.Option(min=1, help="The GPU memory that a layer may use in addition to its inputs and outputs.")
]
VersionCompatible = Annotated[
    bool,
    typer.Option(help="Let later TensorRT versions of the same major load the plans; Triton needs an option for it."),
]
Hardware = Annotated[HardwareCompatibility, typer.Option(help="Let other GPUs load the plans; may be slower.")]
Tf32 = Annotated[
    bool,
    typer.Option(help="Let tensor cores round FP32 to a mantissa of 10 bits: faster, less exact."),
]
Trtexec = Annotated[bool, typer.Option("--trtexec", help="Print the equivalent trtexec commands and build nothing.")]

PoolOption = Annotated[
    Path | None, typer.Option(help="The pool file, to compare entries with the files built from it.")
]
Log = Annotated[Path | None, typer.Option(help="A log of Triton's, to search for known errors.")]
ShmSize = Annotated[
    str | None,
    typer.Option(help="The container's shared memory as docker writes it, such as 1g; by default this machine's."),
]
TensorRTVersion = Annotated[
    str | None,
    typer.Option(help="The server's TensorRT version, such as 10.13.3.9; by default the one installed here."),
]


@app.callback(help=__doc__)
def main(version: Version = False) -> None:
    """Take the options that come before a command."""


@app.command()
@resumable
def export(pool: PoolFile, root: Root = BUILD_ROOT, images: Images = None) -> None:
    """Export every backbone with its preprocessing and softmax as one ONNX file, and check it."""
    build = PoolBuild.open(pool, root)
    shown = _opened(images, build.pool)
    with progress_bar(console) as progress:
        results = export_pool(build, shown, ProgressBars(progress).report)
    console.print(export_table(build.pool.name, results))
    new, refused = sum(result.is_new for result in results), sum(result.error is not None for result in results)
    done = f"{new} exported, {len(results) - new - refused} reused, in {build.onnx_folder}"
    console.print(f"{done}; {refused} refused" if refused else done)
    check_exported(results)


@app.command()
@friendly
def repository(
    pool: PoolFile,
    root: Root = BUILD_ROOT,
    output: Repository = Path("model_repository"),
    runtime: RuntimeName = "embedded",
    precision: ServedPrecision = None,
    encoded: Encoded = True,
    max_pixels: MaxPixels = MAX_PIXELS,
    alone: Alone = False,
) -> None:
    """Write the Triton entries of all exported backbones, of the cascade, and of its image decoder."""
    build = PoolBuild.open(pool, root)
    for entry in write_repository(build, output, runtime, precision, encoded, max_pixels, alone):
        console.print(str(entry))
    print_notes(console, foreign_entry_notes(output, build.pool))


@app.command()
@resumable
def check(
    pools: PoolFiles,
    root: Root = BUILD_ROOT,
    images: Images = None,
    random_weights: RandomWeights = False,
    precision: PrecisionName = None,
) -> None:
    """Export every backbone of the pools and report problems of the files; exit with 1 if there are any."""
    variants = [load_pool(path).variant(random_weights=random_weights, precision=precision) for path in pools]
    shown = _opened(images, variants[0])
    with progress_bar(console) as progress:
        audits = audit_pools([PoolBuild.of(pool, root) for pool in variants], shown, ProgressBars(progress).report)
    console.print(audit_table(audits))
    for problem in filter(None, (audit.problem for audit in audits)):
        console.print(problem, markup=False, highlight=False, soft_wrap=True)
    if not all(audit.is_clean for audit in audits):
        raise typer.Exit(1)


@app.command()
@friendly
def profile(
    pool: PoolFile,
    batch: BatchSizes = None,
    clients: Clients = 1,
    url: Url = DEFAULT_URL,
    root: Root = BUILD_ROOT,
) -> None:
    """Count the multiply-accumulates of every backbone; with --batch, also measure the served ones."""
    from build_engines.costs.macs_profile import profile_pool  # noqa: PLC0415 (torch takes seconds)

    build = PoolBuild.open(pool, root)
    loads = [Load(clients, size) for size in sorted(set(batch or ()))]
    with progress_bar(console) as progress:
        report = ProgressBars(progress).report
        profiles = profile_pool(build, report)
        measured = measure_costs(build, url, loads, report) if loads else {}
    console.print(profile_table(build.pool, profiles, measured))
    for size in measured:
        console.print(f"for build-cascade search --costs: {build.costs_at(size)}", soft_wrap=True)


@app.command()
@resumable
def plan(
    pool: PoolFile,
    root: Root = BUILD_ROOT,
    workspace_mib: WorkspaceMib = 4096,
    version_compatible: VersionCompatible = False,
    hardware_compatibility: Hardware = "none",
    tf32: Tf32 = False,
    images: Images = None,
    trtexec: Trtexec = False,
) -> None:
    """Build a TensorRT plan of every exported backbone, with the GPU and the TensorRT that will serve it."""
    build = PoolBuild.open(pool, root)
    settings = PlanSettings(
        workspace_mib=workspace_mib,
        version_compatible=version_compatible,
        hardware_compatibility=hardware_compatibility,
        tf32=tf32,
    )
    if trtexec:
        typer.echo("\n".join(trtexec_commands(build, settings)))
        if note := not_exported_note(build):
            typer.echo(note, err=True)
        return
    shown = _opened(images, build.pool)
    builder = PlanBuilder.find()
    console.print(str(builder))
    if builder.comparison_obstacle:
        console.print(f"plans are not compared with ONNX Runtime: {builder.comparison_obstacle}")
    with progress_bar(console) as progress:
        results = builder.build_plans(build, settings, shown, ProgressBars(progress).report)
    console.print(plan_table(results))
    check_results(results)


@app.command()
@friendly
def doctor(
    repository: Repository = Path("model_repository"),
    pool: PoolOption = None,
    root: Root = BUILD_ROOT,
    log: Log = None,
    tensorrt: TensorRTVersion = None,
    shm_size: ShmSize = None,
) -> None:
    """Report what fits in a model repository, what does not, and what to do; exit with 1 if anything does not."""
    build = PoolBuild.open(pool, root) if pool else None
    shared_bytes = size_bytes(shm_size) if shm_size else shared_memory_bytes()
    findings = examine(repository, build, log, find_environment(tensorrt), shared_bytes)
    console.print(findings_table(findings))
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)


def _opened(images: str | None, pool: Pool) -> ImageSource | None:
    """Open the images to compare on, spread over the classes where these are known, and print what is left out."""
    if images is None:
        return None
    source = open_with_optional_labels(images, pool.labels)
    print_notes(console, source.notes)
    return source
