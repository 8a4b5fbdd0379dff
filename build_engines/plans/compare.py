"""Compare a plan with ONNX Runtime on real images: it must answer like the ONNX file that it was built from.

NVIDIA's polygraphy runs the plan; where it cannot, nothing is compared, and the command prints why.
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
from build_engines.plans.record import PlanAgreement, PlanOptions
from build_engines.pool.schema import Backbone, Precision
from cascade_core.contract import IMAGE, PROBABILITIES

NEEDED = ("polygraphy", "onnxruntime")
PROBABILITY_TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 1e-2}
CLASS_DISAGREEMENT_CEILING = 0.005

Floats = npt.NDArray[np.float32]
Run = Callable[[Canvas], Floats]


def comparison_obstacle() -> str | None:
    """Return why plans cannot be compared here, and what helps; None if they can."""
    if lacking := [name for name in NEEDED if find_spec(name) is None]:
        return f"pip install {' '.join(lacking)}"
    from polygraphy.cuda import wrapper  # noqa: PLC0415 (optional)
    from polygraphy.exception import PolygraphyException  # noqa: PLC0415

    try:
        wrapper()
    except (PolygraphyException, OSError) as error:
        return f"polygraphy finds no CUDA runtime ({error}); add the folder of libcudart.so to LD_LIBRARY_PATH"
    return None


@dataclass(frozen=True)
class Comparison:
    """The images that plans and ONNX Runtime are compared on.

    Attributes:
        trt: TensorRT's Python module.
        images: UINT8 [N, S, S, 3].
    """

    trt: Any
    images: Canvas

    def check(self, backbone: Backbone, onnx: Path, options: PlanOptions, plan: bytes) -> PlanAgreement:
        """Compare a plan with the ONNX file that it was built from, at the batch sizes that it was built for.

        Raises:
            CheckError: the plan's answers differ beyond the tolerance.
            PlanError: the plan does not run on this GPU.
        """
        sizes = sorted(set(options.batch))
        theirs = answers(_onnx_runtime(onnx), self.images, sizes[0])
        agreement = compare_answers(_plan_answers(self.trt, backbone, plan, self.images, sizes), theirs)
        check_agreement(backbone, agreement, tolerance_of(backbone.precision, options))
        return agreement


def answers(run: Run, images: Canvas, size: int) -> Floats:
    """Return the answers of `run` for all images, in batches of one size, the last one padded: FP32 [N, C]."""
    batches = -(-len(images) // size)
    padded = np.resize(images, (batches * size, *images.shape[1:]))
    return np.concatenate([run(part) for part in np.split(padded, batches)])[: len(images)]


def compare_answers(ours: Floats, theirs: Floats) -> PlanAgreement:
    """Compare a plan's probabilities at each batch size, FP32 [sizes, N, C], with ONNX Runtime's, FP32 [N, C]."""
    same_class = (ours.argmax(-1) == theirs.argmax(-1)).all(0)
    return PlanAgreement(
        images=len(theirs),
        largest_probability_difference=float(np.abs(ours - theirs).max()),
        class_agreement=float(same_class.mean()),
    )


def tolerance_of(precision: Precision, options: PlanOptions) -> float:
    """Return how far a plan's probabilities may be from ONNX Runtime's; TF32's mantissa is as short as FP16's."""
    return PROBABILITY_TOLERANCES["fp16" if options.tf32 else precision]


def check_agreement(backbone: Backbone, agreement: PlanAgreement, tolerance: float) -> None:
    """Check that probabilities are within a tolerance and classes are the same.

    Random weights magnify any rounding: their plans must only answer numbers. One image may always be of another class:
    in a small set, a single tie of two classes would exceed the ceiling.

    Raises:
        CheckError: they are not.
    """
    difference = agreement.largest_probability_difference
    others = round((1 - agreement.class_agreement) * agreement.images)
    allowed = max(1, int(CLASS_DISAGREEMENT_CEILING * agreement.images))
    agrees = not isnan(difference) if backbone.is_random else difference <= tolerance and others <= allowed
    if not agrees:  # NaN is not below any tolerance
        raise CheckError(
            f"backbone {backbone.name!r}: its plan differs from ONNX Runtime by {difference:.2g} "
            f"(tolerance {tolerance}), in the class of {others} of {agreement.images} images (allowed {allowed}); the "
            "plan was not kept. Compare it on your own images (--images FOLDER), try another precision in the pool "
            "file, or serve the backbone with --runtime onnxruntime"
        )


def _onnx_runtime(onnx: Path) -> Run:
    import onnxruntime  # noqa: PLC0415 (only where plans are compared)

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return lambda images: session.run([PROBABILITIES.name], {IMAGE.name: images})[0]


def _plan_answers(trt: Any, backbone: Backbone, plan: bytes, images: Canvas, sizes: Sequence[int]) -> Floats:  # noqa: ANN401
    """Return a plan's answers for all images at each batch size: FP32 [sizes, N, C]."""
    sys.modules.setdefault("tensorrt", trt)  # polygraphy knows no other name of the bindings
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner  # noqa: PLC0415 (optional)
    from polygraphy.exception import PolygraphyException  # noqa: PLC0415

    try:
        with TrtRunner(EngineFromBytes(plan)) as runner:

            def run(batch: Canvas) -> Floats:
                return runner.infer({IMAGE.name: batch})[PROBABILITIES.name].copy()  # type: ignore[no-any-return]

            return np.stack([answers(run, images, size) for size in sizes])
    except (PolygraphyException, OSError, RuntimeError, TypeError) as error:  # the bindings raise the last two
        raise PlanError(
            f"backbone {backbone.name!r}: its plan was built but does not run here: {error}; the plan was not kept. "
            "If memory is short, lower max_batch_size in the pool file"
        ) from error
