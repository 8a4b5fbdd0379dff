"""The cascade as Triton runs it: a BLS model that submits requests to a pipeline of stages and answers them later."""

from __future__ import annotations

from pathlib import Path

import triton_python_backend_utils as pb_utils

from cascade_core.contract import CASCADE_FILE, DESCRIPTION, IMAGE, OUTPUTS
from cascade_core.spec import Cascade, describe, read_cascade
from cascade_serving.backends import bls_backend, onnx_backend, runs_in_process
from cascade_serving.cores import usable_cores
from cascade_serving.limits import SchedulerLimits
from cascade_serving.metrics import Metrics
from cascade_serving.pipeline import Pipeline

CASCADE_PATH = Path(__file__).parents[2] / CASCADE_FILE


class TritonPythonModel:
    """The served cascade, of the stages that cascade.json names."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: pb_utils.ModelConfig) -> pb_utils.ModelConfig:
        """Complete the model's configuration from cascade.json."""
        cascade = read_cascade(CASCADE_PATH)
        auto_complete_model_config.set_max_batch_size(cascade.max_batch_size)
        auto_complete_model_config.set_dynamic_batching()
        auto_complete_model_config.add_input(IMAGE.config(canvas=cascade.canvas))
        for output in (*OUTPUTS, DESCRIPTION):
            extents = {"classes": len(cascade.labels), "stages": len(cascade.stages)}
            auto_complete_model_config.add_output(output.config(**extents))
        return auto_complete_model_config

    def initialize(self, arguments: dict[str, str]) -> None:
        """Read the cascade and start its threads."""
        cascade = read_cascade(CASCADE_PATH)
        self._metrics = Metrics(arguments["model_name"], arguments["model_version"])
        self._metrics.start([stage.model for stage in cascade.stages])
        repository, max_calls = _repository(cascade), cascade.serving.workers_per_stage
        in_process = runs_in_process(cascade, repository)
        if in_process:
            backends = [onnx_backend(stage, repository) for stage in cascade.stages]
            limits = SchedulerLimits.for_in_process(usable_cores(), max_calls)
        else:
            backends = [bls_backend(stage) for stage in cascade.stages]
            limits = SchedulerLimits.for_bls(len(cascade.stages), max_calls)
        where = "in process" if in_process else "by BLS"
        pb_utils.Logger.log_info(f"{arguments['model_name']}: stages are reached {where}")
        self._pipeline = Pipeline(cascade, self._metrics, backends, limits, describe(cascade, in_process=in_process))
        self._pipeline.start()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        """Submit requests; each is answered through its response sender, from another thread."""
        for request in requests:
            self._pipeline.submit(request, run_inline=len(requests) == 1)

    def finalize(self) -> None:
        """Answer every request that was submitted, and end the threads."""
        self._pipeline.close()
        self._metrics.close()


def _repository(cascade: Cascade) -> Path:
    """Return the model repository: where this entry is, or where it is linked from if the stages are there."""
    here, there = (path.parents[3] for path in (Path(__file__), Path(__file__).resolve()))
    return here if (here / cascade.stages[0].model).is_dir() else there
