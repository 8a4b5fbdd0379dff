"""What a server tells of its cascade: stages, thresholds and operating points."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

IN_PROCESS = "in_process"


@dataclass(frozen=True)
class StageDescription:
    """A stage of a served cascade.

    Attributes:
        model: Its Triton model name.
        threshold: The confidence at which an image leaves, or "never"; None for the last stage.
        weight: How much its prediction counts in the mean.
        cost: Of one image, in the cascade's unit; 0 if unknown.
    """

    model: str
    threshold: float | str | None
    weight: float
    cost: float


@dataclass(frozen=True)
class Description:
    """A served cascade, as its cascade.json says.

    Attributes:
        name: The cascade's name.
        mode: `cascade`, or `ensemble` if every image runs all stages.
        combine: How predictions are combined.
        confidence: The measure of confidence.
        cost_unit: Of the stages' costs.
        reach: How the cascade reaches its stages: `in_process` or `bls`.
        stages: In the order in which they run.
        operating_points: The thresholds of each, for all stages but the last.
        labels: Names of the classes, in the order of the class ids; empty if the server does not tell.
    """

    name: str
    mode: str
    combine: str
    confidence: str
    cost_unit: str
    reach: str
    stages: tuple[StageDescription, ...]
    operating_points: Mapping[str, tuple[float | str, ...]]
    labels: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read the JSON that the server sends; fields of later versions are ignored."""
        content: dict[str, Any] = json.loads(text)
        return cls(
            **{name: content[name] for name in ("name", "mode", "combine", "confidence", "cost_unit", "reach")},
            stages=tuple(
                StageDescription(stage["model"], stage["threshold"], stage["weight"], stage["cost"])
                for stage in content["stages"]
            ),
            operating_points={name: tuple(point["thresholds"]) for name, point in content["operating_points"].items()},
            labels=tuple(content.get("labels", ())),
        )
