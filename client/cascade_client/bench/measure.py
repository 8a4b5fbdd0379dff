"""The benchmark: check that its result will be meaningful, then load every model in interleaved rounds."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cascade_client.bench.images import Ids, exit_mix, open_labelled, read_canvases, rows_at_mix
from cascade_client.bench.perf_analyzer import WINDOWS, PerfAnalyzer, write_data
from cascade_client.bench.plan import Plan
from cascade_client.bench.probe import Probe
from cascade_client.bench.result import ProbedRun, Result, Run
from cascade_client.bench.served import Model, Server, models_beside
from cascade_client.canvas import Canvas
from cascade_client.client import CascadeClient, Status
from cascade_client.contract import CLASS_ID, EXIT_STAGE
from cascade_client.errors import BenchError

TIMES_CHANCE = 2.0
PROBED_IMAGES = 16
MIX_ROUNDING = 0.011  # 33,33,33 is a mix

OnProgress = Callable[[str, int, int], None]
OnNote = Callable[[str], None]


def _ignore(_note: str) -> None:
    """Do nothing with a note."""


def measure(plan: Plan, program: PerfAnalyzer, on_progress: OnProgress, on_note: OnNote = _ignore) -> Result:
    """Measure top-1 once, and every model at every load level in interleaved rounds.

    Args:
        plan: What to measure.
        program: perf_analyzer.
        on_progress: Called with a title, the number of its steps that are done, and their total.
        on_note: Called with what the user should know about the images, as soon as it is known.

    Raises:
        BenchError: the result would be meaningless; the message says why.
        CascadeError: the server does not answer, does not serve a model, or fails.
    """
    with CascadeClient(plan.url, model=plan.cascade) as client, Server(plan.url) as server:
        status = _ready(client)
        _check_mix(plan, status)
        cascade = server.describe(plan.cascade) or Model(plan.cascade, status.canvas, status.max_batch_size, CLASS_ID)
        models = [cascade, *models_beside(server, cascade, plan.ensembles, plan.backbones)]
        _check_batches(plan, models)
        labelled = open_labelled(plan.images, _labels(client), plan.most_images)
        labelled, canvases = read_canvases(labelled, status.canvas, on_progress)
        for note in labelled.notes:
            on_note(note)
        answers, exits = _classify(server, cascade, canvases)
        truth = labelled.class_ids
        top1 = {cascade.name: float(np.mean(answers == truth))}
        _check_above_chance(top1[cascade.name], status)
        for done, model in enumerate(models[1:], start=1):
            on_progress("measuring top-1", done, len(models) - 1)
            top1[model.name] = float(np.mean(server.class_ids(model, canvases) == truth))
    sent = rows_at_mix(exits, plan.mix, plan.sent_images)
    probed = {stage: canvases[exits == stage][:PROBED_IMAGES] for stage in np.unique(exits).tolist()}
    runs, probes = _rounds(plan, program, models, canvases[sent], probed, on_progress)
    return Result(
        server=status.server,
        perf_analyzer=program.version,
        plan=plan,
        canvas=status.canvas,
        images=len(canvases),
        exit_mix=exit_mix(exits[sent], status.stages),
        top1=top1,
        served={model.name: model.served for model in models},
        runs=tuple(runs),
        probes=tuple(probes),
        committees=(cascade.name, *plan.ensembles),
    )


def _ready(client: CascadeClient) -> Status:
    if not client.status.ready:
        raise BenchError(f"{client.url}: model {client.model!r} is not ready; see the server's log")
    return client.status


def _check_batches(plan: Plan, models: Sequence[Model]) -> None:
    for model in models:
        if max(plan.batches) > model.max_batch_size:
            raise BenchError(
                f"model {model.name!r} takes at most {model.max_batch_size} images per request, not "
                f"{max(plan.batches)}; lower --batch"
            )


def _check_above_chance(top1: float, status: Status) -> None:
    if top1 < min(TIMES_CHANCE / status.classes, 1.0):
        raise BenchError(
            f"the cascade classifies {top1:.1%} of these images correctly, about as many as guessing among "
            f"{status.classes} classes: these are not its images, or the class folders are not named like its labels"
        )


def _check_mix(plan: Plan, status: Status) -> None:
    if plan.mix is None:
        return
    if len(plan.mix) != status.stages or min(plan.mix) < 0:
        raise BenchError(f"--exit-mix needs {status.stages} shares, one per stage, such as 60,25,15")
    total = sum(plan.mix)
    if not any(math.isclose(total, whole, rel_tol=MIX_ROUNDING) for whole in (100, 1)):
        raise BenchError(f"the shares of --exit-mix must sum to 100 or 1, not to {total:g}")


def _labels(client: CascadeClient) -> tuple[str, ...]:
    described = client.description
    if described is None or not described.labels:
        raise BenchError(
            f"{client.url}: model {client.model!r} is of a version that does not report its labels; run build-engines "
            "repository and restart the server"
        )
    return described.labels


def _classify(server: Server, cascade: Model, canvases: Canvas) -> tuple[Ids, Ids]:
    """Return the cascade's answers and their exit stages, INT64 [N] each."""
    class_ids, exit_stages = (
        output[:, 0].astype(np.int64) for output in server.ask(cascade, canvases, [CLASS_ID, EXIT_STAGE])
    )
    return class_ids, exit_stages


def _rounds(
    plan: Plan,
    program: PerfAnalyzer,
    models: Sequence[Model],
    sent: Canvas,
    probed: dict[int, Canvas],
    on_progress: OnProgress,
) -> tuple[list[Run], list[ProbedRun]]:
    schedule = [(round_number, level) for round_number in range(1, plan.rounds + 1) for level in plan.levels]
    total = len(schedule) * (len(models) + 1)
    runs: list[Run] = []
    probes: list[ProbedRun] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.json"
        write_data(sent, data)
        for round_number, level in schedule:
            for model in models:
                measured = program.measure(plan.url, model.name, data, level, plan.window_s)
                runs.append(Run(round_number, model.name, level, measured))
                on_progress("measuring speed", len(runs) + len(probes), total)
            # In a run of its own, whose throughput is not used, because the probe adds load.
            with Probe(plan.url, models[0], probed) as probe:
                program.measure(plan.url, models[0].name, data, level, plan.window_s)
            probes.append(ProbedRun(round_number, level, probe.latencies_ms((WINDOWS - 1) * plan.window_s)))
            on_progress("measuring speed", len(runs) + len(probes), total)
    return runs, probes
