"""TensorRT plans: what NVIDIA's container runs, on the kind of GPU that they were built on."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelOptimizationPolicy

from build_engines.errors import PlanError
from build_engines.plans.record import PlanRecord
from build_engines.pool.artifacts import BackboneBuild
from build_engines.repository.runtimes.cuda_graph_batches import cuda_graph_batches
from build_engines.repository.runtimes.warmup import add_warmup


class TensorRT:
    """A backbone's plan, with one instance on every GPU."""

    takes_onnx = True

    def configure(self, config: ModelConfig) -> None:
        """Select the backend, GPUs, and CUDA graphs of some batch sizes; other sizes run without a graph."""
        config.backend = "tensorrt"
        config.platform = "tensorrt_plan"
        config.default_model_filename = "model.plan"
        config.instance_group.add(kind=ModelInstanceGroup.KIND_GPU, count=1)
        cuda = config.optimization.cuda
        cuda.graphs = True
        cuda.graph_spec.extend(_graph(config, batch_size) for batch_size in cuda_graph_batches(config.max_batch_size))
        add_warmup(config)

    def files(self, built: BackboneBuild) -> dict[str, Path]:
        """Return the plan and its record.

        Raises:
            PlanError: there is no plan of the current ONNX file, or its largest batch is below the pool file's.
        """
        largest = PlanRecord.required(built).options.batch[-1]
        if largest < built.backbone.max_batch_size:
            raise PlanError(
                f"{built.plan} takes batches of {largest}, the pool file says {built.backbone.max_batch_size}; "
                "run build-engines plan on this pool (make engines: in NVIDIA's container)"
            )
        return {"model.plan": built.plan, "plan.json": built.plan_record_file}


def _graph(config: ModelConfig, batch_size: int) -> ModelOptimizationPolicy.Cuda.GraphSpec:
    graph = ModelOptimizationPolicy.Cuda.GraphSpec(batch_size=batch_size)
    for taken in config.input:
        graph.input[taken.name].dim.extend(taken.dims)
    return graph
