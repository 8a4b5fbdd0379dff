"""frontier.json: the candidates that the last search found, and what they were counted on, kept for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel

from build_cascade.committee import Candidate, Committee
from build_cascade.errors import ChoiceError
from build_cascade.predictions import Predictions
from build_engines.support.atomic_files import write_text_whole
from cascade_core.gating import GatingRule


class CommitteeRecord(BaseModel):
    """A committee as the file holds it."""

    stages: tuple[str, ...]
    weights: tuple[float, ...]
    confidence: str
    combine: str

    def committee(self) -> Committee:
        """Return the committee."""
        return Committee(self.stages, GatingRule(self.weights, self.confidence, self.combine))


class CandidateRecord(BaseModel):
    """A candidate as the file holds it."""

    committee: CommitteeRecord
    thresholds: tuple[float, ...]
    correct: int
    mean_cost: float

    @classmethod
    def of(cls, candidate: Candidate) -> Self:
        """Return the record of a candidate."""
        members = CommitteeRecord(stages=candidate.committee.stages, **vars(candidate.committee.rule))
        return cls(
            committee=members,
            thresholds=candidate.thresholds,
            correct=candidate.correct,
            mean_cost=candidate.mean_cost,
        )

    def candidate(self) -> Candidate:
        """Return the candidate."""
        return Candidate(self.committee.committee(), self.thresholds, self.correct, self.mean_cost)


class CountedOn(BaseModel):
    """What the right answers of a frontier were counted on.

    Attributes:
        reference: The backbone whose answers stood for labels; None for labels.
        images: How many there were.
        predictions_sha256: Of the predictions and of what they were judged by, see `Predictions.sha256`.
    """

    reference: str | None
    images: int
    predictions_sha256: str

    @classmethod
    def of(cls, predictions: Predictions) -> Self:
        """Return what is counted on some predictions."""
        return cls(
            reference=predictions.reference,
            images=len(predictions.class_ids),
            predictions_sha256=predictions.sha256,
        )


class FrontierRecord(BaseModel):
    """A frontier as the file holds it."""

    counted_on: CountedOn
    candidates: tuple[CandidateRecord, ...]


@dataclass(frozen=True)
class Frontier:
    """The candidates of a search that no other beats, by ascending cost and accuracy, and what they were counted on."""

    candidates: tuple[Candidate, ...]
    counted_on: CountedOn

    @classmethod
    def of(cls, candidates: Sequence[Candidate], predictions: Predictions) -> Self:
        """Return the frontier of a search on some predictions."""
        return cls(tuple(candidates), CountedOn.of(predictions))


def write_frontier(path: Path, frontier: Frontier) -> None:
    """Write a frontier."""
    candidates = tuple(CandidateRecord.of(candidate) for candidate in frontier.candidates)
    record = FrontierRecord(counted_on=frontier.counted_on, candidates=candidates)
    write_text_whole(path, json.dumps(record.model_dump(), indent=1))


def read_frontier(path: Path) -> Frontier:
    """Read a frontier.

    Raises:
        ChoiceError: the file is missing, damaged, or of a version that did not say what was counted.
    """
    try:
        record = FrontierRecord.model_validate(json.loads(path.read_text()))
        return Frontier(tuple(one.candidate() for one in record.candidates), record.counted_on)
    except (OSError, ValueError) as error:
        raise ChoiceError(f"cannot read {path} ({error}); run build-cascade search") from error
