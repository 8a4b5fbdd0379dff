"""Images per second as served, kept with what was served: of each backbone, of all of them, and of the cascade."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from build_cascade.errors import ChoiceError
from build_cascade.report.content import ENSEMBLE
from build_engines.costs import throughput
from build_engines.costs.latency import as_costs
from build_engines.images.canvas import Canvas
from build_engines.images.source import ImageSource
from build_engines.pool.artifacts import PoolBuild
from build_engines.pool.schema import Pool
from build_engines.repository.served_model import ServedModel, served_configs
from build_engines.support.atomic_files import fingerprint, write_text_whole
from build_engines.support.progress import OnProgress, ignore_progress
from cascade_core.contract import CASCADE, PROBABILITIES, STAGE_CONFIDENCE, TensorSpec
from cascade_core.gating import replay
from cascade_core.spec import Cascade, read_cascade

MEASURED_IMAGES = 256
CONFIDENCE_TOLERANCE = 0.01  # between one batch and another
SAME_SHARE = 0.95  # of the images: near a threshold, rounding decides
SERVE_CASCADE = "serve this cascade.json (make serve), or load the cascade again"

Confidences = npt.NDArray[np.float32]  # [N, K], NaN where a stage did not run


class ServedThroughput(BaseModel):
    """Measured images per second.

    Attributes:
        made_of: Fingerprint of the exports and the cascade.
        served_as: Fingerprint of Triton's configurations: runtime, file, instances, batching.
        images_per_s: By backbone, and of `ENSEMBLE` and `CASCADE`.
    """

    model_config = ConfigDict(frozen=True)

    made_of: str
    served_as: str
    images_per_s: dict[str, float]

    @classmethod
    def read(cls, build: PoolBuild, cascade: Path) -> Self | None:
        """Read what was measured; return None where that is missing, or of another cascade or other backbones."""
        if build.imported.is_dir():
            return None
        try:
            measured = cls.model_validate_json(build.throughput.read_bytes())
        except (OSError, ValidationError):
            return None
        return measured if measured.made_of == _made_of(build, cascade) else None


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
    build: PoolBuild, images: ImageSource, url: str, cascade: Path, on_progress: OnProgress = ignore_progress
) -> bool:
    """Measure all that is served, on images that need no labels; keep images per second, and milliseconds as costs.

    Returns:
        False where what is served was measured before, and is reused.

    Raises:
        ServedError: something is not served, or not made of the last export.
        ChoiceError: the served cascade is another one.
        BuildError: a backbone has no up-to-date ONNX file.
        ImageSourceError: none of the images can be used.
    """
    configs = served_configs(build, url)
    with ServedModel(url, CASCADE, SERVE_CASCADE) as served:
        served_as = _served_as([*configs.values(), served.config])
    earlier = ServedThroughput.read(build, cascade)
    if earlier is not None and earlier.served_as == served_as and build.measured_costs.is_file():
        return False
    _, canvases = images.sample(MEASURED_IMAGES).usable(build.pool.canvas)
    check_served(read_cascade(cascade), canvases, url)
    rates = throughput.measure(url, _routes(build.pool), canvases, on_progress)
    measured = ServedThroughput(made_of=_made_of(build, cascade), served_as=served_as, images_per_s=rates)
    as_costs(rates, throughput.DEFAULT_LOAD, configs).write(build.measured_costs)
    write_text_whole(build.throughput, measured.model_dump_json(indent=1))
    return True


def _routes(pool: Pool) -> dict[str, list[str]]:
    names = [backbone.name for backbone in pool.backbones]
    return {**{name: [name] for name in names}, ENSEMBLE: names, CASCADE: [CASCADE]}


def _same_share(served: Confidences, expected: Confidences) -> float:
    same = np.isclose(served, expected, atol=CONFIDENCE_TOLERANCE, equal_nan=True).all(axis=1)
    return float(same.mean())


def _answers(url: str, model: str, canvases: Canvas, output: TensorSpec, batch: int) -> npt.NDArray[np.float32]:
    with ServedModel(url, model, SERVE_CASCADE) as served:
        return np.concatenate(
            [served.infer(canvases[start : start + batch], output) for start in range(0, len(canvases), batch)]
        )


def _served_as(configs: list[Any]) -> str:
    return fingerprint(*(config.SerializeToString(deterministic=True).hex() for config in configs))


def _made_of(build: PoolBuild, cascade: Path) -> str:
    chosen = read_cascade(cascade)
    graphs = [built.require_manifest().onnx_sha256 for built in build]
    rule = (chosen.stages, chosen.confidence, chosen.combine, chosen.mode, chosen.serving)
    return fingerprint(repr(rule), *graphs)
