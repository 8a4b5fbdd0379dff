"""Images per second as served, kept with what was served: of each backbone, of all of them, and of the cascade."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from build_cascade.errors import ChoiceError
from build_cascade.report.content import ENSEMBLE
from build_engines.costs import throughput
from build_engines.costs.latency import BY_TRITON, IN_PROCESS, as_costs
from build_engines.costs.throughput import NARROW, Conditions, Route, Throughput
from build_engines.errors import ServedError
from build_engines.images.canvas import Canvas
from build_engines.images.source import ImageSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import Pool
from build_engines.repository.served_model import ServedModel, served_configs
from build_engines.support.atomic_files import fingerprint
from build_engines.support.progress import OnProgress, ignore_progress
from build_engines.support.record import Record
from cascade_core import spec
from cascade_core.contract import ALONE_SUFFIX, CASCADE, DESCRIPTION, PROBABILITIES, STAGE_CONFIDENCE, TensorSpec
from cascade_core.gating import replay
from cascade_core.spec import MAX_STAGES, Cascade, read_cascade

MEASURED_IMAGES = 256
CONFIDENCE_TOLERANCE = 0.01  # between one batch and another
SAME_SHARE = 0.95  # of the images: near a threshold, rounding decides
SERVE_CASCADE = "serve this cascade.json (make serve), or load the cascade again"

UNLIKE = (
    "the cascade runs its stages in process, backbones are called through Triton: their speeds do not compare; serve "
    "each as a cascade of one stage with build-engines repository --alone, and measure again"
)

Confidences = npt.NDArray[np.float32]  # [N, K], NaN where a stage did not run


class ServedThroughput(Record):
    """Measured images per second.

    Attributes:
        made_of: Fingerprint of the exports and the cascade.
        served_as: Fingerprint of Triton's configurations: runtime, file, instances, batching.
        load: How the models were called, in words.
        conditions: When, and on how busy a machine.
        rows: By backbone, and of `ENSEMBLE` and `CASCADE`.
    """

    made_of: str
    served_as: str
    load: str
    conditions: Conditions
    rows: dict[str, Throughput]

    @property
    def in_words(self) -> str:
        """How, when, and on how busy a machine it was measured."""
        return f"{self.load}; {self.conditions.in_words}"

    def notes(self) -> list[str]:
        """Return what keeps the figures from being compared; empty if nothing does."""
        wide = [name for name, row in self.rows.items() if not row.is_narrow]
        ways = {row.served for row in self.rows.values()}
        return [
            *(
                [f"the machine was busy ({self.conditions.in_words}); measure --again when it is idle"]
                * self.conditions.is_busy
            ),
            *(
                [f"still wider than ± {NARROW:.0%} when the time was up: {', '.join(wide)}; give more --limit-s"]
                * bool(wide)
            ),
            *([UNLIKE] * (len(ways) > 1)),
        ]

    @classmethod
    def of(cls, build: PoolBuild, cascade: Path) -> Self | None:
        """Return what was measured; None where that is missing, or of another cascade or other backbones."""
        measured = None if build.imported.is_dir() else cls.read(build.throughput)
        return measured if measured is not None and measured.made_of == _made_of(build, cascade) else None


def check_served(cascade: Cascade, canvases: Canvas, url: str) -> None:
    """Check that a server's cascade is this one: its confidences equal the replay of its stages' predictions.

    Args:
        cascade: What is to be served.
        canvases: UINT8 [N, S, S, 3], the images.
        url: host:port of Triton's gRPC service.

    Raises:
        ChoiceError: more than a few confidences differ, as where another cascade.json was loaded.
        ServedError: the cascade or a stage is not served.
    """
    predictions = [_answers(url, s.model, canvases, PROBABILITIES, s.max_batch_size) for s in cascade.stages]
    expected = replay(cascade.rule, cascade.gate_thresholds(None), predictions).stage_confidence
    served = _answers(url, CASCADE, canvases, STAGE_CONFIDENCE, cascade.max_batch_size)
    if served.shape != expected.shape or _same_share(served, expected) < SAME_SHARE:
        raise ChoiceError(f"the server's cascade does not answer as {cascade.name!r} would; {SERVE_CASCADE}")


def measure_served(
    build: PoolBuild,
    images: ImageSource,
    url: str,
    cascade: Path,
    on_progress: OnProgress = ignore_progress,
    *,
    again: bool = False,
    limit_s: float = throughput.LIMIT_S,
) -> tuple[ServedThroughput, bool]:
    """Measure all that is served, on images that need no labels; keep images per second, and milliseconds as costs.

    Each backbone is measured as its cascade of one stage where that is served and its stage is reached as the
    cascade's are.

    Args:
        build: Of the pool.
        images: To send.
        url: host:port of Triton's gRPC service.
        cascade: The served cascade.json.
        on_progress: Called after each round.
        again: Whether to measure even if what is served was measured before.
        limit_s: Seconds for each row, after which no further round starts.

    Returns:
        What was measured, and whether it was just now rather than before.

    Raises:
        ServedError: something is not served, or not made of the last export.
        ChoiceError: the served cascade is another one.
        BuildError: a backbone has no up-to-date ONNX file.
        ImageSourceError: none of the images can be used.
    """
    configs = served_configs(build, url)
    routes = _routes(build.pool, url)
    served_as = _served_as(url, configs, routes)
    earlier = ServedThroughput.of(build, cascade)
    if not again and earlier is not None and earlier.served_as == served_as and build.measured_costs.is_file():
        return earlier, False
    _, canvases = images.sample(MEASURED_IMAGES).usable(build.pool.canvas)
    check_served(read_cascade(cascade), canvases, url)
    conditions, load = Conditions.now(), throughput.DEFAULT_LOAD
    rows = throughput.measure(url, routes, canvases, on_progress, load, limit_s)
    measured = ServedThroughput(
        made_of=_made_of(build, cascade), served_as=served_as, load=load.in_words, conditions=conditions, rows=rows
    )
    as_costs(rows, load, configs, conditions).write(build.measured_costs)
    measured.write(build.throughput)
    return measured, True


def _routes(pool: Pool, url: str) -> dict[str, Route]:
    """Return the routes to measure, the backbones reached as the cascade's stages are if they are served so."""
    reach = _reach(url, CASCADE, MAX_STAGES)
    way = IN_PROCESS if reach == spec.IN_PROCESS else BY_TRITON
    singles = {}
    for backbone in pool.backbones:
        alone = backbone.name + ALONE_SUFFIX
        is_alike = way == IN_PROCESS and _reach(url, alone, 1) == reach
        singles[backbone.name] = Route.to_cascade(alone, way) if is_alike else Route((backbone.name,), BY_TRITON)
    return {**singles, **_ensemble(list(singles.values())), CASCADE: Route.to_cascade(CASCADE, way)}


