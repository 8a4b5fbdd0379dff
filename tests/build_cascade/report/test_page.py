"""The page stands alone, and its sentences and tables hold the numbers of the replay."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from build_cascade.cli import app
from build_cascade.committee import Committee
from build_cascade.goal import Goal
from build_cascade.imported import import_pool
from build_cascade.report.content import committee_of
from build_cascade.report.table import accuracy_in_words, cost_in_words, exits_in_words
from build_cascade.report.words import saving
from build_engines.costs.costs import Costs
from tests.support.reports import (
    COSTS,
    IMAGES,
    NAMES,
    choice,
    evaluator_of,
    measured_at,
    page_of,
    predictions,
    sparse,
)


def cells(page):
    return [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]


def test_the_page_stands_alone(tmp_path, evaluator):
    _, page = page_of(tmp_path, evaluator, *choice(tmp_path, evaluator))
    addresses = re.findall(r'(?:src|srcset|href)\s*=\s*"(.*?)"', page)
    assert len(addresses) == 6
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert not re.search(r"https?://|@import|url\(|<script|<link", page)
    made = {path.name for path in (tmp_path / "report").iterdir()}
    assert made == {"index.html", "frontier.png", "exits.png", "coverage.png"}


def test_the_page_shows_the_numbers_of_the_replay(tmp_path, evaluator):
    cascade, frontier = choice(tmp_path, evaluator)
    report, page = page_of(tmp_path, evaluator, cascade, frontier, {"small": measured_at(1234.4)})
    committee, shown = committee_of(cascade), cells(page)
    seen = evaluator.on_test(committee, cascade.thresholds)
    reference = evaluator.on_test(Committee.of([evaluator.best_single()]))
    for evaluation in (seen, reference, *(evaluator.on_test(Committee.of([name])) for name in NAMES)):
        assert accuracy_in_words(evaluation) in shown
        assert cost_in_words(evaluation.mean_cost, report) in shown
        assert cost_in_words(evaluation.worst_cost, report) in shown
    assert exits_in_words(seen) in shown
    assert "1234" in shown
    text = html.unescape(page)
    low, high = (f"{100 * bound:.1f}" for bound in seen.interval)
    assert f"Right on {100 * seen.accuracy:.1f}% ({low}–{high}%) of {IMAGES} test images" in text
    assert f"mean cost of {1000 * seen.mean_cost:.3g} MMACs" in text
    assert f"{1 - seen.mean_cost / reference.mean_cost:.0%} cheaper than {evaluator.best_single()}" in text


def test_the_page_says_what_the_choice_rests_on(tmp_path):
    evaluator = evaluator_of()
    cascade, frontier = choice(tmp_path, evaluator)
    certified = replace(cascade, evidence=cascade.evidence | {"guarantee": "at most <1 %> worse."})
    _, page = page_of(tmp_path, evaluator, certified, frontier)
    text = html.unescape(page)
    assert "<1 %>" not in page
    assert "at most <1 %> worse.</p>" in text
    assert "an accuracy of at least 80.00% on calibration" in text
    assert f"chosen on {IMAGES} calibration images" in text
    assert "counted by hand" in text
    assert "Nothing is guaranteed" not in text
    assert "Nothing is guaranteed" in page_of(tmp_path, evaluator, cascade, frontier)[1]


def test_other_costs_than_it_was_chosen_by_are_told(tmp_path):
    evaluator = evaluator_of()
    cascade, frontier = choice(tmp_path, evaluator)
    milliseconds = replace(evaluator, costs=Costs(dict.fromkeys(NAMES, 2.0), "ms", "one at a time"))
    _, page = page_of(tmp_path, milliseconds, cascade, frontier)
    assert "It was chosen by costs in GMACs; their source: counted by hand" in page
    assert "Costs shown are in ms; their source: one at a time" in page


def test_the_page_says_what_answered(tmp_path):
    evaluator = replace(
        evaluator_of(), predicted_by={"small": "python (model.onnx, CPU)", "large": "tensorrt (model.plan, GPU)"}
    )
    cascade, frontier = choice(tmp_path, evaluator, Goal(accuracy_at_least=0.1))
    assert cascade.evidence["predicted_by"] == {"small": "python (model.onnx, CPU)"}
    said = "Its predictions come from small on python (model.onnx, CPU)."
    assert said in page_of(tmp_path, evaluator, cascade, frontier)[1]
    imported, frontier = choice(tmp_path, evaluator_of())
    assert imported.evidence["predicted_by"] == {}
    assert "Its predictions come from" not in page_of(tmp_path, evaluator_of(), imported, frontier)[1]


def test_a_cascade_without_evidence_has_a_report(tmp_path):
    evaluator = evaluator_of()
    cascade, frontier = choice(tmp_path, evaluator)
    bare = replace(cascade, evidence={}, operating_points={})
    report, page = page_of(tmp_path, evaluator, bare, frontier)
    assert report.reference.name == evaluator.best_single()
    assert "none is recorded in cascade.json" in page
    assert "Goal: not recorded" in page
    assert "Operating points" not in page


def test_one_backbone_alone_has_a_report(tmp_path):
    evaluator = evaluator_of(NAMES[:1])
    report, page = page_of(tmp_path, evaluator, *choice(tmp_path, evaluator, Goal(accuracy_at_least=0.1)))
    assert (report.stars, report.ensembles) == ((), ())
    assert "as expensive as small" in page
    assert "no threshold: there is one stage" in page
    assert "1 candidate backbone<" in page


def test_a_cascade_of_one_stage_has_a_report(tmp_path):
    evaluator = evaluator_of()
    cascade, frontier = choice(tmp_path, evaluator, Goal(cost_at_most=0.1))
    assert len(cascade.stages) == 1
    report, page = page_of(tmp_path, evaluator, cascade, frontier)
    assert len(report.curves) == 1
    assert report.curves[0].chosen is None
    assert exits_in_words(report.chosen.evaluation) == "100"
    assert "89% cheaper than large" in page


def test_the_command_names_the_page_and_leaves_that_of_the_pools_own_cascade(tmp_path):
    dense, other = predictions(4), tmp_path / "other" / "cascade.json"
    pool = import_pool("elsewhere", sparse(dense), COSTS, tmp_path)
    own = tmp_path / "elsewhere" / "cascade.json"
    for cascade, folder in ((own, "report"), (other, "report-other")):
        cascade.parent.mkdir(exist_ok=True)
        named = ["--cascade", str(cascade)] * (cascade == other)
        goal = ["--mean-cost-at-most", "0.1"] * (cascade == other)
        page = tmp_path / "elsewhere" / folder / "index.html"
        for command in (["search", *goal, "--output", str(cascade)], ["report", *named]):
            told = CliRunner().invoke(app, [command[0], str(pool), *command[1:], "--build", str(tmp_path)])
            assert told.exit_code == 0, told.output
        assert f"page: {page}" in told.output
    pages = [path.read_text() for path in sorted((tmp_path / "elsewhere").glob("report*/index.html"))]
    assert len(pages) == len(set(pages)) == 2


@pytest.mark.parametrize(
    ("cost", "says"), [(1.0, "as expensive as"), (0.25, "75% cheaper than"), (1.5, "50% more expensive than")]
)
def test_a_saving_in_words(cost, says):
    seen = evaluator_of().on_test(Committee.of(["small"]))
    assert saving(replace(seen, mean_cost=cost), replace(seen, mean_cost=1.0)) == says
