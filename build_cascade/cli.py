"""The command `build-cascade`: predictions and costs in; cascade.json and a report out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from build_cascade.cascade_file import CONSISTENT_WITH, as_cascade, write_cascade
from build_cascade.choosing import choose_cascade, choose_greedily
from build_cascade.errors import ChoiceError, PredictionError
from build_cascade.evaluator import Evaluator
from build_cascade.expectation import expectation_notes, expected_table
from build_cascade.frontier_file import read_frontier
from build_cascade.goal import BEST, parse_goal, parse_reference
from build_cascade.guarantee import CONSISTENCY, parse_consistency, parse_guarantee
from build_cascade.imported import import_pool, read_npy_pairs, read_npz_folder
from build_cascade.measured_choice import measured_choice_note
from build_cascade.options import (
    Accuracy,
    Again,
    AllOrders,
    Alpha,
    CalibrationImages,
    CascadeFile,
    Combine,
    Confidence,
    ConsistentWith,
    CostsFile,
    FreeWeights,
    GuaranteeKind,
    Images,
    Labels,
    LimitS,
    MeanCost,
    MeasuredImages,
    MustInclude,
    PoolFile,
    Reference,
    ReportFolder,
    Risk,
    Root,
    Stages,
    TestImages,
    Tolerance,
    Url,
    WorstCost,
)
from build_cascade.predict import collect_split
from build_cascade.predictions import SPLITS
from build_cascade.report.content import Report
from build_cascade.report.page import write_report
from build_cascade.report.table import table
from build_cascade.search_space import DEFAULT_CONFIDENCES, SearchSpace
from build_cascade.selection import Selection
from build_cascade.served_throughput import ServedThroughput, measure_served
from build_engines.costs.throughput import LIMIT_S
from build_engines.errors import BuildError
from build_engines.images.opening import open_splits, open_with_optional_labels
from build_engines.pool.artifacts import BUILD_ROOT, PoolBuild
from build_engines.repository.served_model import served_configs
from build_engines.support.console import ProgressBars, Version, friendly_errors, print_notes, progress_bar
from cascade_core.contract import CASCADE, CASCADE_FILE
from cascade_core.gating import COMBINES
from cascade_core.spec import MAX_STAGES, Cascade, SpecError, read_cascade

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()
friendly = friendly_errors(ChoiceError, BuildError, SpecError, OSError)
resumable = friendly_errors(ChoiceError, BuildError, SpecError, OSError, resumable=True)

DEFAULT_URL = "127.0.0.1:8001"
DEFAULT_CASCADE = Path("model_repository", CASCADE, CASCADE_FILE)


@app.callback(help=__doc__)
def main(version: Version = False) -> None:
    """Take the options that come before a command."""


@app.command()
@resumable
def predict(
    pool: PoolFile,
    images: Images = None,
    calibration: CalibrationImages = None,
    test: TestImages = None,
    labels: Labels = None,
    url: Url = DEFAULT_URL,
    root: Root = BUILD_ROOT,
) -> None:
    """Collect predictions on images, labelled or not, through the served backbones."""
    build = PoolBuild.open(pool, root)
    configs = served_configs(build, url)
    sources = open_splits(images, calibration, test, build.pool.labels, labels)
    print_notes(console, [note for source in sources for note in source.notes])
    for split, source in zip(SPLITS, sources, strict=True):
        with progress_bar(console) as progress:
            done = collect_split(build, split, source, url, configs, ProgressBars(progress).report)
        console.print(
            f"{split}: {done.images} images, {source.labelled} of {len(source)} labelled; "
            f"{done.asked} backbones asked, {done.reused} reused"
        )
        print_notes(console, [done.note(split)])


@app.command()
@friendly
def import_topk(
    source: Annotated[Path, typer.Argument(help="A folder of MODEL.npz files, or of MODEL_top5preds.npy pairs.")],
    name: Annotated[str, typer.Option(help="The name of the new pool.")],
    labels: Annotated[Path | None, typer.Option(help="True classes as .npy; for pairs of .npy.")] = None,
    costs: Annotated[Path | None, typer.Option(help="JSON of each model's GMACs; for pairs of .npy.")] = None,
    root: Root = BUILD_ROOT,
) -> None:
    """Import predictions made elsewhere, top-k classes and probabilities, as a pool to search."""
    if (labels is None) != (costs is None):
        raise PredictionError("--labels and --costs go together: both are needed for pairs of .npy files")
    read = read_npz_folder(source) if labels is None or costs is None else read_npy_pairs(source, labels, costs)
    pool_file = import_pool(name, *read, root)
    console.print(f"{pool_file}: {len(read[1])} backbones on {len(read[0].class_ids)} images", soft_wrap=True)


@app.command()
@friendly
def search(
    pool: PoolFile,
    accuracy_at_least: Accuracy = None,
    tolerance: Tolerance = 0.0,
    risk: Risk = None,
    guarantee: GuaranteeKind = None,
    consistent_with: ConsistentWith = None,
    mean_cost_at_most: MeanCost = None,
    worst_cost_at_most: WorstCost = None,
    stages: Stages = MAX_STAGES,
    must_include: MustInclude = None,
    confidence: Confidence = None,
    combine: Combine = None,
    all_orders: AllOrders = False,
    free_weights: FreeWeights = False,
    costs: CostsFile = None,
    root: Root = BUILD_ROOT,
    output: CascadeFile = None,
) -> None:
    """Search every cascade of up to four backbones; write the best for a goal as cascade.json."""
    build = PoolBuild.open(pool, root)
    file = _to_write(_cascade_file(output, build))
    evaluator = Evaluator.read(build, costs)
    stands_for_labels = parse_consistency(consistent_with, accuracy_at_least, guarantee, evaluator)
    evaluator = _judged(evaluator, stands_for_labels, by_labels=guarantee != CONSISTENCY)
    space = SearchSpace(
        confidences=tuple(confidence or DEFAULT_CONFIDENCES),
        combines=tuple(combine or COMBINES[:1]),
        max_stages=stages,
        worst_cost=worst_cost_at_most,
        must_include=tuple(must_include or ()),
        all_orders=all_orders,
        free_weights=free_weights,
    )
    labelled = evaluator.calibration.reference is None
    certified = parse_guarantee(tolerance, risk, guarantee, accuracy_at_least, mean_cost_at_most, labelled)
    reference = parse_reference(accuracy_at_least, evaluator, certified=certified is not None)
    named = accuracy_at_least if certified is None else reference
    goal = parse_goal(named, tolerance, mean_cost_at_most, evaluator)
    with progress_bar(console) as progress:
        selection = choose_cascade(
            build,
            evaluator,
            goal,
            space,
            reference=reference,
            guarantee=certified,
            on_progress=ProgressBars(progress).report,
        )
    if unfinished := _unfinished(progress):
        console.print(f"interrupted: the best of {unfinished}", style="yellow")
    _write(file, build, selection, evaluator)
    if certified is None:
        frontier = read_frontier(build.frontier).candidates
        print_notes(console, [measured_choice_note(evaluator, selection.candidate, frontier, goal.accuracy_at_least)])


@app.command()
@friendly
def greedy(
    pool: PoolFile,
    reference: Reference = BEST,
    alpha: Alpha = 1.0,
    stages: Stages = MAX_STAGES,
    confidence: Annotated[str, typer.Option(help="The confidence to gate by.")] = "max_probability",
    costs: CostsFile = None,
    root: Root = BUILD_ROOT,
    output: CascadeFile = None,
) -> None:
    """Build a cascade stage by stage, for pools too large to search, by Streeter's greedy: no averaging."""
    build = PoolBuild.open(pool, root)
    file = _to_write(_cascade_file(output, build))
    evaluator = Evaluator.read(build, costs)
    evaluator = _judged(evaluator, parse_consistency(None, reference, None, evaluator))
    compared = parse_reference(reference, evaluator)
    _write(file, build, choose_greedily(evaluator, compared, alpha, confidence, stages), evaluator)


