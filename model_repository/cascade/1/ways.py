"""The ways to a stage's model: a call of Triton's, or an ONNX session in this process."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from cascade_spec import Cascade, Stage
from job import INPUT
from refusals import StageError

PREDICTION = "probabilities"
ONNX_FILE = "model.onnx"

Images = npt.NDArray[np.uint8]
Predictions = npt.NDArray[np.float32]
# Images UINT8 [n, S, S, 3], and Triton's tensor of those very images if there is one, to predictions FP32 [n, C].
Way = Callable[[Images, Any], Predictions]


def runs_in_process(cascade: Cascade, repository: Path) -> bool:
    """Tell whether this process runs the stages: if told to, or by default if all are of the embedded runtime.

    That one serves model.onnx by a model.py beside it, on cores that this process has too: what it saves is the way
    to another process and back.
    """
    if cascade.serving.reach != "auto":
        return cascade.serving.reach == "in_process"
    folders = [folder for stage in cascade.stages for folder in _versions(stage, repository)[-1:]]
    embedded = [folder for folder in folders if (folder / ONNX_FILE).is_file() and (folder / "model.py").is_file()]
    return len(embedded) == len(cascade.stages) and importlib.util.find_spec("onnxruntime") is not None


def way_by_triton(stage: Stage) -> Way:
    """Return the way that calls the stage's model as Triton serves it, whatever its backend."""

    def predict(images: Images, tensor: Any) -> Predictions:  # noqa: ANN401
        response = pb_utils.InferenceRequest(
            model_name=stage.model,
            model_version=stage.version,
            requested_output_names=[PREDICTION],
            # A request's own tensor goes on without being copied.
            inputs=[tensor or pb_utils.Tensor(INPUT, images)],
            # The gate is numpy: an answer left on the GPU would cost each instance a CUDA context.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        ).exec()
        if response.has_error():
            raise StageError(f"stage {stage.model!r} failed: {response.error().message()}")
        # A view into shared memory, which is freed with the response: hence the copy.
        predictions: Predictions = pb_utils.get_output_tensor_by_name(response, PREDICTION).as_numpy().copy()
        return predictions

    return predict


def way_in_process(stage: Stage, repository: Path) -> Way:
    """Return the way that runs the stage's ONNX file from the model repository here, on one core a call.

    Raises:
        StageError: there is no such file, or ONNX Runtime cannot load it.
    """
    import onnxruntime  # noqa: PLC0415 (a server of TensorRT plans has none)

    folders = _versions(stage, repository)
    if not folders or not (folders[-1] / ONNX_FILE).is_file():
        raise StageError(
            f"stage {stage.model!r} has no {ONNX_FILE} in the model repository, so it cannot run in process; "
            'say "reach": "bls" in the "serving" of cascade.json'
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folders[-1] / ONNX_FILE, options, providers=["CPUExecutionProvider"])

    def predict(images: Images, _: Any) -> Predictions:  # noqa: ANN401
        try:
            predictions: Predictions = session.run([PREDICTION], {INPUT: images})[0]
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise StageError(f"stage {stage.model!r} failed: {error}") from error
        return predictions

    return predict


def _versions(stage: Stage, repository: Path) -> list[Path]:
    """Return the folders of the stage's version, or of all its versions if it names none, in ascending order."""
    found = sorted((repository / stage.model).glob("[0-9]*"), key=lambda folder: int(folder.name))
    return [folder for folder in found if stage.version in (-1, int(folder.name))]
