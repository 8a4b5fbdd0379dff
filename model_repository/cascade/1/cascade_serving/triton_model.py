"""The cascade as Triton runs it: a BLS model that hands requests to a pipeline of stages and answers them later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from cascade_core.spec import Cascade, read_cascade
from cascade_serving.backends import runs_in_process, way_by_triton, way_in_process
from cascade_serving.cores import usable_cores
from cascade_serving.metrics import Metrics
from cascade_serving.pipeline import Pipeline
from cascade_serving.request import INPUT, outputs
from cascade_serving.scheduler import CrewSize

CASCADE_FILE = Path(__file__).parents[2] / "cascade.json"


class TritonPythonModel:
    """Answer image classification requests from the stages that cascade.json names."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:  # noqa: ANN401 (Triton's types have no stubs)
        """Complete the model's configuration from cascade.json."""
        cascade = read_cascade(CASCADE_FILE)
        auto_complete_model_config.set_max_batch_size(cascade.max_batch_size)
        auto_complete_model_config.set_dynamic_batching()
        canvas = [cascade.canvas, cascade.canvas, 3]
        auto_complete_model_config.add_input({"name": INPUT, "data_type": "TYPE_UINT8", "dims": canvas})
        for output in outputs(cascade):
            auto_complete_model_config.add_output(output)
        return auto_complete_model_config

    def initialize(self, arguments: dict[str, str]) -> None:
        """Read the cascade and start its threads."""
        cascade = read_cascade(CASCADE_FILE)
        self._metrics = Metrics(arguments["model_name"], arguments["model_version"])
        self._metrics.start([stage.model for stage in cascade.stages])
        repository, calls = _repository(cascade), cascade.serving.workers_per_stage
        in_process = runs_in_process(cascade, repository)
        if in_process:
            ways = [way_in_process(stage, repository) for stage in cascade.stages]
            size = CrewSize.in_process(usable_cores(), calls)
        else:
            ways = [way_by_triton(stage) for stage in cascade.stages]
            size = CrewSize.by_bls(len(cascade.stages), calls)
        way = "in process" if in_process else "by BLS"
        pb_utils.Logger.log_info(f"{arguments['model_name']}: stages are reached {way}")
        self._pipeline = Pipeline(cascade, self._metrics, ways, size)
        self._pipeline.start()

    def execute(self, requests: list[Any]) -> None:
        """Take requests in; each gets its answer through its response sender, from another thread."""
        for request in requests:
            self._pipeline.take(request, is_alone=len(requests) == 1)

    def finalize(self) -> None:
        """Answer what is still inside."""
        self._pipeline.close()
        self._metrics.close()


def _repository(cascade: Cascade) -> Path:
    """Return the model repository: where this entry stands, or where it is linked from if the stages are there."""
    here, there = (path.parents[3] for path in (Path(__file__), Path(__file__).resolve()))
    return here if (here / cascade.stages[0].model).is_dir() else there
