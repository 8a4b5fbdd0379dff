"""The report shows what a replay gives, and its page stands alone."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from build_cascade.cascade_file import as_cascade
from build_cascade.cli import app
from build_cascade.committee import Committee
from build_cascade.errors import ChoiceError
from build_cascade.evaluator import Evaluator
from build_cascade.frontier_search import search_frontier
from build_cascade.goal import Goal
from build_cascade.imported import import_pool
from build_cascade.predictions import Predictions
from build_cascade.report.content import Report, committee_of, on_test
from build_cascade.report.ensembles import best_ensembles
from build_cascade.report.page import write_report
from build_cascade.report.table import accuracy_in_words, cost_in_words, exits_in_words, table
from build_cascade.report.words import saving
from build_cascade.selection import Selection, select
from build_cascade.topk import TopK, TopKPredictions
from build_engines.costs.costs import Costs
from build_engines.pool.schema import load_pool
from tests.support.helpers import LABELS, backbone_entry, write_pool

NAMES = ("small", "medium", "large")
ACCURATE = Goal(accuracy_at_least=0.8)
COSTS = Costs({"small": 0.1, "medium": 0.3, "large": 0.9}, source="counted by hand")
IMAGES = 300
INFINITE = float("inf")


def predictions(seed, names=NAMES, images=IMAGES):
    """Backbones that are righter the later they are named, and surer where they are right."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(LABELS), images)
    arrays = {}
    for place, name in enumerate(names):
        scores = generator.normal(size=(images, len(LABELS)))
        scores[np.arange(images), labels] += 1.5 + place
        exponents = np.exp(scores)
        arrays[name] = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float16)
    return Predictions(labels, arrays)


def sparse(dense):
    """The same predictions as far as the three most probable classes go."""
    pairs = {}
    for name, array in dense.probabilities.items():
        ids = np.argsort(-array, axis=1)[:, :3].astype(np.int32)
        pairs[name] = (ids, np.take_along_axis(array, ids, axis=1))
    return TopKPredictions(dense.class_ids, TopK(pairs, len(LABELS)))


def evaluator_of(names=NAMES):
    return Evaluator(predictions(0, names), predictions(1, names), COSTS.only(names))


def imported_evaluator():
    dense = evaluator_of()
    return Evaluator(sparse(dense.calibration), sparse(dense.test), dense.costs)


def choice(folder, evaluator, goal=ACCURATE):
    pool = load_pool(write_pool(folder, *(backbone_entry(name) for name in evaluator.test.names)))
    frontier = search_frontier(evaluator.calibration, evaluator.costs)
    selection = Selection(select(frontier, IMAGES, goal), goal, evaluator.best_single())
    return as_cascade(pool, selection, evaluator), frontier


def page_of(folder, evaluator, cascade, frontier, images_per_s=MappingProxyType({})):
    report = Report.of(evaluator, cascade, frontier)
    return report, write_report(report, evaluator, cascade, images_per_s, folder / "report").read_text()


def cells(page):
    return [html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]


@pytest.fixture(params=[evaluator_of, imported_evaluator], ids=["collected", "imported"])
def evaluator(request):
    return request.param()


def test_the_page_stands_alone(tmp_path, evaluator):
    _, page = page_of(tmp_path, evaluator, *choice(tmp_path, evaluator))
    addresses = re.findall(r'(?:src|srcset|href)\s*=\s*"(.*?)"', page)
    assert len(addresses) == 6
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert not re.search(r"https?://|@import|url\(|<script|<link", page)
    made = {path.name for path in (tmp_path / "report").iterdir()}
    assert made == {"index.html", "frontier.png", "exits.png", "coverage.png"}


def test_every_row_is_what_the_gate_replays(tmp_path, evaluator):
    cascade, frontier = choice(tmp_path, evaluator)
    report = Report.of(evaluator, cascade, frontier)
    committee = committee_of(cascade)
    expected = {name: evaluator.on_test(Committee.of([name])) for name in NAMES}
    expected["ensemble of all"] = evaluator.on_test(Committee.of(NAMES), [INFINITE] * 2)
    expected["cascade"] = evaluator.on_test(committee, cascade.thresholds)
    for name in cascade.operating_points:
        expected[f"  {name}"] = evaluator.on_test(committee, cascade.thresholds_at(name))
    assert [row.name for row in report.rows] == list(expected)
    for row in report.rows:
        assert_alike(row.evaluation, expected[row.name])


def assert_alike(seen, expected):
    assert (seen.images, seen.correct) == (expected.images, expected.correct)
    assert seen.exit_rates == pytest.approx(expected.exit_rates)
    assert (seen.mean_cost, seen.worst_cost) == pytest.approx((expected.mean_cost, expected.worst_cost))


