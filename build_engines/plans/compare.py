"""Run a plan beside ONNX Runtime on real images: it must answer as the file that it was built of.

NVIDIA's polygraphy runs the plan; without it nothing is compared, and that is said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from build_engines.canvas import Canvas
from build_engines.errors import CheckError, PlanError
from build_engines.plans.record import PlanCheck
from build_engines.pool import Backbone, Precision

NEEDED = ("polygraphy", "onnxruntime")
PROBABILITY_TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2}
CLASS_AGREEMENT_FLOOR = 0.995

Floats = npt.NDArray[np.float32]
Run = Callable[[Canvas], Floats]


def missing() -> list[str]:
    """Name the packages that comparing needs and that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


@dataclass(frozen=True)
class Comparison:
    """Compare plans with ONNX Runtime on the same images.

    Attributes:
        trt: TensorRT's Python module.
        images: UINT8 [N, S, S, 3].
    """

    trt: Any
    images: Canvas

    def check(self, backbone: Backbone, onnx: Path, batches: Sequence[int], plan: bytes) -> PlanCheck:
        """Compare a plan with the ONNX file that it was built of, at the batch sizes that it was built for.

        Raises:
            CheckError: the plan answers otherwise.
            PlanError: the plan does not run on this GPU.
        """
        sizes = sorted(set(batches))
        theirs = answers(_onnx_runtime(onnx), self.images, sizes[0])
        ours = _plan_answers(self.trt, backbone, plan, self.images, sizes)
        check = agreement(ours, np.tile(theirs, (len(sizes), 1)), len(self.images))
        require_agreement(backbone, check)
        return check


def answers(run: Run, images: Canvas, size: int) -> Floats:
    """Return what `run` answers to all images, in batches of one size, the last one filled up: FP32 [N, C]."""
    batches = -(-len(images) // size)
    filled = np.resize(images, (batches * size, *images.shape[1:]))
    return np.concatenate([run(part) for part in np.split(filled, batches)])[: len(images)]


def agreement(ours: Floats, theirs: Floats, images: int) -> PlanCheck:
    """Compare two arrays of probabilities, each FP32 [N, C]."""
    return PlanCheck(
        images=images,
        largest_probability_difference=float(np.abs(ours - theirs).max()),
        class_agreement=float(np.mean(ours.argmax(1) == theirs.argmax(1))),
    )


def require_agreement(backbone: Backbone, check: PlanCheck) -> None:
    """Hold a plan to its precision's tolerance, and to the class unless the weights are random, which say nothing.

    Raises:
        CheckError: it differs.
    """
    tolerance = PROBABILITY_TOLERANCES[backbone.precision]
    floor = 0.0 if backbone.is_random else CLASS_AGREEMENT_FLOOR
    difference = check.largest_probability_difference
    if not (difference <= tolerance and check.class_agreement >= floor):  # so put, NaN fails too
        raise CheckError(
            f"backbone {backbone.name!r}: its plan differs from ONNX Runtime by {difference:.2g} "
            f"(tolerance {tolerance} in {backbone.precision}), same class on {check.class_agreement:.1%} of "
            f"{check.images} images ({floor:.1%}); the plan was not kept. "
            "Serve it by --runtime onnxruntime, or try another precision in the pool file"
        )


def _onnx_runtime(onnx: Path) -> Run:
    import onnxruntime  # noqa: PLC0415 (only where plans are compared)

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"image": images})[0]


def _plan_answers(trt: Any, backbone: Backbone, plan: bytes, images: Canvas, sizes: Sequence[int]) -> Floats:  # noqa: ANN401
    """Return what a plan answers to all images at each batch size: FP32 [sizes · N, C]."""
    sys.modules.setdefault("tensorrt", trt)  # polygraphy knows no other name of the bindings
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner  # noqa: PLC0415 (optional)
    from polygraphy.exception import PolygraphyException  # noqa: PLC0415

    try:
        with TrtRunner(EngineFromBytes(plan)) as runner:

            def run(batch: Canvas) -> Floats:
                return runner.infer({"image": batch})["probabilities"].copy()  # type: ignore[no-any-return]

            return np.concatenate([answers(run, images, size) for size in sizes])
    except (PolygraphyException, RuntimeError, TypeError) as error:  # the bindings raise the last two
        raise PlanError(
            f"backbone {backbone.name!r}: its plan was built but does not run here: {error}; the plan was not kept. "
            "If memory is short, lower max_batch_size in the pool file"
        ) from error
