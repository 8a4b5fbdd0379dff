"""Images per second of the cascade and of single networks, served the same way: a network is a cascade of one stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.table import Table

from build_cascade.evaluation import ACCURACY, AGREEMENT
from build_engines.costs.latency import IN_PROCESS
from build_engines.costs.throughput import Load, Route, Throughput, measure
from build_engines.images.canvas import Canvas
from build_engines.pool.artifacts import BUILD_ROOT, PoolBuild
from build_engines.repository.alone import write_alone
from build_engines.repository.cascade_entry import write_cascade_entry
from build_engines.support.atomic_files import write_folder_whole
from build_engines.support.progress import OnProgress
from cascade_core.contract import ALONE_SUFFIX, CASCADE
from cascade_core.spec import Cascade
from embedded_server import EmbeddedServer

LOADS = (Load(batch_images=1), Load(batch_images=8))
LIMIT_S = 6.0  # for each network at each load

Rates = dict[str, list[Throughput]]


def compare(cascade: Cascade, build: PoolBuild, repository: Path, canvases: Canvas, on_progress: OnProgress) -> Rates:
    """Measure the cascade and every network of its pool in interleaved rounds.

    Args:
        cascade: What the repository serves.
        build: Of its pool, whose backbones are in the repository.
        repository: The model repository.
        canvases: UINT8 [N, S, S, 3], in the mix of easy and hard images that is to be served.
        on_progress: Called for each round.

    Returns:
        What was measured at each of `LOADS`, by backbone and of `CASCADE`.

    Raises:
        BuildError: a backbone was not exported, or a request failed.
        EmbeddedServerError: the server cannot serve them.
    """
    models = {CASCADE: CASCADE} | {built.name: built.name + ALONE_SUFFIX for built in build}
    routes = {name: Route.to_cascade(model, IN_PROCESS) for name, model in models.items()}
    with _all_served(cascade, build, repository, list(models.values())) as url:
        measured = [measure(url, routes, canvases, on_progress, load, LIMIT_S) for load in LOADS]
    return {name: [rates[name] for rates in measured] for name in routes}


def comparison_table(cascade: Cascade, rates: Rates) -> Table:
    """Return the images per second, with what cascade.json's evidence says of the test images."""
    test, singles = cascade.evidence["test"], cascade.evidence["backbones"]
    measured = ACCURACY if ACCURACY in test else AGREEMENT
    loads = [f"images/s, {load.batch_images} a request" for load in LOADS]
    table = Table("", f"{measured} % (95%)", "MMACs", *loads, title=f"{cascade.name}, all served as cascades")
    for name, seen in ({name: found["test"] for name, found in singles.items()} | {CASCADE: test}).items():
        cost, speeds = f"{seen['mean_cost'] * 1000:.0f}", map(_images_per_s, rates[name])
        table.add_row(name, _percent(seen[measured], seen[f"{measured}_interval_95"]), cost, *speeds)
    return table


@contextmanager
def _all_served(cascade: Cascade, build: PoolBuild, repository: Path, models: list[str]) -> Iterator[str]:
    """Serve the cascade and each network of the pool from a repository of their own; return host:port."""
    folder = build.folder / "comparison"
    write_folder_whole(folder, lambda aside: _write_entries(aside, cascade, build, repository))
    with EmbeddedServer(folder, models=models, log_file=BUILD_ROOT / "triton.log") as server:
        yield server.addresses.grpc


def _write_entries(folder: Path, cascade: Cascade, build: PoolBuild, repository: Path) -> None:
    for built in build:
        (folder / built.name).symlink_to((repository / built.name).resolve())
    write_cascade_entry(folder, CASCADE, cascade)
    write_alone(build, folder, cascade.serving.reach)


def _percent(share: float, interval: list[float]) -> str:
    low, high = interval
    return f"{share * 100:.1f} ({low * 100:.1f}–{high * 100:.1f})"


def _images_per_s(measured: Throughput) -> str:
    low, high = measured.interval
    return f"{measured.images_per_s:.0f} ({low:.0f}–{high:.0f})"
