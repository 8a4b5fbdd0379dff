"""Choose one cascade of the frontier for a stated goal, and write it down with its evidence."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from build_cascade.committee import Candidate, Committee
from build_cascade.errors import GoalError
from build_cascade.evaluation import Evaluation, evaluate
from build_cascade.frontier_search import committee_frontier
from build_cascade.predictions import Predictions
from build_engines.costs.costs import Costs
from build_engines.pool.schema import Pool
from cascade_core.spec import Cascade, OperatingPoint, Stage, as_written

NO_GUARANTEE = "none: chosen on calibration images, reported on test images"
FAST_LOSS = 0.01  # what the operating point `fast` may lose against the chosen accuracy


@dataclass(frozen=True)
class Goal:
    """Say what the cascade must reach on the images it is chosen on.

    Attributes:
        accuracy_at_least: A share of right answers; then the cheapest such cascade is chosen.
        cost_at_most: Mean cost of an image, in the unit of the costs; alone, the most accurate such cascade is chosen.
    """

    accuracy_at_least: float | None = None
    cost_at_most: float | None = None


@dataclass(frozen=True)
class Bench:
    """Hold what cascades are judged by: labelled predictions on two splits, and the cost of each backbone.

    Attributes:
        calibration: What cascades are chosen on.
        test: What they are reported on.
        costs: Of an image in each backbone.
        predicted_by: The runtime that answered, by backbone; empty where predictions were imported.
    """

    calibration: Predictions
    test: Predictions
    costs: Costs
    predicted_by: Mapping[str, str] = field(default_factory=dict)

    def on_calibration(self, committee: Committee, thresholds: Sequence[float] = ()) -> Evaluation:
        """Replay a cascade on the images that it was chosen on."""
        return evaluate(self.calibration, self.costs, committee, thresholds)

    def on_test(self, committee: Committee, thresholds: Sequence[float] = ()) -> Evaluation:
        """Replay a cascade on the images that it is reported on."""
        return evaluate(self.test, self.costs, committee, thresholds)

    def unlike_runtimes(self) -> set[tuple[str, str]]:
        """Return (measured, answered) where a backbone's cost was measured of another runtime than answered."""
        pairs = {(runtime, self.predicted_by.get(name, runtime)) for name, runtime in self.costs.measured_by.items()}
        return {(measured, answered) for measured, answered in pairs if measured != answered}

    def best_single(self) -> str:
        """Name the backbone that is most accurate on calibration; of equals the cheapest."""
        names = sorted(self.calibration.names, key=lambda name: self.costs[name])
        return max(names, key=lambda name: self.on_calibration(Committee.of([name])).correct)


def choose(frontier: Sequence[Candidate], images: int, goal: Goal) -> Candidate:
    """Return the candidate that a goal asks for.

    Args:
        frontier: By ascending cost and accuracy.
        images: How many images the candidates were counted on.
        goal: What to reach.

    Raises:
        GoalError: nothing reaches it; the message says what would be possible.
    """
    affordable = [c for c in frontier if goal.cost_at_most is None or c.mean_cost <= goal.cost_at_most]
    if not affordable:
        cheapest = frontier[0]
        raise GoalError(
            f"no cascade costs at most {goal.cost_at_most}; the cheapest costs {cheapest.mean_cost:.4g} "
            f"at an accuracy of {cheapest.correct / images:.2%}"
        )
    if goal.accuracy_at_least is None:
        return affordable[-1]
    accurate = [c for c in affordable if c.correct / images >= goal.accuracy_at_least]
    if not accurate:
        raise GoalError(_out_of_reach(goal, frontier, affordable[-1], images))
    return accurate[0]