def test_line_stars_and_squares_are_what_the_gate_replays(tmp_path, evaluator):
    cascade, frontier = choice(tmp_path, evaluator)
    report = Report.of(evaluator, cascade, frontier)
    replayed = [evaluator.on_test(c.committee, c.thresholds) for c in frontier]
    assert len(report.frontier) == len(replayed)
    for members, seen in zip(report.frontier, replayed, strict=True):
        assert_alike(members.evaluation, seen)
    assert report.stars
    assert all(star in report.frontier and star.evaluation != report.chosen.evaluation for star in report.stars)
    for members in report.ensembles:
        committee = Committee.of(members.stages)
        assert_alike(members.evaluation, evaluator.on_test(committee, [INFINITE] * (len(members.stages) - 1)))


def test_the_page_shows_the_numbers_of_the_replay(tmp_path, evaluator):
    cascade, frontier = choice(tmp_path, evaluator)
    report, page = page_of(tmp_path, evaluator, cascade, frontier, {"small": 1234.4})
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


@pytest.mark.parametrize("part", ["cascade", "frontier"])
def test_the_stages_of_another_pool_are_refused(tmp_path, part):
    cascade, frontier = choice(tmp_path, evaluator_of())
    smaller, within = evaluator_of(NAMES[:1]), choice(tmp_path, evaluator_of(NAMES[:1]), Goal(0.1))
    mixed = (cascade, within[1]) if part == "cascade" else (within[0], frontier)
    with pytest.raises(ChoiceError, match="not in this pool"):
        Report.of(smaller, *mixed)


def test_the_terminal_shows_every_row(tmp_path):
    evaluator = evaluator_of()
    cascade, frontier = choice(tmp_path, evaluator)
    console = Console(width=200, record=True)
    report = Report.of(evaluator, cascade, frontier)
    console.print(table(report, cascade, {"large": 77.6}))
    text = console.export_text()
    for row in report.rows:
        assert re.search(rf"│ {row.name} +│ {re.escape(accuracy_in_words(row.evaluation))} +│", text)
    assert "78" in text


def test_in_80_columns_long_names_are_whole_and_nothing_is_cut(tmp_path):
    names = ("mobilenetv2_050_at_160", "mobilenetv2_120d_at_224")
    evaluator = Evaluator(predictions(0, names), predictions(1, names), Costs(dict.fromkeys(names, 0.3)))
    cascade, frontier = choice(tmp_path, evaluator, Goal(accuracy_at_least=0.1))
    console = Console(width=80, record=True)
    console.print(table(Report.of(evaluator, cascade, frontier), cascade, dict.fromkeys(names, 1234.0)))
    text = console.export_text()
    assert all(f"│ {name}" in text for name in names)
    assert "…" not in text


def test_the_command_reports_an_imported_pool_and_names_the_page(tmp_path):
    dense, cascade_file = predictions(4), tmp_path / "cascade.json"
    pool = import_pool("elsewhere", sparse(dense), COSTS, tmp_path)
    places = ["--build", str(tmp_path)]
    searched = CliRunner().invoke(app, ["search", str(pool), "--output", str(cascade_file), *places])
    assert searched.exit_code == 0, searched.output
    told = CliRunner().invoke(app, ["report", str(pool), "--cascade", str(cascade_file), *places])
    assert told.exit_code == 0, told.output
    page = tmp_path / "elsewhere" / "report" / "index.html"
    assert f"page: {page}" in told.output
    assert "elsewhere" in page.read_text()


@pytest.mark.parametrize("seed", range(4))
def test_no_ensemble_on_the_frontier_is_beaten_on_calibration(seed):
    generator = np.random.default_rng(seed)
    noise = {name: generator.dirichlet(np.ones(5), IMAGES).astype(np.float16) for name in NAMES}
    pool = Predictions(generator.integers(0, 5, IMAGES), noise)  # no backbone is better: dear ensembles are beaten
    evaluator = Evaluator(pool, pool, COSTS)
    found = best_ensembles(evaluator.calibration, evaluator.costs)
    seen = [evaluator.on_calibration(c, [INFINITE] * (len(c.stages) - 1)) for c in found]
    every = [evaluator.on_calibration(Committee.of(c), [INFINITE] * (len(c) - 1)) for c in committees(NAMES)]
    kept = [e for e in every if not any(o.mean_cost < e.mean_cost and o.correct >= e.correct for o in every)]
    assert {e.correct for e in seen} == {e.correct for e in kept}
    assert len(seen) == len(kept)


def committees(names):
    return [chosen for size in range(2, len(names) + 1) for chosen in itertools.combinations(names, size)]


@pytest.mark.parametrize(
    ("cost", "says"), [(1.0, "as expensive as"), (0.25, "75% cheaper than"), (1.5, "50% more expensive than")]
)
def test_a_saving_in_words(cost, says):
    seen = evaluator_of().on_test(Committee.of(["small"]))
    assert saving(replace(seen, mean_cost=cost), replace(seen, mean_cost=1.0)) == says


def test_kernels_and_gate_agree_beyond_four_backbones():
    names = tuple("abcdef")
    wide = Evaluator(predictions(2, names), predictions(3, names), Costs(dict.fromkeys(names, 1.0)))
    committee = Committee.of(names)
    assert on_test(wide, committee, [INFINITE] * 5) == wide.on_test(committee, [INFINITE] * 5)
