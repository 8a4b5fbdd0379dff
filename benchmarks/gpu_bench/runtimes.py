"""Which runtime is at hand, what it needs built, and how this process runs what it would serve."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from google.protobuf import text_format
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc.model_config_pb2 import ModelConfig

from build_engines.errors import BuildError
from build_engines.images.canvas import Canvas
from build_engines.plans.device import find_device
from build_engines.plans.tensorrt import load_tensorrt
from build_engines.pool.schema import Precision
from cascade_core.contract import IMAGE, PROBABILITIES

Floats = npt.NDArray[np.float32]
Predict = Callable[[Canvas], Floats]

BEST_FIRST = ("tensorrt", "torch", "embedded")
PRECISIONS: dict[str, Precision] = {"tensorrt": "fp16", "torch": "fp16", "embedded": "fp32"}


def best_runtime() -> tuple[str, dict[str, str]]:
    """Return the fastest runtime that this machine has, and why not a faster one."""
    reasons: dict[str, str] = {}
    for runtime in BEST_FIRST:
        reason = _missing(runtime)
        if reason is None:
            return runtime, reasons
        reasons[runtime] = reason
    raise BuildError(f"no runtime is at hand: {reasons}")


def load(runtime: str, version: Path) -> Predict:
    """Load in this process what a runtime serves: UINT8 [n, S, S, 3] to FP32 [n, C], both in CPU memory.

    Args:
        runtime: One of `BEST_FIRST`.
        version: The version folder of the backbone's entry.
    """
    return {"tensorrt": _plan, "torch": _program, "embedded": _session}[runtime](version)


def _missing(runtime: str) -> str | None:
    if runtime == "torch" and not torch.cuda.is_available():
        return "there is no GPU"
    if runtime == "tensorrt":
        try:
            find_device()  # first: TensorRT's library can crash where there is no driver
            load_tensorrt()
        except BuildError as error:
            return str(error)
    return None


def _session(version: Path) -> Predict:
    import onnxruntime  # noqa: PLC0415 (a GPU machine may have none)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # as the runtime serves it
    session = onnxruntime.InferenceSession(version / "model.onnx", options, providers=["CPUExecutionProvider"])
    return lambda images: session.run([PROBABILITIES.name], {IMAGE.name: images})[0]


def _program(version: Path) -> Predict:
    """Run a PyTorch program by the code in its version folder."""
    spec = importlib.util.spec_from_file_location("served_engine", version / "engine.py")
    if spec is None or spec.loader is None:
        raise BuildError(f"there is no {version / 'engine.py'}")
    code = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    config = text_format.Parse((version.parent / "config.pbtxt").read_text(), ModelConfig())
    engine = code.load(version, MessageToDict(config, preserving_proto_field_name=True), 0, warnings.warn)
    return lambda images: engine([images])


def _plan(version: Path) -> Predict:
    """Run a TensorRT plan on torch's memory and stream."""
    trt = load_tensorrt()
    logger = trt.Logger(trt.Logger.WARNING)
    engine = trt.Runtime(logger).deserialize_cuda_engine((version / "model.plan").read_bytes())
    if engine is None:
        raise BuildError(f"TensorRT cannot load {version / 'model.plan'}")
    context, stream = engine.create_execution_context(), torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def predict(images: Canvas) -> Floats:
        given = torch.from_numpy(images).cuda()
        shape = len(images), engine.get_tensor_shape(PROBABILITIES.name)[1]
        answered = torch.empty(shape, device="cuda", dtype=torch.float32)
        stream.wait_stream(torch.cuda.current_stream())
        context.set_input_shape(IMAGE.name, tuple(given.shape))
        context.set_tensor_address(IMAGE.name, given.data_ptr())
        context.set_tensor_address(PROBABILITIES.name, answered.data_ptr())
        if not context.execute_async_v3(stream.cuda_stream):
            raise BuildError("TensorRT could not run the plan")
        stream.synchronize()
        result: Any = answered.cpu().numpy()
        return result  # type: ignore[no-any-return]

    return predict