def _ensemble(singles: list[Route]) -> dict[str, Route]:
    """Return the route through all backbones, if all of them are asked for the same."""
    models = tuple(name for route in singles for name in route.models)
    if len({route.served for route in singles}) > 1:
        return {}
    return {ENSEMBLE: Route(models, singles[0].served, singles[0].output)}


def _reach(url: str, model: str, most_stages: int) -> str | None:
    """Return how a served cascade reaches its stages; None if it is not served, or has more stages."""
    try:
        with ServedModel(url, model, SERVE_CASCADE) as served:
            side = served.config.input[0].dims[0]
            answer = served.infer(np.zeros((1, side, side, 3), np.uint8), DESCRIPTION)
    except ServedError:
        if model == CASCADE:
            raise
        return None
    described = json.loads(answer[0, 0])
    return str(described["reach"]) if len(described["stages"]) <= most_stages else None


def _same_share(served: Confidences, expected: Confidences) -> float:
    same = np.isclose(served, expected, atol=CONFIDENCE_TOLERANCE, equal_nan=True).all(axis=1)
    return float(same.mean())


def _answers(url: str, model: str, canvases: Canvas, output: TensorSpec, batch: int) -> npt.NDArray[np.float32]:
    with ServedModel(url, model, SERVE_CASCADE) as served:
        return np.concatenate(
            [served.infer(canvases[start : start + batch], output) for start in range(0, len(canvases), batch)]
        )


def _served_as(url: str, configs: Mapping[str, Any], routes: Mapping[str, Route]) -> str:
    """Return a fingerprint of what is measured, and how it is served."""
    ways = [f"{name} {' '.join(route.models)} {route.served}" for name, route in routes.items()]
    with ServedModel(url, CASCADE, SERVE_CASCADE) as served:
        all_configs = [*configs.values(), served.config]
    return fingerprint(*ways, *(config.SerializeToString(deterministic=True).hex() for config in all_configs))


def _made_of(build: PoolBuild, cascade: Path) -> str:
    chosen = read_cascade(cascade)
    graphs = [built.require_manifest().onnx_sha256 for built in build]
    rule = (chosen.stages, chosen.confidence, chosen.combine, chosen.mode, chosen.serving)
    return fingerprint(repr(rule), *graphs)
