"""The content of a report: everything is replayed on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from build_cascade.committee import Candidate, Committee, as_problem
from build_cascade.errors import ChoiceError
from build_cascade.evaluation import Evaluation
from build_cascade.evaluator import Evaluator
from build_cascade.exhaustive.frontier import score_cascade
from build_cascade.frontier_file import CountedOn, Frontier
from build_cascade.measured_choice import measured_choice_note
from build_cascade.report.coverage import Curve, curves
from build_cascade.report.ensembles import best_ensembles
from build_cascade.report.log_spacing import log_spaced
from build_cascade.selection import NO_GUARANTEE
from build_engines.costs.costs import Costs
from cascade_core.contract import CASCADE
from cascade_core.spec import MAX_STAGES, Cascade

SINGLE = "single"
POINT = "operating point"
ENSEMBLE = "ensemble of all"
DRAWN_FRONTIER = 80
OTHER_COUNTS = (
    "the cascades of the last search are not shown: it judged by other labels or answers, or on other predictions; "
    "run build-cascade search again"
)
STARS = 5


@dataclass(frozen=True)
class Row:
    """One line of the report: the results of a backbone, an ensemble or a cascade on the test images."""

    name: str
    kind: str
    evaluation: Evaluation
    stages: tuple[str, ...]


@dataclass(frozen=True)
class CommitteeResult:
    """The results of a committee on the test images, as an ensemble or as a cascade."""

    stages: tuple[str, ...]
    evaluation: Evaluation

    @property
    def name(self) -> str:
        """The stages in a line."""
        return " → ".join(self.stages)


@dataclass(frozen=True)
class Report:
    """What is shown of a pool and its cascade.

    Attributes:
        rows: Single backbones, their ensemble, the cascade and its operating points.
        frontier: Of the search, thinned out, on the test images; empty if it was counted on others than these.
        frontier_note: Why it is empty; else empty.
        stars: A few cascades of it.
        ensembles: Those that no other beats on calibration, on the test images.
        curves: Risk against coverage, one for each stage of the cascade.
        reference: The backbone that the cascade is compared with.
        factor: Converts a cost into `unit`.
        unit: Of the costs shown.
        other_costs: In the other unit, if known; shown as well.
        measured_note: Whether measured costs would choose otherwise; may be empty.
    """

    rows: tuple[Row, ...]
    frontier: tuple[CommitteeResult, ...]
    frontier_note: str
    stars: tuple[CommitteeResult, ...]
    ensembles: tuple[CommitteeResult, ...]
    curves: tuple[Curve, ...]
    reference: Row
    factor: float
    unit: str
    other_costs: Costs | None
    measured_note: str

    @classmethod
    def of(cls, evaluator: Evaluator, cascade: Cascade, searched: Frontier) -> Self:
        """Replay everything on the test images.

        Raises:
            ChoiceError: the cascade is of another pool.
        """
        committee = committee_of(cascade)
        frontier, images = _fitting(evaluator, searched), len(evaluator.calibration.class_ids)
        _check_known(committee.stages, evaluator)
        rows = (*_single_rows(evaluator), *_cascade_rows(evaluator, cascade, committee))
        line = [
            CommitteeResult(c.committee.stages, on_test(evaluator, c.committee, c.thresholds))
            for c in log_spaced(frontier, DRAWN_FRONTIER, lambda candidate: candidate.mean_cost)
        ]
        chosen = next(row.evaluation for row in rows if row.kind == CASCADE)
        several = [m for m in line if len(m.stages) > 1 and m.evaluation != chosen]
        return cls(
            rows=rows,
            frontier=tuple(line),
            frontier_note="" if frontier else OTHER_COUNTS,
            stars=tuple(log_spaced(several, STARS, lambda result: result.evaluation.mean_cost, chosen.mean_cost)),
            ensembles=tuple(
                CommitteeResult(found.stages, on_test(evaluator, found, found.ensemble_thresholds))
                for found in best_ensembles(evaluator.calibration, evaluator.costs)
            ),
            curves=tuple(curves(evaluator.test, committee, cascade.thresholds)),
            reference=_reference(evaluator, cascade, rows),
            factor=evaluator.costs.shown()[0],
            unit=evaluator.costs.shown()[1],
            other_costs=evaluator.other_costs,
            measured_note=_measured_note(evaluator, cascade, frontier if searched.counted_on.images == images else ()),
        )

    @property
    def chosen(self) -> Row:
        """The row of the cascade."""
        return next(row for row in self.rows if row.kind == CASCADE)

    @property
    def measure(self) -> str:
        """What the share of correct answers is: accuracy, or agreement with a reference."""
        return self.chosen.evaluation.measure

    @property
    def errors(self) -> str:
        """What the other answers are called."""
        answering = self.chosen.evaluation.reference
        return "wrong answers" if answering is None else f"answers other than {answering}'s"

    @property
    def points(self) -> tuple[Row, ...]:
        """The rows of the cascade's operating points."""
        return tuple(row for row in self.rows if row.kind == POINT)

    @property
    def singles(self) -> tuple[Row, ...]:
        """The rows of the single backbones, cheapest first."""
        return tuple(row for row in self.rows if row.kind == SINGLE)


