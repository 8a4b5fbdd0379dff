"""What the cascade answers for one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferResult

OUTPUTS = ("class_id", "label", "confidence", "exit_stage", "degraded")
DETAILS = ("probabilities", "stage_confidence")


@dataclass(frozen=True)
class Classification:
    """Say what an image shows, and which stage said so.

    Attributes:
        class_id: Place of the class in the label set, from 0.
        label: Its name.
        confidence: Of the mean prediction at the stage where the image left.
        exit_stage: Which stage answered; 1 is the first and cheapest.
        degraded: Whether a stage failed that the answer needed; the cascade answers so only where it is set up to.
        probabilities: FP32 [C], the mean prediction; None unless details were asked for.
        stage_confidence: Confidence at each stage that ran; None unless details were asked for.
    """

    class_id: int
    label: str
    confidence: float
    exit_stage: int
    degraded: bool
    probabilities: npt.NDArray[np.float32] | None = None
    stage_confidence: tuple[float, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; probabilities are left out."""
        fields = {name: getattr(self, name) for name in (*OUTPUTS, "stage_confidence")}
        return {name: value for name, value in fields.items() if value is not None}


def read_results(response: InferResult, details: bool) -> Iterator[Classification]:
    """Read the answers of one response, an image each."""
    columns = [response.as_numpy(name)[:, 0] for name in OUTPUTS]
    for row, (class_id, label, confidence, exit_stage, degraded) in enumerate(zip(*columns, strict=True)):
        extra = _details(response, row) if details else {}
        answer = int(class_id), label.decode(), float(confidence), int(exit_stage), bool(degraded)
        yield Classification(*answer, **extra)


def _details(response: InferResult, row: int) -> dict[str, Any]:
    stage_confidence = response.as_numpy("stage_confidence")[row]
    return {
        "probabilities": response.as_numpy("probabilities")[row],
        "stage_confidence": tuple(float(value) for value in stage_confidence if not np.isnan(value)),
    }
