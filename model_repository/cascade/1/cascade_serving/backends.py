"""The backends of a stage: a BLS call of the model that Triton serves, or an ONNX session in this process."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from cascade_core.contract import IMAGE, PROBABILITIES
from cascade_core.spec import Cascade, Stage
from cascade_serving.errors import StageError

if TYPE_CHECKING:
    import onnxruntime

ONNX_FILE = "model.onnx"

Images = npt.NDArray[np.uint8]
StageOutput = npt.NDArray[np.float32]


class StageBackend(Protocol):
    """A function that calls one stage's model."""

    def __call__(self, images: Images, tensor: pb_utils.Tensor | None, /) -> StageOutput:
        """Return the stage's predictions FP32 [n, C].

        Args:
            images: UINT8 [n, S, S, 3].
            tensor: Triton's tensor of the same images, if there is one: it is passed on without a copy.
        """


def runs_in_process(cascade: Cascade, repository: Path) -> bool:
    """Return whether this process runs the stages: as cascade.json says, or with `auto` if all are of runtime embedded.

    That runtime runs model.onnx by a model.py beside it, on cores that this process may use too; in process it saves
    the round trip to another process. A version policy is left to BLS: Triton knows which version it selects.
    """
    if cascade.serving.reach != "auto":
        return cascade.serving.reach == "in_process"
    folders = [folder for stage in cascade.stages for folder in _versions(stage, repository)[-1:]]
    embedded = [folder for folder in folders if (folder / ONNX_FILE).is_file() and (folder / "model.py").is_file()]
    certain = [folder for folder in embedded if not _has_version_policy(folder.parent)]
    return len(certain) == len(cascade.stages) and importlib.util.find_spec("onnxruntime") is not None


def bls_backend(stage: Stage) -> StageBackend:
    """Return the backend that calls the stage's model in Triton, whatever Triton backend runs it."""

    def predict(images: Images, tensor: pb_utils.Tensor | None) -> StageOutput:
        response = pb_utils.InferenceRequest(
            model_name=stage.model,
            model_version=stage.version,
            requested_output_names=[PROBABILITIES.name],
            inputs=[tensor or pb_utils.Tensor(IMAGE.name, images)],
            # The gate runs in numpy: an output left on the GPU would cost each instance a CUDA context.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        ).exec()
        if response.has_error():
            raise StageError(f"stage {stage.model!r} failed: {response.error().message()}")
        # A view of shared memory that is freed with the response: hence the copy.
        predictions: StageOutput = pb_utils.get_output_tensor_by_name(response, PROBABILITIES.name).as_numpy().copy()
        return predictions

    return predict


def onnx_backend(stage: Stage, repository: Path) -> StageBackend:
    """Return the backend that runs the stage's ONNX file from the model repository in this process, one core per call.

    Raises:
        StageError: there is no such file, ONNX Runtime cannot load it, or it is not a backbone.
    """
    session = _session(stage, repository)

    def predict(images: Images, _: pb_utils.Tensor | None) -> StageOutput:
        try:
            predictions: StageOutput = session.run([PROBABILITIES.name], {IMAGE.name: images})[0]
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise StageError(f"stage {stage.model!r} failed: {error}") from error
        return predictions

    return predict


def _session(stage: Stage, repository: Path) -> onnxruntime.InferenceSession:
    """Load the stage's ONNX file; what would fail every request fails here."""
    import onnxruntime  # noqa: PLC0415 (a server of TensorRT plans has none)

    folders, alternative = _versions(stage, repository), 'set "reach": "bls" in the "serving" of cascade.json'
    if not folders or not (folders[-1] / ONNX_FILE).is_file():
        raise StageError(
            f"stage {stage.model!r} has no {ONNX_FILE} in the model repository, so it cannot run in process; "
            f"{alternative}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(folders[-1] / ONNX_FILE, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise StageError(f"stage {stage.model!r} cannot be loaded: {error}") from error
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (session.get_inputs(), session.get_outputs()))
    if inputs != [IMAGE.name] or PROBABILITIES.name not in outputs:
        raise StageError(
            f"stage {stage.model!r}: {ONNX_FILE} has inputs {inputs} and outputs {outputs}, where a backbone has input "
            f"{IMAGE.name!r} and output {PROBABILITIES.name!r}; {alternative}"
        )
    return session


def _versions(stage: Stage, repository: Path) -> list[Path]:
    """Return the folders of the stage's version, or of all its versions if it names none, in ascending order.

    By Triton's rule for version folders: other names, and numbers with a leading zero, are ignored.
    """
    named = [folder for folder in (repository / stage.model).glob("[1-9]*") if re.fullmatch("[0-9]+", folder.name)]
    found = sorted(named, key=lambda folder: int(folder.name))
    return [folder for folder in found if stage.version in (-1, int(folder.name))]


def _has_version_policy(entry: Path) -> bool:
    config = entry / "config.pbtxt"
    return config.is_file() and "version_policy" in config.read_text(encoding="utf-8")
