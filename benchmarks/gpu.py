"""Measure cascades on a GPU against the backbones that they stand for, and against what the card can do at best.

    python benchmarks/gpu.py                    # on a machine with a CUDA GPU, in under 25 minutes
    python benchmarks/gpu.py --small            # the same way from end to end on a CPU, in a few minutes: tiny shapes
    python benchmarks/gpu.py --studies vit      # one half; a second run with the other adds to it

Two studies, with random weights, on which speed does not depend. `vit`: ViT-B and ViT-L at 224 and 384 pixels alone and
in cascades, images a second of many clients. `efficientnet`: B0 to B7 alone and in cascades, milliseconds of one client
that sends one image at a time. Thresholds are quantiles of the confidences, so that exit rates are given ones. Each
line is measured in this process and through Triton, in interleaved rounds, and every answer is checked. TFLOP/s count
two operations a multiply-accumulate of the backbones, without the resize from the canvas; bytes/s count weights once a
call and each canvas once a stage, so they are what must be moved at least. Both are held against a large FP16 matrix
product and a copy in the card's memory, measured in the same round.

The best runtime at hand is taken: `tensorrt` where its Python package and a GPU are (only NVIDIA's container serves
plans: run it in there), else `torch` on the GPU, else `embedded` on the CPU. Where no server can start, what needs none
is measured, and the result says why.

What must be there: Python 3.11 or later; PyTorch 2.9 or later with CUDA, torchvision, timm, onnx, onnxscript,
onnxruntime, scikit-learn, pydantic, pyyaml, rich, typer, tritonclient[grpc]; nvidia-pytriton and numpy<2 to serve;
matplotlib to plot. No network is used. A machine that has none is prepared in two steps. Where there is a network, with
the same Python:

    NEEDED="nvidia-pytriton numpy<2 tritonclient[grpc] pydantic pyyaml typer"
    pip download --dest wheels $NEEDED      # 100 MB: where less may be carried at a time, --no-deps and several goes

and on the machine, in the repository's root, with the folder `wheels` in it:

    python -m venv --system-site-packages carried
    . carried/bin/activate
    pip install --no-index --find-links wheels $NEEDED
    export PYTHONPATH=$PWD:$PWD/client:$PWD/model_repository/cascade/1

(`pip install --target` would not do: Triton's Python models see no PYTHONPATH.)

Triton's Python backend wants the interpreter's shared library, libpython3.X.so.1.0: look first whether it is there
(`python -c "import embedded_server.preflight as p; p.check_machine()"`); if not, put it into a folder that
LD_LIBRARY_PATH names.

What was built and measured stays in --build: an interrupted run resumes from there, if nothing that it depends on has
changed. When time is short, rounds are left out, never lines.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import platform
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from environment import RESULTS, environment, write_result
from gpu_bench.building import build_backbones
from gpu_bench.costs import costs
from gpu_bench.limits import device
from gpu_bench.load import Clients
from gpu_bench.measure import Budget, Meter, StudyRecord, measure, prepare
from gpu_bench.runtimes import BEST_FIRST, PRECISIONS, best_runtime, load
from gpu_bench.servers import NotServedError, check, serve
from gpu_bench.show import plot, table
from gpu_bench.studies import STUDIES, Study
from gpu_bench.summary import limits, summarise
from rich.console import Console

from build_engines.pool.artifacts import PoolBuild
from build_engines.repository.runtimes.torch.engine import check_torch
from build_engines.support.atomic_files import fingerprint

CLIENT_PROCESSES = 4
console = Console(width=160)


def run(study: Study, runtime: str, not_served: str | None, budget: Budget, options: argparse.Namespace) -> StudyRecord:
    """Build, serve and measure one study; resume from what is there."""
    form = "small" if options.small else "full"
    path = options.build / f"{study.name}-{form}-{runtime}.json"
    record = StudyRecord.resume(
        path, fingerprint(json.dumps([_machine(), runtime, options.slice_s]), repr(study)), not_served
    )
    if len(record.rounds) >= budget.rounds:
        return record
    pool = study.pool(PRECISIONS[runtime], options.small)
    build = PoolBuild.of(pool, options.build)
    repository = build.folder / f"repository-{runtime}"
    build_backbones(build, repository, runtime, console)
    predicts = {backbone.name: load(runtime, repository / backbone.name / "1") for backbone in pool.backbones}
    prepared = prepare(study, pool, predicts, repository, build.folder / "decks")
    models = [one.line.name for one in prepared]
    console.print(f"{study.name}: built; measuring {len(models)} lines")
    with Clients(min(study.clients, CLIENT_PROCESSES)) as clients:
        meter = partial(Meter, study, budget, clients, console.print)
        measure(meter, prepared, partial(serve, repository, models, runtime, path.with_suffix(".log")), record, path)
    return record


def result_of(study: Study, record: StudyRecord, runtime: str, small: bool) -> dict[str, Any]:
    """Return what a study says, with its conditions."""
    pool = study.pool(PRECISIONS[runtime], small)
    return {
        "metric": study.metric,
        "clients": study.clients,
        "batch": study.batch,
        "images_per_call_in_process": study.call,
        "canvas": pool.canvas,
        "precision": PRECISIONS[runtime],
        "not_served_because": record.not_served,
        "rounds": len(record.rounds),
        "limits": limits(record.rounds),
        "lines": summarise(study, record.rounds, costs(pool), pool.canvas**2 * 3),
    }


def measure_all(runtime: str, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """Run study after study, each in its share of the time that is left; one that fails does not stop the next."""
    try:
        check(runtime)
        not_served = None
    except NotServedError as error:
        not_served = str(error)
        console.print(f"[yellow]measured in process only: {error}")
    end_s = time.monotonic() + options.minutes * 60
    results, failures = {}, {}
    for place, name in enumerate(options.studies):
        study = STUDIES[name].small() if options.small else STUDIES[name]
        now_s = time.monotonic()
        share_s = (end_s - now_s) / (len(options.studies) - place)
        budget = Budget(options.rounds, now_s + share_s, options.slice_s)
        try:
            record = run(study, runtime, not_served, budget, options)
            results[name] = result_of(study, record, runtime, options.small)
        except Exception as error:  # what a machine never seen before can raise is not known
            console.print_exception()
            failures[name] = repr(error)
        gc.collect()
        torch.cuda.empty_cache()
    return results, failures


def main() -> None:
    """Measure, show and write."""
    options = _options()
    check_torch()
    runtime, reasons = (options.runtime, {}) if options.runtime else best_runtime()
    console.print(f"runtime {runtime} on {_machine()}; not at hand: {reasons or 'nothing faster'}")
    studies, failures = measure_all(runtime, options)
    if studies:
        content = {
            "machine": _machine(),
            "form": "small: tiny shapes, which say nothing of the real ones" if options.small else "full",
            "runtime": runtime,
            "faster_runtimes_not_at_hand": reasons,
            "slice_s": options.slice_s,
            "failed": failures,
            "studies": studies,
        }
        name = f"gpu-{'small-' if options.small else ''}{runtime}"
        path = write_result(name, content, "torch", machine=_file_name(_machine()["device"]), folder=options.output)
        for study, seen in studies.items():
            console.print(table(study, seen))
        console.print(f"written to {path}")
        _plot(path.with_suffix(".png"), f"{_machine()['device']}, {runtime}", studies)
    if failures:
        raise SystemExit(f"failed: {failures}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny shapes, for a CPU")
    parser.add_argument("--minutes", type=float, default=20, help="when to begin no more rounds; there is always one")
    parser.add_argument("--rounds", type=int, default=5, help="the most rounds")
    parser.add_argument("--slice-s", type=float, default=2.0, help="how long a line is measured in a round, each way")
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--runtime", choices=BEST_FIRST, help="by default the best at hand")
    parser.add_argument("--build", type=Path, default=Path("build/gpu"), help="where what is built and measured stays")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the result goes")
    return parser.parse_args()


def _machine() -> dict[str, Any]:
    """Return what the figures depend on, besides the packages."""
    seen = environment()
    machine = {"device": f"{seen['cores']}core", "cpu": seen["cpu"], "cores": seen["cores"]}
    if device() == "cpu":
        return machine
    properties = torch.cuda.get_device_properties(0)
    return machine | {
        "device": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "kernel": platform.release(),
    }


def _file_name(device_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", device_name)


def _plot(path: Path, title: str, studies: dict[str, Any]) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        console.print("[yellow]no plot: matplotlib is not installed")
        return
    plot(path, title, studies)
    console.print(f"drawn to {path}")


if __name__ == "__main__":
    main()