@app.command()
@friendly
def measure(
    pool: PoolFile,
    test: MeasuredImages,
    url: Url = DEFAULT_URL,
    root: Root = BUILD_ROOT,
    cascade: CascadeFile = None,
    again: Again = False,
    limit_s: LimitS = LIMIT_S,
) -> None:
    """Measure the images per second of each served backbone, of all of them, and of the cascade."""
    build = PoolBuild.open(pool, root)
    file = _to_read(_cascade_file(cascade, build))
    images = open_with_optional_labels(test, build.pool.labels)
    print_notes(console, images.notes)
    with progress_bar(console) as progress:
        report_progress = ProgressBars(progress).report
        measured, is_new = measure_served(build, images, url, file, report_progress, again=again, limit_s=limit_s)
    console.print(f"{build.throughput}: {'measured' if is_new else 'reused'}; {measured.in_words}", soft_wrap=True)
    print_notes(console, measured.notes())
    console.print(f"milliseconds per image, for search --costs: {build.measured_costs}", soft_wrap=True)


@app.command()
@friendly
def report(
    pool: PoolFile,
    costs: CostsFile = None,
    root: Root = BUILD_ROOT,
    cascade: CascadeFile = None,
    output: ReportFolder = None,
) -> None:
    """Print a table of single backbones, their ensemble and the cascade; write it as a page with figures."""
    build = PoolBuild.open(pool, root)
    file = _to_read(_cascade_file(cascade, build))
    chosen = read_cascade(file)
    consistent_with = chosen.evidence.get(CONSISTENT_WITH)
    evaluator = _judged(Evaluator.read(build, costs), None if consistent_with is None else str(consistent_with))
    made = Report.of(evaluator, chosen, read_frontier(build.frontier))
    measured = ServedThroughput.of(build, file)
    rows = measured.rows if measured else {}
    console.print(table(made, chosen, rows))
    if measured:
        console.print(f"images/s: {measured.in_words}", soft_wrap=True)
    print_notes(console, [made.frontier_note, made.measured_note, *(measured.notes() if measured else [])])
    page = write_report(made, evaluator, chosen, rows, output or _report_folder(build, file))
    console.print(f"page: {page}", soft_wrap=True)


