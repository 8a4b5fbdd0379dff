"""What a chosen cascade is expected to do, beside the best single backbone, and what that does not show."""

from __future__ import annotations

from rich.table import Table

from build_cascade.committee import Committee
from build_cascade.evaluator import Evaluator
from build_cascade.predictions import SPLITS
from build_cascade.report.table import accuracy_in_words
from build_cascade.selection import NO_GUARANTEE, Selection
from build_engines.tables import keep_whole

ROUNDING = 1e-6  # of a sum of costs


def expected_table(evaluator: Evaluator, selection: Selection) -> Table:
    """Return what the cascade and single backbones reach and cost on average, on the calibration and the test images.

    The single backbones are the most accurate one on calibration, and the one that the cascade is compared with.
    """
    alone = Committee.of([selection.reference])
    factor, unit = evaluator.costs.shown()
    other = evaluator.other_costs
    measures = evaluator.on_calibration(alone), evaluator.on_test(alone)
    splits = [f"{one.measure} on {name} % (95%)" for name, one in zip(SPLITS, measures, strict=True)]
    columns = ["", *splits, f"mean {unit}", "mean cost on test"]
    table = Table(*columns, *([f"mean {other.shown()[1]} on test"] if other else []))
    chosen = selection.candidate
    rows = {"cascade": (chosen.committee, chosen.thresholds)}
    for name in dict.fromkeys((evaluator.best_single(), selection.reference)):
        rows[name] = (Committee.of([name]), ())
    for title, (committee, thresholds) in rows.items():
        seen, new = evaluator.on_calibration(committee, thresholds), evaluator.on_test(committee, thresholds)
        cells = [
            accuracy_in_words(seen),
            accuracy_in_words(new),
            *(f"{one.mean_cost * factor:.3g}" for one in (seen, new)),
        ]
        if other:
            cells.append(f"{new.mean_cost_by(other, committee.stages) * other.shown()[0]:.3g}")
        table.add_row(title, *cells)
    return keep_whole(table, *columns)


def expectation_notes(evaluator: Evaluator, selection: Selection) -> list[str]:
    """Return whether the mean cost keeps to its budget on the test images, and what the choice does not promise."""
    notes = []
    budget, chosen = selection.goal.cost_at_most, selection.candidate
    if budget is not None:
        new = evaluator.on_test(chosen.committee, chosen.thresholds).mean_cost
        verdict = "within" if new <= budget * (1 + ROUNDING) else f"{_percent(new / budget - 1)} above"
        notes.append(f"mean cost on test {new:.4g} {evaluator.costs.unit}, {verdict} the budget of {budget:.4g}")
    if selection.guarantee == NO_GUARANTEE:
        notes.append(
            "nothing is guaranteed: the best of many cascades on calibration is usually a little worse on new images; "
            f"build-cascade search --accuracy-at-least {selection.reference} --tolerance 0.01 --risk 0.05 certifies "
            f"one against {selection.reference} on images of its own"
        )
    return notes


def _percent(share: float) -> str:
    """Return a share above 0 that is never shown as 0 %."""
    percent = 100 * share
    return f"{percent:.0f}%" if percent >= 1 else f"{percent:.1g}%"
