"""The answer for one image, and how it is read from a response."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferResult

from cascade_client.contract import (
    CLASS_ID,
    CONFIDENCE,
    DEGRADED,
    EXIT_STAGE,
    LABEL,
    PROBABILITIES,
    STAGE_CONFIDENCE,
)

ANSWER = (CLASS_ID, LABEL, CONFIDENCE, EXIT_STAGE, DEGRADED)
DETAILS = (PROBABILITIES, STAGE_CONFIDENCE)


@dataclass(frozen=True)
class Classification:
    """The class of one image, and the stage that answered.

    Attributes:
        class_id: Index of the class in the label set, from 0.
        label: Name of the class.
        confidence: Confidence of the mean prediction at the stage where the image exited.
        exit_stage: The stage that answered; 1 is the first and cheapest.
        degraded: Whether the answer lacks a stage that failed; only a cascade configured for it gives such answers.
        probabilities: FP32 [C], the mean prediction; None unless details were requested.
        stage_confidence: Confidence at each stage that ran; None unless details were requested.
    """

    class_id: int
    label: str
    confidence: float
    exit_stage: int
    degraded: bool
    probabilities: npt.NDArray[np.float32] | None = None
    stage_confidence: tuple[float, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them, without the probabilities."""
        fields = {output.name: getattr(self, output.name) for output in (*ANSWER, STAGE_CONFIDENCE)}
        return {name: value for name, value in fields.items() if value is not None}


def read_results(response: InferResult, details: bool) -> Iterator[Classification]:
    """Yield the answer for each image of one response."""
    columns = [response.as_numpy(output.name)[:, 0] for output in ANSWER]
    for row, (class_id, label, confidence, exit_stage, degraded) in enumerate(zip(*columns, strict=True)):
        extra = _details(response, row) if details else {}
        answer = int(class_id), label.decode(), float(confidence), int(exit_stage), bool(degraded)
        yield Classification(*answer, **extra)


def _details(response: InferResult, row: int) -> dict[str, Any]:
    stage_confidence = response.as_numpy(STAGE_CONFIDENCE.name)[row]
    return {
        PROBABILITIES.name: response.as_numpy(PROBABILITIES.name)[row],
        STAGE_CONFIDENCE.name: tuple(float(value) for value in stage_confidence if not np.isnan(value)),
    }
