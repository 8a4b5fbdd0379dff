"""PyTorch in Triton's Python backend: for GPUs without TensorRT."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from build_engines.pool.artifacts import BackboneBuild
from build_engines.repository.runtimes.cuda_graph_batches import cuda_graph_batches

PROGRAM = "model.pt2"
PRECISION = "precision"
PRECISIONS = ("fp16", "bf16", "fp32")


class Torch:
    """A backbone's exported program: compiled and with CUDA graphs on a GPU, as it is on a CPU."""

    takes_onnx = False  # a program is exported from a PyTorch module

    def configure(self, config: ModelConfig) -> None:
        """Select the Python backend, a GPU where there is one, FP16 on it, and the batch sizes with a CUDA graph."""
        config.backend = "python"
        config.instance_group.add(kind=ModelInstanceGroup.KIND_AUTO, count=1)
        config.parameters[PRECISION].string_value = PRECISIONS[0]
        config.parameters["batch_sizes"].string_value = ",".join(map(str, cuda_graph_batches(config.max_batch_size)))
        config.parameters["exported_by"].string_value = f"torch {version('torch')}"

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Return the Python model and the program that it runs, which is exported unless it is up to date.

        Raises:
            CheckError: the program does not agree with the backbone that it was exported from.
        """
        from build_engines.repository.runtimes.torch.program import make_program  # noqa: PLC0415 (torch takes seconds)

        here = Path(__file__).parent
        program = make_program(built)
        return {"model.py": here / "model.py", "engine.py": here / "engine.py", PROGRAM: program}
