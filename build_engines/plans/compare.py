"""Run a plan beside ONNX Runtime on real images: it must answer as the file that it was built of.

NVIDIA's polygraphy runs the plan; where it cannot, nothing is compared, and that is said.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from build_engines.errors import CheckError, PlanError
from build_engines.images.canvas import Canvas
from build_engines.plans.record import PlanCheck, PlanOptions
from build_engines.pool.schema import Backbone, Precision

NEEDED = ("polygraphy", "onnxruntime")
PROBABILITY_TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2}
CLASS_DISAGREEMENT_CEILING = 0.005

Floats = npt.NDArray[np.float32]
Run = Callable[[Canvas], Floats]


def obstacle() -> str | None:
    """Say what keeps plans from being compared here and what helps; None if nothing does."""
    if lacking := [name for name in NEEDED if find_spec(name) is None]:
        return f"pip install {' '.join(lacking)}"
    from polygraphy.cuda import wrapper  # noqa: PLC0415 (optional)
    from polygraphy.exception import PolygraphyException  # noqa: PLC0415

    try:
        wrapper()
    except (PolygraphyException, OSError) as error:
        return f"polygraphy finds no CUDA runtime ({error}); put the folder of libcudart.so on LD_LIBRARY_PATH"
    return None


@dataclass(frozen=True)
class Comparison:
    """Compare plans with ONNX Runtime on the same images.

    Attributes:
        trt: TensorRT's Python module.
        images: UINT8 [N, S, S, 3].
    """

    trt: Any
    images: Canvas

    def check(self, backbone: Backbone, onnx: Path, options: PlanOptions, plan: bytes) -> PlanCheck:
        """Compare a plan with the ONNX file that it was built of, at the batch sizes that it was built for.

        Raises:
            CheckError: the plan answers otherwise.
            PlanError: the plan does not run on this GPU.
        """
        sizes = sorted(set(options.batch))
        theirs = answers(_onnx_runtime(onnx), self.images, sizes[0])
        check = agreement(_plan_answers(self.trt, backbone, plan, self.images, sizes), theirs)
        require_agreement(backbone, check, tolerance_of(backbone.precision, options))
        return check


def answers(run: Run, images: Canvas, size: int) -> Floats:
    """Return what `run` answers to all images, in batches of one size, the last one filled up: FP32 [N, C]."""
    batches = -(-len(images) // size)
    filled = np.resize(images, (batches * size, *images.shape[1:]))
    return np.concatenate([run(part) for part in np.split(filled, batches)])[: len(images)]


def agreement(ours: Floats, theirs: Floats) -> PlanCheck:
    """Compare a plan's probabilities at each batch size, FP32 [sizes, N, C], with ONNX Runtime's, FP32 [N, C]."""
    same_class = (ours.argmax(-1) == theirs.argmax(-1)).all(0)
    return PlanCheck(
        images=len(theirs),
        largest_probability_difference=float(np.abs(ours - theirs).max()),
        class_agreement=float(same_class.mean()),
    )


def tolerance_of(precision: Precision, options: PlanOptions) -> float:
    """Return how far a plan's probabilities may lie from ONNX Runtime's; TF32's mantissa is as short as FP16's."""
    return PROBABILITY_TOLERANCES["fp16" if options.tf32 else precision]


def require_agreement(backbone: Backbone, check: PlanCheck, tolerance: float) -> None:
    """Hold a plan to a tolerance and to the class; one of random weights, which magnify any rounding, to numbers alone.

    One image may always be of another class: of few images, two classes as likely as each other would be too many.

    Raises:
        CheckError: it differs.
    """
    difference = check.largest_probability_difference
    others = round((1 - check.class_agreement) * check.images)
    allowed = max(1, int(CLASS_DISAGREEMENT_CEILING * check.images))
    agrees = not isnan(difference) if backbone.is_random else difference <= tolerance and others <= allowed
    if not agrees:  # NaN is not below any tolerance
        raise CheckError(
            f"backbone {backbone.name!r}: its plan differs from ONNX Runtime by {difference:.2g} "
            f"(tolerance {tolerance}), in the class of {others} of {check.images} images (allowed {allowed}); the plan "
            "was not kept. Compare it on images of your own (--images FOLDER), try another precision in the pool file, "
            "or serve it by --runtime onnxruntime"
        )


def _onnx_runtime(onnx: Path) -> Run:
    import onnxruntime  # noqa: PLC0415 (only where plans are compared)

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["probabilities"], {"image": images})[0]


def _plan_answers(trt: Any, backbone: Backbone, plan: bytes, images: Canvas, sizes: Sequence[int]) -> Floats:  # noqa: ANN401
    """Return what a plan answers to all images at each batch size: FP32 [sizes, N, C]."""
    sys.modules.setdefault("tensorrt", trt)  # polygraphy knows no other name of the bindings
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner  # noqa: PLC0415 (optional)
    from polygraphy.exception import PolygraphyException  # noqa: PLC0415

    try:
        with TrtRunner(EngineFromBytes(plan)) as runner:

            def run(batch: Canvas) -> Floats:
                return runner.infer({"image": batch})["probabilities"].copy()  # type: ignore[no-any-return]

            return np.stack([answers(run, images, size) for size in sizes])
    except (PolygraphyException, OSError, RuntimeError, TypeError) as error:  # the bindings raise the last two
        raise PlanError(
            f"backbone {backbone.name!r}: its plan was built but does not run here: {error}; the plan was not kept. "
            "If memory is short, lower max_batch_size in the pool file"
        ) from error
