"""PyTorch under Triton's Python backend: GPUs that have no TensorRT."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from build_engines.pool.artifacts import BackboneBuild
from build_engines.repository.runtimes.cuda_graph_batches import ladder

PROGRAM = "model.pt2"
PRECISION = "precision"
PRECISIONS = ("fp16", "bf16", "fp32")


class Torch:
    """Serve a backbone's exported program: on a GPU compiled and on CUDA graphs, on a CPU as it is."""

    takes_onnx = False  # a program is exported from a PyTorch module

    def configure(self, config: ModelConfig) -> None:
        """Choose the Python backend, a GPU where there is one, FP16 there, and the batch sizes that get a graph."""
        config.backend = "python"
        config.instance_group.add(kind=ModelInstanceGroup.KIND_AUTO, count=1)
        config.parameters[PRECISION].string_value = PRECISIONS[0]
        config.parameters["batch_sizes"].string_value = ",".join(map(str, ladder(config.max_batch_size)))
        config.parameters["exported_by"].string_value = f"torch {version('torch')}"

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Name the Python model and the program that it runs, which is made here unless it is there up to date.

        Raises:
            CheckError: the program does not agree with the backbone that it was made of.
        """
        from build_engines.repository.runtimes.torch.program import make_program  # noqa: PLC0415 (torch takes seconds)

        here = Path(__file__).parent
        program = make_program(built)
        return {"model.py": here / "model.py", "engine.py": here / "engine.py", PROGRAM: program}
