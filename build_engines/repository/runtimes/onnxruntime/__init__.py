"""ONNX Runtime as Triton's own backend: what NVIDIA's container runs, with a GPU or without."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from build_engines.pool.artifacts import BackboneBuild
from build_engines.repository.runtimes.warmup import add_warmup


class OnnxRuntime:
    """Serve a backbone's ONNX file as it is."""

    takes_onnx = True

    def configure(self, config: ModelConfig) -> None:
        """Choose the backend and one instance, on a GPU where there is one; the graph is optimised on loading."""
        config.backend = "onnxruntime"
        config.platform = "onnxruntime_onnx"
        config.default_model_filename = "model.onnx"
        config.instance_group.add(kind=ModelInstanceGroup.KIND_AUTO, count=1)
        add_warmup(config)

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Name the ONNX file."""
        return {"model.onnx": built.onnx}
