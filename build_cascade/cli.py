"""The command `build-cascade`: predictions and costs in; cascade.json and a report out."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from build_cascade import pipeline
from build_cascade.choice import NO_GUARANTEE, Bench, Goal, choose, write_down
from build_cascade.errors import ChoiceError, GoalError, PredictionError
from build_cascade.guarantee import Promise
from build_cascade.report.content import Report
from build_cascade.report.page import write_report
from build_cascade.report.table import table
from build_cascade.search import DEFAULT_CONFIDENCES, Committee, Space
from build_cascade.throughput import ROUNDS
from build_cascade.topk import read_npy_pairs, read_npz_folder
from build_engines.console import friendly_errors, progress_bar
from build_engines.errors import BuildError
from build_engines.files import write_text_whole
from build_engines.image_folder import open_image_folder
from build_engines.pool import load_pool
from build_engines.workspace import Workspace
from cascade_spec import MAX_STAGES, Cascade, SpecError, read_cascade
from gating import COMBINES, CONFIDENCES

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
friendly = friendly_errors(ChoiceError, BuildError, SpecError, OSError)

PoolFile = Annotated[Path, typer.Argument(help="A pool file, such as pools/digits.yaml.")]
Build = Annotated[Path, typer.Option(help="Where built files go.")]
Url = Annotated[str, typer.Option(help="host:port of Triton's gRPC service.")]
CascadeFile = Annotated[Path, typer.Option(help="The cascade.json to write or read.")]
Accuracy = Annotated[str | None, typer.Option(help="A share such as 0.98, or `best`: the best single backbone's.")]
Tolerance = Annotated[float, typer.Option(help="How far below that accuracy the cascade may be, as a share.")]
Risk = Annotated[float | None, typer.Option(help="Certify: how likely the cascade may miss the tolerance.")]
MeanCost = Annotated[
    float | None,
    typer.Option("--mean-cost-at-most", "--cost-at-most", help="Mean cost of an image, in the costs' unit."),
]
WorstCost = Annotated[float | None, typer.Option(help="Cost of an image that runs every stage.")]
CostsFile = Annotated[
    Path | None,
    typer.Option("--costs", help="JSON of unit (GMACs, ms), source and costs; by default MACs as counted."),
]
Stages = Annotated[int, typer.Option(min=1, max=MAX_STAGES, help="The most stages.")]
MustInclude = Annotated[list[str] | None, typer.Option(help="A backbone that the cascade must have; may be repeated.")]
AllOrders = Annotated[bool, typer.Option("--all-orders", help="Try every order, not only cheap to dear.")]
Confidence = Annotated[
    list[str] | None,
    typer.Option(help=f"What is compared with the thresholds: {', '.join(CONFIDENCES)}; the first two by default."),
]
Combine = Annotated[
    list[str] | None,
    typer.Option(help=f"How predictions are combined: {', '.join(COMBINES)}; the first by default. May be repeated."),
]
CalibrationFolder = Annotated[Path, typer.Option(help="Labelled images to choose on, one folder a class.")]
TestFolder = Annotated[Path, typer.Option(help="Labelled images to report on, one folder a class.")]

DEFAULT_URL = "127.0.0.1:8001"
DEFAULT_CASCADE = Path("model_repository/cascade/cascade.json")
BEST = "best"


@app.command()
@friendly
def predict(
    pool: PoolFile,
    calibration: CalibrationFolder,
    test: TestFolder,
    url: Url = DEFAULT_URL,
    build: Build = Path("build"),
) -> None:
    """Collect predictions on two folders of labelled images through the served backbones."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    for split, folder in zip(pipeline.SPLITS, (calibration, test), strict=True):
        images = open_image_folder(folder, loaded.labels)
        missing = pipeline.uncollected(loaded, workspace, split, images)
        with progress_bar(console) as progress:
            pipeline.collect(missing, split, url, _Bars(progress).tell)
        reused = len(loaded.backbones) - len(missing)
        console.print(f"{split}: {len(images)} images, {len(missing)} backbones asked, {reused} reused")


@app.command()
@friendly
def import_topk(
    source: Annotated[Path, typer.Argument(help="A folder of MODEL.npz files, or of MODEL_top5preds.npy pairs.")],
    name: Annotated[str, typer.Option(help="What to call the pool.")],
    labels: Annotated[Path | None, typer.Option(help="True classes as .npy; for pairs of .npy.")] = None,
    costs: Annotated[Path | None, typer.Option(help="JSON of each model's GMACs; for pairs of .npy.")] = None,
    build: Build = Path("build"),
) -> None:
    """Import predictions made elsewhere, top-k classes and probabilities, as a pool to search."""
    if (labels is None) != (costs is None):
        raise PredictionError("--labels and --costs go together: both are needed for pairs of .npy files")
    read = read_npz_folder(source) if labels is None or costs is None else read_npy_pairs(source, labels, costs)
    pool_file = pipeline.import_set(name, *read, build)
    console.print(f"{pool_file}: {len(read[1])} backbones on {len(read[0].class_ids)} images", soft_wrap=True)