def committee_of(cascade: Cascade) -> Committee:
    """Return the committee of a cascade.json."""
    stages = tuple(stage.model for stage in cascade.stages)
    return Committee(stages, cascade.rule)


def on_test(evaluator: Evaluator, committee: Committee, thresholds: Sequence[float] = ()) -> Evaluation:
    """Replay on the test images as `evaluate` does, by the search's kernels, which take top-k predictions directly."""
    if len(committee.stages) > MAX_STAGES:  # not a cascade, but the ensemble of a large pool
        return evaluator.on_test(committee, thresholds)
    problem = as_problem(evaluator.test.only(committee.stages), evaluator.costs)
    seen = score_cascade(problem, tuple(range(len(committee.stages))), committee.rule, thresholds)
    left = [here - there for here, there in zip(seen.reach, (*seen.reach[1:], 0), strict=True)]
    exit_rates = tuple(count / problem.images for count in left)
    reference = evaluator.test.reference
    return Evaluation(problem.images, seen.right, exit_rates, seen.mean_cost, seen.worst_cost, reference)


def _single_rows(evaluator: Evaluator) -> list[Row]:
    by_cost = sorted(evaluator.test.names, key=lambda name: evaluator.costs[name])
    singles = [Row(name, SINGLE, on_test(evaluator, Committee.of([name])), (name,)) for name in by_cost]
    everyone = Committee.of(by_cost)
    seen = on_test(evaluator, everyone, everyone.ensemble_thresholds)
    return [*singles, Row(ENSEMBLE, "ensemble", seen, everyone.stages)]


def _cascade_rows(evaluator: Evaluator, cascade: Cascade, committee: Committee) -> list[Row]:
    chosen = Row(CASCADE, CASCADE, on_test(evaluator, committee, cascade.thresholds), committee.stages)
    points = [
        Row(f"  {name}", POINT, on_test(evaluator, committee, cascade.thresholds_at(name)), committee.stages)
        for name in cascade.operating_points
    ]
    return [chosen, *points]


def _reference(evaluator: Evaluator, cascade: Cascade, rows: Sequence[Row]) -> Row:
    noted = cascade.evidence.get("reference")
    name = noted.get("backbone") if isinstance(noted, dict) else None
    singles = {row.name: row for row in rows if row.kind == SINGLE}
    return singles[name] if name in singles else singles[evaluator.best_single()]


def _fitting(evaluator: Evaluator, searched: Frontier) -> tuple[Candidate, ...]:
    """Return the candidates, none if they were counted on neither the calibration images nor the choosing half."""
    calibration = evaluator.calibration
    if searched.counted_on.images < len(calibration.class_ids):
        calibration = calibration.halves()[0]
    return searched.candidates if searched.counted_on == CountedOn.of(calibration) else ()


def _measured_note(evaluator: Evaluator, cascade: Cascade, frontier: Sequence[Candidate]) -> str:
    """Return whether measured costs would choose otherwise, of a frontier on all calibration images."""
    committee, thresholds = committee_of(cascade), cascade.thresholds
    if cascade.evidence.get("guarantee") != NO_GUARANTEE:  # it was not the cheapest that was chosen
        return ""
    seen = evaluator.on_calibration(committee, thresholds)
    goal = cascade.evidence.get("goal")
    floor = goal.get("accuracy_at_least") if isinstance(goal, dict) else None
    chosen = Candidate(committee, thresholds, seen.correct, seen.mean_cost)
    return measured_choice_note(evaluator, chosen, frontier, floor)


def _check_known(stages: Sequence[str], evaluator: Evaluator) -> None:
    foreign = [name for name in stages if name not in evaluator.test.names]
    if foreign:
        raise ChoiceError(
            f"cascade.json has the stage {foreign[0]!r}, which is not in this pool; give the pool that it was "
            "chosen from, or search again"
        )
