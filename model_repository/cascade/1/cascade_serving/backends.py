"""The ways to a stage's model: a call of Triton's, or an ONNX session in this process."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from cascade_core.spec import Cascade, Stage
from cascade_serving.errors import StageError
from cascade_serving.request import INPUT

PREDICTION = "probabilities"
ONNX_FILE = "model.onnx"

Images = npt.NDArray[np.uint8]
Predictions = npt.NDArray[np.float32]
# Images UINT8 [n, S, S, 3], and Triton's tensor of those very images if there is one, to predictions FP32 [n, C].
Way = Callable[[Images, Any], Predictions]


def runs_in_process(cascade: Cascade, repository: Path) -> bool:
    """Tell whether this process runs the stages: if told to, or by default if all are of the embedded runtime.

    That one serves model.onnx by a model.py beside it, on cores that this process has too: what it saves is the way
    to another process and back. Which version a policy chooses, Triton knows.
    """
    if cascade.serving.reach != "auto":
        return cascade.serving.reach == "in_process"
    folders = [folder for stage in cascade.stages for folder in _versions(stage, repository)[-1:]]
    embedded = [folder for folder in folders if (folder / ONNX_FILE).is_file() and (folder / "model.py").is_file()]
    chosen = [folder for folder in embedded if not _has_version_policy(folder.parent)]
    return len(chosen) == len(cascade.stages) and importlib.util.find_spec("onnxruntime") is not None


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
        StageError: there is no such file, ONNX Runtime cannot load it, or it is no backbone of ours.
    """
    session = _session(stage, repository)

    def predict(images: Images, _: Any) -> Predictions:  # noqa: ANN401
        try:
            predictions: Predictions = session.run([PREDICTION], {INPUT: images})[0]
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise StageError(f"stage {stage.model!r} failed: {error}") from error
        return predictions

    return predict


def _session(stage: Stage, repository: Path) -> Any:  # noqa: ANN401 (imported only where it is needed)
    """Load the stage's ONNX file; what would fail every request fails here."""
    import onnxruntime  # noqa: PLC0415 (a server of TensorRT plans has none)

    folders, otherwise = _versions(stage, repository), 'say "reach": "bls" in the "serving" of cascade.json'
    if not folders or not (folders[-1] / ONNX_FILE).is_file():
        raise StageError(
            f"stage {stage.model!r} has no {ONNX_FILE} in the model repository, so it cannot run in process; "
            f"{otherwise}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(folders[-1] / ONNX_FILE, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise StageError(f"stage {stage.model!r} cannot be loaded: {error}") from error
    taken, answered = ([tensor.name for tensor in tensors] for tensors in (session.get_inputs(), session.get_outputs()))
    if taken != [INPUT] or PREDICTION not in answered:
        raise StageError(
            f"stage {stage.model!r}: {ONNX_FILE} takes {taken} and answers {answered}, where a backbone takes "
            f"{INPUT!r} and answers {PREDICTION!r}; {otherwise}"
        )
    return session


def _versions(stage: Stage, repository: Path) -> list[Path]:
    """Return the folders of the stage's version, or of all its versions if it names none, in ascending order.

    Triton's rule of what a version is: other names, and those with a leading zero, it leaves alone.
    """
    named = [folder for folder in (repository / stage.model).glob("[1-9]*") if re.fullmatch("[0-9]+", folder.name)]
    found = sorted(named, key=lambda folder: int(folder.name))
    return [folder for folder in found if stage.version in (-1, int(folder.name))]


def _has_version_policy(entry: Path) -> bool:
    config = entry / "config.pbtxt"
    return config.is_file() and "version_policy" in config.read_text(encoding="utf-8")