def _out_of_reach(goal: Goal, frontier: Sequence[Candidate], best: Candidate, images: int) -> str:
    """Say which bound is in the way, and what would be possible."""
    floor = goal.accuracy_at_least or 0.0
    bound = "" if goal.cost_at_most is None else f" at a mean cost of {goal.cost_at_most}"
    reached = f"the best reaches {best.correct / images:.2%} at a mean cost of {best.mean_cost:.4g}"
    dearer = next((c for c in frontier if c.correct / images >= floor), None)
    if dearer is not None:
        return (
            f"no cascade reaches an accuracy of {floor:.2%}{bound}; {reached}; {floor:.2%} costs {dearer.mean_cost:.4g}"
        )
    return (
        f"no cascade reaches an accuracy of {floor:.2%}{bound}, nor would a higher mean cost help; {reached} (among "
        "the cascades allowed: --stages, --worst-cost-at-most, --must-include and --confidence bound them)"
    )


def write_down(pool: Pool, chosen: Candidate, bench: Bench, goal: Goal, guarantee: str, reference: str) -> Cascade:
    """Return the chosen cascade as cascade.json holds it, with the backbone that it is compared with."""
    committee, thresholds = chosen.committee, [*map(as_written, chosen.thresholds), None]
    return Cascade(
        name=pool.name,
        canvas=pool.canvas,
        labels=pool.labels,
        stages=tuple(
            Stage(
                model=name,
                weight=weight,
                threshold=threshold,
                cost=bench.costs[name],
                max_batch_size=pool.backbone(name).max_batch_size,
            )
            for name, weight, threshold in zip(committee.stages, committee.rule.weights, thresholds, strict=True)
        ),
        cost_unit=bench.costs.unit,
        combine=committee.rule.combine,
        confidence=committee.rule.confidence,
        operating_points=_operating_points(chosen, bench),
        evidence=_evidence(pool, chosen, bench, goal, reference) | {"guarantee": guarantee},
    )


def _operating_points(chosen: Candidate, bench: Bench) -> dict[str, OperatingPoint]:
    """Move the chosen stages by thresholds alone: none is both slower and less accurate than another."""
    fast, accurate = _around(chosen, bench)
    points = {"fast": fast, "balanced": chosen.thresholds, "accurate": accurate}
    return {
        name: OperatingPoint(tuple(map(as_written, thresholds)), _splits(bench, chosen.committee, thresholds))
        for name, thresholds in points.items()
    }


def _around(chosen: Candidate, bench: Bench) -> tuple[Sequence[float], Sequence[float]]:
    """Return thresholds below and above the chosen ones, by cost and accuracy alike; the chosen where none are.

    The frontier need not go through the choice, which may be off its grid or made on other images: it is counted anew.
    """
    own = committee_frontier(bench.calibration, bench.costs, chosen.committee)
    seen = bench.on_calibration(chosen.committee, chosen.thresholds)
    least = seen.correct - FAST_LOSS * seen.images
    below = [c for c in own if c.mean_cost <= seen.mean_cost and least <= c.correct <= seen.correct]
    above = [c for c in own if c.mean_cost >= seen.mean_cost and c.correct >= seen.correct]
    return (below[0] if below else chosen).thresholds, (above[-1] if above else chosen).thresholds


def _evidence(pool: Pool, chosen: Candidate, bench: Bench, goal: Goal, reference: str) -> dict[str, Any]:
    return {
        "goal": {name: value for name, value in vars(goal).items() if value is not None},
        **_splits(bench, chosen.committee, chosen.thresholds),
        "predicted_by": {
            name: bench.predicted_by[name] for name in chosen.committee.stages if name in bench.predicted_by
        },
        "costs": {"unit": bench.costs.unit, "source": bench.costs.source},
        "reference": {"backbone": reference, **_splits(bench, Committee.of([reference]), [])},
        "pool": pool.name,
        "pool_sha256": pool.sha256,
        "made_by": f"triton-cascades {importlib.metadata.version('triton-cascades')}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _splits(bench: Bench, committee: Committee, thresholds: Sequence[float]) -> dict[str, Any]:
    return {
        "calibration": bench.on_calibration(committee, thresholds).as_dict(),
        "test": bench.on_test(committee, thresholds).as_dict(),
    }
