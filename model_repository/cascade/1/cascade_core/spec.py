"""The format of cascade.json, the one file that defines a cascade, and the one place that validates it.

Numpy and the standard library only, for Triton's stock container.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from cascade_core.contract import CASCADE_FILE, ENTRIES, OPERATING_POINT
from cascade_core.gating import COMBINES, CONFIDENCES, UNREACHABLE, GatingRule

MAX_STAGES = 4
NEVER = "never"  # how the file writes the threshold gating.UNREACHABLE, for JSON has no infinity
DEFAULT_MAX_BATCH_SIZE = 32
MODES = ("cascade", "ensemble")
WHEN_FULL = ("refuse", "wait")
REACHES = AUTO, BLS, IN_PROCESS = "auto", "bls", "in_process"


class SpecError(ValueError):
    """An invalid cascade.json; the message says what is wrong and how to fix it."""


@dataclass(frozen=True)
class Stage:
    """A backbone in its place in the cascade.

    Attributes:
        model: Its Triton model name.
        version: Its Triton model version; -1 is the latest.
        weight: How much its prediction counts in the mean.
        threshold: The confidence from which an image exits here; "never" if none does; None for the last stage.
        cost: The cost of one image, in the cascade's unit.
        max_batch_size: The most images in one call of it.
    """

    model: str
    weight: float = 1.0
    threshold: float | str | None = None
    cost: float = 0.0
    version: int = -1
    max_batch_size: int = DEFAULT_MAX_BATCH_SIZE

    def __post_init__(self) -> None:
        _check(isinstance(self.model, str) and self.model != "", "a stage must name its Triton model")
        where = f"stage {self.model!r}"
        _check(_is_number(self.weight) and self.weight > 0, f"{where}: weight must be a positive number")
        if self.threshold is not None:
            _check_threshold(self.threshold, where)
        _check(_is_number(self.cost) and self.cost >= 0, f"{where}: cost must not be negative")
        _check(_is_integer(self.version), f"{where}: version must be an integer, -1 for the latest")
        _check(_is_positive_integer(self.max_batch_size), f"{where}: max_batch_size must be a positive integer")


@dataclass(frozen=True)
class OperatingPoint:
    """One choice of thresholds, with what it is expected to reach.

    Attributes:
        thresholds: One for each stage but the last.
        expected: Its evidence, such as accuracy and mean cost; not read by the server.
    """

    thresholds: tuple[float | str, ...]
    expected: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Serving:
    """How the server runs the cascade; no setting changes an answer.

    Attributes:
        workers_per_stage: The most concurrent calls of one stage; by default one through BLS, and in process as many
            as keep the cores busy.
        max_images_in_flight: The most images inside the cascade at once.
        when_full: Whether a request that exceeds that limit is refused at once (`refuse`) or waits in Triton's queue,
            under its queue policy (`wait`).
        degraded: Whether an image whose stage failed is answered from the other stages and marked, instead of failed.
        reach: How the cascade calls its stages: through BLS (`bls`), from their ONNX files in its own process
            (`in_process`), or in process if all of them are of the embedded runtime and through BLS otherwise (`auto`).
    """

    workers_per_stage: int | None = None
    max_images_in_flight: int = 256
    when_full: str = "refuse"
    degraded: bool = False
    reach: str = AUTO

    def __post_init__(self) -> None:
        for name in ("workers_per_stage", "max_images_in_flight"):
            value = getattr(self, name)
            is_default = value is None and name == "workers_per_stage"
            _check(is_default or _is_positive_integer(value), f"serving: {name} must be a positive integer")
        _check(self.when_full in WHEN_FULL, f"serving: when_full must be one of {', '.join(WHEN_FULL)}")
        _check(isinstance(self.degraded, bool), "serving: degraded must be true or false")
        _check(self.reach in REACHES, f"serving: reach must be one of {', '.join(REACHES)}")


@dataclass(frozen=True)
class Cascade:
    """The content of a cascade.json.

    Attributes:
        name: The cascade's name.
        canvas: Side S of the canvas, in pixels.
        labels: C names, in the order of the probabilities.
        stages: One to four, in the order in which they run.
        combine: How predictions are combined, one of `gating.COMBINES`; `last` ignores the weights.
        confidence: The measure of confidence, a key of `gating.CONFIDENCES`.
        cost_unit: The unit of the stages' costs, such as GMACs or ms; not read by the server.
        operating_points: Other choices of thresholds, by name.
        max_batch_size: The most images in one request.
        evidence: What the choice was based on; not read by the server.
        mode: `cascade`; or `ensemble`, in which every image runs through all stages, in parallel.
        serving: How the server runs it.
    """

    name: str
    canvas: int
    labels: tuple[str, ...]
    stages: tuple[Stage, ...]
    combine: str = "mean"
    confidence: str = "max_probability"
    cost_unit: str = "GMACs"
    operating_points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
    evidence: Mapping[str, Any] = field(default_factory=dict)
    mode: str = MODES[0]
    serving: Serving = field(default_factory=Serving)

    def __post_init__(self) -> None:
        _check(_is_positive_integer(self.max_batch_size), "max_batch_size must be a positive integer")
        _check(_is_positive_integer(self.canvas), "canvas must be a positive number of pixels")
        _check(len(self.labels) > 0, "labels must name at least one class")
        _check(
            1 <= len(self.stages) <= MAX_STAGES,
            f"a cascade has 1 to {MAX_STAGES} stages, not {len(self.stages)}",
        )
        combines = ", ".join(COMBINES)
        _check(str(self.combine) in COMBINES, f"combine must be one of {combines}, not {self.combine!r}")
        known = ", ".join(CONFIDENCES)
        _check(str(self.confidence) in CONFIDENCES, f"confidence must be one of {known}, not {self.confidence!r}")
        _check(self.mode in MODES, f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        in_flight = self.serving.max_images_in_flight
        _check(
            in_flight >= self.max_batch_size,
            f"serving: max_images_in_flight of {in_flight} has no room for a request of {self.max_batch_size} images",
        )
        self._check_thresholds()

    def _check_thresholds(self) -> None:
        for stage in self.stages[:-1]:
            _check(
                stage.threshold is not None,
                f"stage {stage.model!r}: threshold is missing; only the last has none",
            )
        last = self.stages[-1]
        _check(
            last.threshold is None,
            f"last stage {last.model!r}: threshold must be null; every image exits there",
        )
        for name, point in self.operating_points.items():
            where, needed = f"operating point {name!r}", len(self.stages) - 1
            _check(
                len(point.thresholds) == needed,
                f"{where}: needs {needed} thresholds, has {len(point.thresholds)}",
            )
            for threshold in point.thresholds:
                _check_threshold(threshold, where)

    @property
    def rule(self) -> GatingRule:
        """Return the gating rule of this cascade."""
        return GatingRule(tuple(stage.weight for stage in self.stages), self.confidence, self.combine)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the default thresholds, one for each stage but the last."""
        return tuple(as_number(stage.threshold) for stage in self.stages if stage.threshold is not None)

    def thresholds_at(self, operating_point: str | None) -> tuple[float, ...]:
        """Return the thresholds of an operating point; None is the default.

        Raises:
            SpecError: the cascade has no such operating point.
        """
        if operating_point is None:
            return self.thresholds
        if operating_point not in self.operating_points:
            known = ", ".join(self.operating_points) or "none"
            raise SpecError(f"{OPERATING_POINT} {str(operating_point)[:100]!r} is unknown; this cascade has: {known}")
        return tuple(as_number(threshold) for threshold in self.operating_points[operating_point].thresholds)

    def gate_thresholds(self, operating_point: str | None) -> tuple[float, ...]:
        """Return the thresholds that the gate applies: those of the operating point; in an ensemble, unreachable ones.

        Raises:
            SpecError: the cascade has no such operating point.
        """
        thresholds = self.thresholds_at(operating_point)
        return (UNREACHABLE,) * len(thresholds) if self.mode == "ensemble" else thresholds

    def to_json(self) -> str:
        """Return the text of cascade.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def is_backbone_entry(entry: Path) -> bool:
    """Return whether an entry of a model repository is a backbone: neither one of `ENTRIES` nor a cascade."""
    return entry.name not in ENTRIES and not (entry / CASCADE_FILE).is_file()


def describe(cascade: Cascade, *, in_process: bool) -> str:
    """Return what the server tells of a cascade, as JSON: cascade.json without evidence, and how it is run.

    Args:
        cascade: What is served.
        in_process: Whether its stages run in its own process; if not, through BLS.
    """
    content = dataclasses.asdict(cascade)
    told = ("name", "mode", "combine", "confidence", "cost_unit", "labels", "stages")
    points = {name: {"thresholds": point.thresholds} for name, point in cascade.operating_points.items()}
    reach = IN_PROCESS if in_process else BLS
    return json.dumps({name: content[name] for name in told} | {"operating_points": points, "reach": reach})


def as_number(threshold: float | str) -> float:
    """Return a threshold as the gate compares it: "never" is unreachable."""
    return UNREACHABLE if threshold == NEVER else float(threshold)


def as_written(threshold: float) -> float | str:
    """Return a threshold as cascade.json holds it."""
    return NEVER if threshold == UNREACHABLE else max(threshold, 0.0)


def read_cascade(path: Path) -> Cascade:
    """Read and validate a cascade.json.

    Raises:
        SpecError: the file is missing, is not JSON, or breaks a rule of the format.
    """
    try:
        return parse_cascade(path.read_text(encoding="utf-8"))
    except (OSError, SpecError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: {error}") from error


def parse_cascade(text: str) -> Cascade:
    """Validate the text of a cascade.json.

    Raises:
        SpecError: it is not JSON, or breaks a rule of the format.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"not valid JSON: {error}") from error
    fields = _fields(Cascade, content, "cascade")
    points = _mapping(fields.get("operating_points", {}), "operating_points")
    fields["labels"] = tuple(str(label) for label in _sequence(fields["labels"], "labels"))
    fields["stages"] = tuple(
        Stage(**_fields(Stage, stage, f"stage {place}"))
        for place, stage in enumerate(_sequence(fields["stages"], "stages"), start=1)
    )
    fields["operating_points"] = {name: _operating_point(name, point) for name, point in points.items()}
    fields["evidence"] = _mapping(fields.get("evidence", {}), "evidence")
    fields["serving"] = Serving(**_fields(Serving, fields.get("serving", {}), "serving"))
    return Cascade(**fields)


