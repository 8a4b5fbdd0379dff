"""cascade.json: a selected cascade, its operating points, and the evidence for them."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from build_cascade.committee import Candidate, Committee, with_answers_of
from build_cascade.evaluation import evaluate
from build_cascade.evaluator import Evaluator
from build_cascade.frontier_search import committee_frontier
from build_cascade.selection import Selection
from build_cascade.settings import keep_settings
from build_engines.pool.schema import Pool
from build_engines.support.atomic_files import write_text_whole
from cascade_core.spec import Cascade, OperatingPoint, Stage, as_written

CONSISTENT_WITH = "consistent_with"  # of the evidence
FAST_LOSS = 0.01  # what the operating point `fast` may lose against the chosen accuracy


def as_cascade(pool: Pool, selection: Selection, evaluator: Evaluator) -> Cascade:
    """Return a selected cascade as cascade.json holds it."""
    committee, thresholds = selection.candidate.committee, selection.candidate.thresholds
    rule = committee.rule
    return Cascade(
        name=pool.name,
        canvas=pool.canvas,
        labels=pool.labels,
        stages=tuple(
            Stage(
                model=name,
                weight=weight,
                threshold=threshold,
                cost=evaluator.costs[name],
                max_batch_size=pool.backbone(name).max_batch_size,
            )
            for name, weight, threshold in zip(
                committee.stages, rule.weights, [*map(as_written, thresholds), None], strict=True
            )
        ),
        cost_unit=evaluator.costs.unit,
        combine=rule.combine,
        confidence=rule.confidence,
        operating_points=_operating_points(selection.candidate, evaluator),
        evidence=_evidence(pool, selection, evaluator),
    )


def write_cascade(path: Path, cascade: Cascade) -> tuple[Cascade, str]:
    """Write a cascade.json with the serving settings of the file that it replaces; return it, and a note on them."""
    kept, note = keep_settings(cascade, path)
    write_text_whole(path, kept.to_json())
    return kept, note


def _operating_points(chosen: Candidate, evaluator: Evaluator) -> dict[str, OperatingPoint]:
    """Move the chosen stages by thresholds alone: none is both slower and less accurate than another."""
    fast, accurate = _around(chosen, evaluator)
    points = {"fast": fast, "balanced": chosen.thresholds, "accurate": accurate}
    return {
        name: OperatingPoint(tuple(map(as_written, thresholds)), _on_splits(evaluator, chosen.committee, thresholds))
        for name, thresholds in points.items()
    }


def _around(chosen: Candidate, evaluator: Evaluator) -> tuple[Sequence[float], Sequence[float]]:
    """Return thresholds below and above the chosen ones, by cost and accuracy alike; the chosen where none are.

    The frontier need not pass through the candidate, which may be off its grid or counted on other images: it is
    counted again.
    """
    own = committee_frontier(evaluator.calibration, evaluator.costs, chosen.committee)
    seen = evaluator.on_calibration(chosen.committee, chosen.thresholds)
    least = seen.correct - FAST_LOSS * seen.images
    below = [c for c in own if c.mean_cost <= seen.mean_cost and least <= c.correct <= seen.correct]
    above = [c for c in own if c.mean_cost >= seen.mean_cost and c.correct >= seen.correct]
    return (below[0] if below else chosen).thresholds, (above[-1] if above else chosen).thresholds


def _evidence(pool: Pool, selection: Selection, evaluator: Evaluator) -> dict[str, Any]:
    chosen, reference = selection.candidate, selection.reference
    predicted_by = evaluator.predicted_by
    return {
        "goal": {name: value for name, value in vars(selection.goal).items() if value is not None},
        **_on_splits(evaluator, chosen.committee, chosen.thresholds),
        **_consistency(evaluator, chosen),
        "predicted_by": {name: predicted_by[name] for name in chosen.committee.stages if name in predicted_by},
        "costs": {"unit": evaluator.costs.unit, "source": evaluator.costs.source},
        "reference": {"backbone": reference, **_on_splits(evaluator, Committee.of([reference]), [])},
        "backbones": {name: _on_splits(evaluator, Committee.of([name]), []) for name in evaluator.costs},
        "pool": pool.name,
        "pool_sha256": pool.sha256,
        "made_by": f"triton-cascades {importlib.metadata.version('triton-cascades')}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "guarantee": selection.guarantee,
    }


def _consistency(evaluator: Evaluator, chosen: Candidate) -> dict[str, Any]:
    """Return the backbone whose answers stood for labels, and the agreement with it on test; empty where none did."""
    reference = evaluator.calibration.reference
    if reference is None:
        return {}
    test = with_answers_of(evaluator.test, reference)
    seen = evaluate(test, evaluator.costs, chosen.committee, chosen.thresholds)
    return {CONSISTENT_WITH: reference, "agreement_on_test": seen.accuracy}


def _on_splits(evaluator: Evaluator, committee: Committee, thresholds: Sequence[float]) -> dict[str, Any]:
    return {
        "calibration": evaluator.on_calibration(committee, thresholds).as_dict(),
        "test": evaluator.on_test(committee, thresholds).as_dict(),
    }
