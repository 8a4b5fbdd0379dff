"""ONNX Runtime in Triton's Python backend: what the pip-installed server can run."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from build_engines.pool.artifacts import BackboneBuild

MODEL = Path(__file__).with_name("model.py")


class Embedded:
    """ONNX Runtime on one CPU core per instance."""

    takes_onnx = True

    def configure(self, config: ModelConfig) -> None:
        """Select the Python backend, one instance, one thread."""
        config.backend = "python"
        config.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=1)
        config.parameters["intra_op_threads"].string_value = "1"

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Return the Python model and the ONNX file that it loads."""
        return {"model.py": MODEL, "model.onnx": built.onnx}