def _operating_point(name: str, content: object) -> OperatingPoint:
    where = f"operating point {name!r}"
    fields = _fields(OperatingPoint, content, where)
    fields["thresholds"] = tuple(_sequence(fields["thresholds"], f"{where}: thresholds"))
    return OperatingPoint(**fields)


def _fields(cls: type, content: object, where: str) -> dict[str, Any]:
    fields = dict(_mapping(content, where))
    known = {field_.name: field_ for field_ in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - set(known))
    _check(not unknown, f"{where}: unknown field {', '.join(unknown)}; known are {', '.join(known)}")
    no_default = {name for name, f in known.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(no_default - set(fields))
    _check(not missing, f"{where}: missing {', '.join(missing)}")
    return fields


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    _check(isinstance(value, dict), f"{where} must be a JSON object")
    return value  # type: ignore[return-value]


def _sequence(value: object, where: str) -> Sequence[Any]:
    _check(isinstance(value, list), f"{where} must be a JSON array")
    return value  # type: ignore[return-value]


def _check_threshold(value: object, where: str) -> None:
    within = value == NEVER or (_is_number(value) and 0 <= value <= 1)
    _check(within, f"{where}: threshold {value!r} must be between 0 and 1, or {NEVER!r}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive_integer(value: object) -> TypeGuard[int]:
    return _is_integer(value) and value >= 1


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise SpecError(message)
