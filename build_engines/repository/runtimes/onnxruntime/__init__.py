"""ONNX Runtime as Triton's own backend: what NVIDIA's container runs, with or without a GPU."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from build_engines.pool.artifacts import BackboneBuild
from build_engines.repository.runtimes.warmup import add_warmup


class OnnxRuntime:
    """Triton's onnxruntime backend, with the ONNX file as it is."""

    takes_onnx = True

    def configure(self, config: ModelConfig) -> None:
        """Select the backend and one instance, on a GPU where there is one; the graph is optimised on loading."""
        config.backend = "onnxruntime"
        config.platform = "onnxruntime_onnx"
        config.default_model_filename = "model.onnx"
        config.instance_group.add(kind=ModelInstanceGroup.KIND_AUTO, count=1)
        add_warmup(config)

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Return the ONNX file."""
        return {"model.onnx": built.onnx}
