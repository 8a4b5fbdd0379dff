"""frontier.json: the candidates that the last search found, kept for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, TypeAdapter

from build_cascade.committee import Candidate, Committee
from build_cascade.errors import ChoiceError
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


RECORDS = TypeAdapter(list[CandidateRecord])


def write_frontier(path: Path, frontier: Sequence[Candidate]) -> None:
    """Write a frontier."""
    records = [CandidateRecord.of(candidate).model_dump() for candidate in frontier]
    write_text_whole(path, json.dumps(records, indent=1))


def read_frontier(path: Path) -> list[Candidate]:
    """Read a frontier.

    Raises:
        ChoiceError: the file is missing or damaged.
    """
    try:
        return [record.candidate() for record in RECORDS.validate_python(json.loads(path.read_text()))]
    except (OSError, ValueError) as error:
        raise ChoiceError(f"cannot read {path} ({error}); run build-cascade search") from error