def _unfinished(progress: Progress) -> str:
    """Return how far each unfinished job came; empty if all are finished."""
    cut = [task for task in progress.tasks if task.total and task.completed < task.total]
    return ", ".join(f"{task.completed:.0f} of {task.total:.0f}" for task in cut)


def _judged(evaluator: Evaluator, consistent_with: str | None, *, by_labels: bool = True) -> Evaluator:
    """Judge by labels, or by a backbone's answers; print what the user should know of labels and costs."""
    judged = evaluator.judged(consistent_with, by_labels=by_labels)
    runtimes = [
        f"note: the costs are milliseconds of {measured}, the predictions by {answered}: what is served will be one of "
        "them; run build-cascade predict and build-engines profile --batch N against it"
        for measured, answered in sorted(judged.mismatched_runtimes())
    ]
    print_notes(console, [*judged.notes, *runtimes])
    return judged


def _cascade_file(given: Path | None, build: PoolBuild) -> Path:
    """Return the default where none is given: the served one, or that of imported predictions, which are not served."""
    return given or (build.folder / CASCADE_FILE if build.imported.is_dir() else DEFAULT_CASCADE)


def _report_folder(build: PoolBuild, cascade: Path) -> Path:
    """Return a folder of its own for another cascade than the default one, whose page is left as it is."""
    is_default = cascade.resolve() == _cascade_file(None, build).resolve()
    return build.report if is_default else build.report_on(cascade)


def _to_read(file: Path) -> Path:
    if not file.is_file():
        raise ChoiceError(f"there is no cascade.json at {file}; run build-cascade search, or name one with --cascade")
    return file


def _to_write(file: Path) -> Path:
    if file.is_dir():
        raise ChoiceError(f"{file} is a folder; name a file, such as --output {file / CASCADE_FILE}")
    return file


def _write(output: Path, build: PoolBuild, selection: Selection, evaluator: Evaluator) -> None:
    cascade, note = write_cascade(output, as_cascade(build.pool, selection, evaluator))
    console.print(f"{output}: {_in_words(cascade)}", soft_wrap=True)
    if note:
        console.print(note, soft_wrap=True)
    console.print(f"guarantee: {selection.guarantee}", soft_wrap=True)
    console.print(expected_table(evaluator, selection))
    for line in expectation_notes(evaluator, selection):
        console.print(line, soft_wrap=True)


def _in_words(cascade: Cascade) -> str:
    stages = " → ".join(stage.model for stage in cascade.stages)
    thresholds = ", ".join(f"{threshold:.4f}" for threshold in cascade.thresholds)
    weights = ", ".join(f"{stage.weight:g}" for stage in cascade.stages)
    return f"{stages}; {cascade.combine}, {cascade.confidence} at {thresholds or 'no threshold'}; weights {weights}"