@app.command()
@friendly
def search(
    pool: PoolFile,
    accuracy_at_least: Accuracy = None,
    tolerance: Tolerance = 0.0,
    risk: Risk = None,
    mean_cost_at_most: MeanCost = None,
    worst_cost_at_most: WorstCost = None,
    stages: Stages = MAX_STAGES,
    must_include: MustInclude = None,
    confidence: Confidence = None,
    combine: Combine = None,
    all_orders: AllOrders = False,
    costs: CostsFile = None,
    build: Build = Path("build"),
    output: CascadeFile = DEFAULT_CASCADE,
) -> None:
    """Look at every cascade of up to four backbones; write the best for a goal as cascade.json."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    bench = pipeline.read_bench(loaded, workspace, costs)
    space = Space(
        confidences=_known("confidence", confidence or DEFAULT_CONFIDENCES, CONFIDENCES),
        combines=_known("combine", combine or COMBINES[:1], COMBINES),
        max_stages=stages,
        worst_cost=worst_cost_at_most,
        must_include=tuple(must_include or ()),
        all_orders=all_orders,
    )
    goal = _goal(accuracy_at_least, tolerance, mean_cost_at_most, bench)
    guarantee = NO_GUARANTEE
    with progress_bar(console) as progress:
        tell = functools.partial(_Bars(progress).tell, "searching")
        if risk is None:
            found = pipeline.search_frontier(bench, workspace, space, tell)
            chosen = choose(found, len(bench.calibration.class_ids), goal)
        else:
            certified = pipeline.search_certified(
                bench, workspace, space, _promise(tolerance, risk, goal, accuracy_at_least), tell
            )
            chosen, guarantee = certified.candidate, certified.statement
    cascade = write_down(loaded, chosen, bench, goal, guarantee)
    write_text_whole(output, cascade.to_json())
    console.print(f"{output}: {_in_words(cascade)}", soft_wrap=True)
    console.print(f"guarantee: {guarantee}", soft_wrap=True)


@app.command()
@friendly
def measure(
    pool: PoolFile,
    test: TestFolder,
    url: Url = DEFAULT_URL,
    build: Build = Path("build"),
    cascade: CascadeFile = DEFAULT_CASCADE,
) -> None:
    """Measure images a second of each served backbone, all of them, and the cascade."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    if pipeline.read_throughput(loaded, workspace, cascade):
        console.print(f"{workspace.throughput}: reused")
        return
    with progress_bar(console) as progress:
        rounds = len(pipeline.measured_ways(loaded)) * ROUNDS
        task = progress.add_task("measuring", total=rounds)
        pipeline.measure_throughput(loaded, workspace, test, url, cascade, lambda: progress.advance(task))
    console.print(f"milliseconds an image, for search --costs: {workspace.measured_costs}", soft_wrap=True)


@app.command()
@friendly
def report(
    pool: PoolFile, costs: CostsFile = None, build: Build = Path("build"), cascade: CascadeFile = DEFAULT_CASCADE
) -> None:
    """Print the table of single backbones, ensemble and cascade; write a page of it with figures."""
    loaded = load_pool(pool)
    workspace = Workspace.of(loaded, build)
    chosen = read_cascade(cascade)
    bench = pipeline.read_bench(loaded, workspace, costs)
    made = Report.of(bench, chosen, pipeline.read_frontier(workspace))
    images_per_s = pipeline.read_throughput(loaded, workspace, cascade)
    console.print(table(made, chosen, images_per_s))
    page = write_report(made, bench, chosen, images_per_s, workspace.report)
    console.print(f"page: {page}", soft_wrap=True)


class _Bars:
    """Show one progress bar for each title that is told of."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def tell(self, title: str, done: int, total: int) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=total)
        self._progress.update(self._tasks[title], completed=done)


def _goal(accuracy_at_least: str | None, tolerance: float, mean_cost_at_most: float | None, bench: Bench) -> Goal:
    if not 0 <= tolerance < 1:
        raise GoalError(f"--tolerance is a share of images such as 0.005, not {tolerance}")
    if tolerance > 0 and accuracy_at_least is None and mean_cost_at_most is not None:
        raise GoalError("--tolerance says how far below --accuracy-at-least the cascade may be; give that too")
    if mean_cost_at_most is not None and not 0 < mean_cost_at_most < math.inf:
        raise GoalError(f"--mean-cost-at-most is a number above 0, not {mean_cost_at_most}")
    accuracy = _accuracy(accuracy_at_least, mean_cost_at_most, bench)
    return Goal(None if accuracy is None else accuracy - tolerance, mean_cost_at_most)


def _accuracy(given: str | None, mean_cost_at_most: float | None, bench: Bench) -> float | None:
    if given == BEST or (given is None and mean_cost_at_most is None):
        return bench.on_calibration(Committee.of([bench.best_single()])).accuracy
    if given is None:
        return None
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise GoalError(f"--accuracy-at-least takes a share such as 0.98, or {BEST!r}, not {given!r}")
    return share


def _promise(tolerance: float, risk: float, goal: Goal, accuracy_at_least: str | None) -> Promise:
    if not (0 < risk < 1 and tolerance > 0):
        raise GoalError("a guarantee needs --risk between 0 and 1 and a --tolerance above 0, such as 0.005")
    if goal.cost_at_most is not None or accuracy_at_least not in {None, BEST}:
        raise GoalError(
            "--risk certifies accuracy against the best single backbone; leave --mean-cost-at-most out, "
            f"and --accuracy-at-least other than {BEST!r}"
        )
    return Promise(tolerance, risk)


def _known(option: str, given: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    for value in given:
        if value not in known:
            raise GoalError(f"unknown {option} {value!r}; known are {', '.join(known)}")
    return tuple(given)


def _in_words(cascade: Cascade) -> str:
    stages = " → ".join(stage.model for stage in cascade.stages)
    thresholds = ", ".join(f"{threshold:.4f}" for threshold in cascade.thresholds)
    weights = ", ".join(f"{stage.weight:g}" for stage in cascade.stages)
    return f"{stages}; {cascade.combine}, {cascade.confidence} at {thresholds or 'no threshold'}; weights {weights}"
