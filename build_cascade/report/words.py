"""The sentences of the page."""

from __future__ import annotations

from typing import Any

from build_cascade.cascade_file import CONSISTENT_WITH
from build_cascade.evaluation import ACCURACY, AGREEMENT, Evaluation
from build_cascade.evaluator import Evaluator
from build_cascade.report.content import Report
from build_cascade.report.table import accuracy_in_words, cost_in_words
from build_cascade.selection import NO_GUARANTEE
from build_engines.costs.costs import MS
from cascade_core.gating import UNREACHABLE
from cascade_core.spec import NEVER, Cascade

ALIKE = 0.005  # a cost that differs by less is called equal


def headline(report: Report) -> list[str]:
    """Return what the cascade reaches, and what it saves against the reference."""
    seen, reference = report.chosen.evaluation, report.reference
    if seen.reference is None:
        answered = "Right on"
        compared = f"{reference.name}, the best single backbone on calibration: {_percent(reference.evaluation)}"
    else:
        answered, compared = f"Answers as {seen.reference} does on", f"{reference.name} alone,"
    return [
        f"{answered} {_percent(seen)} of {seen.images} test images at a mean cost of "
        f"{cost_in_words(seen.mean_cost, report)} {report.unit} per image.",
        f"That is {saving(seen, reference.evaluation)} {compared} at "
        f"{cost_in_words(reference.evaluation.mean_cost, report)} {report.unit}.",
    ]


def consistency(cascade: Cascade) -> list[str]:
    """Return what a choice without labels means and what it does not; empty if labels were used."""
    reference = cascade.evidence.get(CONSISTENT_WITH)
    if reference is None:
        return []
    share = cascade.evidence.get("agreement_on_test")
    seen = f"; on the test images it does so on {share:.1%}" if isinstance(share, float) else ""
    return [
        f"It was chosen without labels, to answer as {reference} does{seen}. So it can lose at most as many right "
        f"answers as it gives other answers than {reference}; some of those may be right where {reference} is wrong.",
        f"This does not say how accurate {reference} is: where it is wrong, a consistent cascade is mostly wrong too. "
        "Only labelled images can tell.",
    ]


def saving(seen: Evaluation, reference: Evaluation) -> str:
    """Compare two mean costs in words."""
    ratio = seen.mean_cost / reference.mean_cost
    if abs(1 - ratio) < ALIKE:
        return "as expensive as"
    return f"{1 - ratio:.0%} cheaper than" if ratio < 1 else f"{ratio - 1:.0%} more expensive than"


def guarantee(cascade: Cascade) -> str:
    """Return what cascade.json says is guaranteed."""
    return str(cascade.evidence.get("guarantee", "none is recorded in cascade.json")).rstrip(".")


def how_chosen(evaluator: Evaluator, cascade: Cascade, report: Report) -> list[str]:
    """Return on which images, for which goal, by which costs and when the cascade was chosen."""
    evidence = cascade.evidence
    seen, costs = _mapping(evidence.get("calibration")), _mapping(evidence.get("costs"))
    answered = _mapping(evidence.get("predicted_by"))
    made = " on ".join(str(evidence[key]) for key in ("made_by", "date") if key in evidence)
    sentences = [
        f"Goal: {_goal(_mapping(evidence.get('goal')), cascade)}.",
        f"Stages and thresholds were chosen on {len(evaluator.calibration.class_ids)} calibration images; all numbers "
        f"here are from {report.chosen.evaluation.images} test images.",
        f"On calibration the cascade was right on {seen['accuracy']:.1%}." if "accuracy" in seen else "",
        f"On calibration the cascade answered as {evidence.get(CONSISTENT_WITH)} on {seen['agreement']:.1%}."
        if "agreement" in seen
        else "",
        f"Rule: {_combined(cascade)}; an image exits when its confidence "
        f"({cascade.confidence.replace('_', ' ')}) reaches {thresholds_in_words(cascade.thresholds)}.",
        f"Its predictions come from {'; '.join(f'{name} on {runtime}' for name, runtime in answered.items())}."
        if answered
        else "",
        f"Costs shown are in {report.unit}; their source: {evaluator.costs.source}.",
        f"It was chosen by costs in {costs['unit']}; their source: {costs['source']}."
        if _differs(costs, evaluator)
        else "",
        f"Made by {made}." if made else "",
    ]
    return [sentence for sentence in sentences if sentence]


def thresholds_in_words(thresholds: tuple[float, ...]) -> str:
    """Return thresholds such as 0.6527 / never, for each stage but the last."""
    written = [NEVER if threshold == UNREACHABLE else f"{threshold:.4f}" for threshold in thresholds]
    return " / ".join(written) or "no threshold: there is one stage"


def warnings(evaluator: Evaluator, cascade: Cascade) -> list[str]:
    """Return what the numbers do not show."""
    sentences = [
        "Do not select another cascade by its test results here: they would then be too optimistic. Search again, "
        "and report on images that were not used for either.",
        "Each interval is of one accuracy alone: it does not show that two accuracies differ, and overlapping "
        "intervals do not show that they are equal.",
        "All results are for images of the same kind; other cameras, classes or class frequencies are not covered.",
    ]
    if guarantee(cascade) == NO_GUARANTEE:
        sentences.insert(
            0,
            "Nothing is guaranteed: the best of many cascades on calibration is usually a little worse on new images.",
        )
    if evaluator.other_costs is not None:
        other = evaluator.other_costs
        sentences.append(f"Costs in {other.shown()[1]} are the stages' added up; their source: {other.source}.")
    if evaluator.costs.unit == MS:
        return [*sentences, "Milliseconds are valid for the machine and the load under which they were measured."]
    return [
        *sentences,
        "Multiply-accumulates are not milliseconds: the time that they take depends on the machine and the batch size.",
    ]


def _goal(goal: dict[str, Any], cascade: Cascade) -> str:
    unit, reference = cascade.cost_unit, cascade.evidence.get(CONSISTENT_WITH)
    measure = ACCURACY if reference is None else f"{AGREEMENT} with {reference}"
    accuracy, cost = goal.get("accuracy_at_least"), goal.get("cost_at_most")
    limit = "" if cost is None else f" at a mean cost of at most {cost:.4g} {unit}"
    if accuracy is not None:
        return f"the cheapest cascade with an {measure} of at least {accuracy:.2%} on calibration{limit}"
    most = "most accurate cascade" if reference is None else f"cascade of the highest {measure}"
    return f"the {most} on calibration{limit}" if limit else "not recorded"


def _combined(cascade: Cascade) -> str:
    if cascade.combine == "last":
        return "each stage's own prediction"
    mean = "mean" if cascade.combine == "mean" else "normalised geometric mean"
    weights = ", ".join(f"{stage.weight:g}" for stage in cascade.stages)
    return f"the weighted {mean} of the stages' predictions (weights {weights})"


def _percent(seen: Evaluation) -> str:
    accuracy, interval = accuracy_in_words(seen).split(" ")
    return f"{accuracy}% {interval.rstrip(')')}%)"


def _differs(costs: dict[str, Any], evaluator: Evaluator) -> bool:
    return {"unit", "source"} <= set(costs) and (costs["unit"], costs["source"]) != (
        evaluator.costs.unit,
        evaluator.costs.source,
    )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
