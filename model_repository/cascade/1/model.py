"""The cascade as Triton runs it: a BLS model that calls one stage after another with the images that are still in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate as running_sum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from cascade_spec import Stage, read_cascade
from gating import Rows, Walk
from job import INPUT, BadRequest, Job, outputs

CASCADE_FILE = Path(__file__).parents[1] / "cascade.json"
PREDICTION = "probabilities"

Images = npt.NDArray[np.uint8]


class StageError(RuntimeError):
    """Say which stage gave no usable answer, and why."""


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

    def initialize(self, _arguments: dict[str, str]) -> None:
        """Read the cascade."""
        self._cascade = read_cascade(CASCADE_FILE)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests; a request that cannot be answered fails alone."""
        admitted = [self._admit(request) for request in requests]
        answers = iter(self._answer([job for job in admitted if isinstance(job, Job)]))
        return [next(answers) if isinstance(job, Job) else job for job in admitted]

    def _admit(self, request: Any) -> Any:  # noqa: ANN401
        try:
            return Job(request, self._cascade)
        except BadRequest as error:
            # Raising here would fail the whole batch.
            return _error(str(error), pb_utils.TritonError.INVALID_ARG)

    def _answer(self, jobs: list[Job]) -> Iterator[Any]:
        if not jobs:
            return
        ends = list(running_sum(len(job.images) for job in jobs))
        images = np.concatenate([job.images for job in jobs])
        walk = Walk(self._cascade.rule, np.repeat([job.thresholds for job in jobs], np.diff([0, *ends]), axis=0))
        failures = self._run_stages(walk, images)
        outcome = walk.outcome()
        for job, start, end in zip(jobs, [0, *ends], ends, strict=False):
            failed = [failures[row] for row in range(start, end) if row in failures]
            yield _error(failed[0]) if failed else job.answer(outcome, slice(start, end))

    def _run_stages(self, walk: Walk, images: Images) -> dict[int, str]:
        """Take the images through the stages; return why, for each image that a stage failed."""
        failures: dict[int, str] = {}
        for stage in self._cascade.stages:
            if not len(walk.open_rows):
                break
            predictions, failed = self._predict(stage, images, walk.open_rows)
            failures |= failed
            walk.drop(np.array(list(failed), dtype=np.intp))
            walk.advance(predictions)
        return failures

    def _predict(self, stage: Stage, images: Images, rows: Rows) -> tuple[npt.NDArray[np.float32], dict[int, str]]:
        """Ask a stage about some images, no more in a call than it takes."""
        answered: list[npt.NDArray[np.float32]] = [np.empty((0, len(self._cascade.labels)), np.float32)]
        failed: dict[int, str] = {}
        calls = [rows[start : start + stage.max_batch_size] for start in range(0, len(rows), stage.max_batch_size)]
        while calls:
            call = calls.pop(0)
            try:
                answered.append(self._call(stage, images[call]))
            except StageError as error:
                if len(call) > 1:  # whatever upsets the stage in one image must not fail the others
                    calls = [call[place : place + 1] for place in range(len(call))] + calls
                else:
                    failed[int(call[0])] = str(error)
        return np.concatenate(answered), failed

    def _call(self, stage: Stage, images: Images) -> npt.NDArray[np.float32]:
        """Call a stage once: UINT8 [n, S, S, 3] to FP32 [n, C].

        Raises:
            StageError: the stage is not served, fails, or answers in another shape.
        """
        response = _stage_request(stage, images).exec()
        if response.has_error():
            raise StageError(f"stage {stage.model!r} failed: {response.error().message()}")
        predictions: npt.NDArray[np.float32] = pb_utils.get_output_tensor_by_name(response, PREDICTION).as_numpy()
        if predictions.shape != (len(images), len(self._cascade.labels)):
            raise StageError(
                f"stage {stage.model!r} answered {list(predictions.shape)} for {len(images)} images of "
                f"{len(self._cascade.labels)} classes; serve the backbone that cascade.json was made with"
            )
        if not np.isfinite(predictions).all():
            raise StageError(f"stage {stage.model!r} answered NaN or infinity instead of probabilities")
        return predictions


def _stage_request(stage: Stage, images: Images) -> Any:  # noqa: ANN401
    return pb_utils.InferenceRequest(
        model_name=stage.model,
        model_version=stage.version,
        requested_output_names=[PREDICTION],
        inputs=[pb_utils.Tensor(INPUT, images)],
        # The gate is numpy: an answer left on the GPU would cost each instance a CUDA context.
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )


def _error(message: str, code: Any = None) -> Any:  # noqa: ANN401
    kind = pb_utils.TritonError.INTERNAL if code is None else code
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, kind))
