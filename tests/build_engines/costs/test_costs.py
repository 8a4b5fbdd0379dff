"""Costs: what is no cost is refused, and unit and source travel with the numbers."""

import json

import pytest

from build_engines.costs.costs import Costs
from build_engines.errors import CostError


def test_a_costs_file_comes_back_with_unit_and_source(tmp_path):
    Costs({"a": 1.5, "b": 2.0}, "ms", "served").write(tmp_path / "costs.json")
    read = Costs.read(tmp_path / "costs.json")
    assert (dict(read), read.unit, read.source) == ({"a": 1.5, "b": 2.0}, "ms", "served")


@pytest.mark.parametrize("cost", [0, -1, float("nan"), float("inf")])
def test_a_cost_that_is_none_is_refused(cost):
    with pytest.raises(CostError, match="cost of 'a' is"):
        Costs({"a": cost})


def test_a_missing_cost_is_named():
    with pytest.raises(CostError, match="no cost for b"):
        Costs({"a": 1.0}).only(["a", "b"])


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"a": 1}', '{"unit": "ms", "source": "", "costs": {"a": "much"}}', json.dumps({"unit": "kg"})],
)
def test_a_damaged_costs_file_says_what_one_looks_like(tmp_path, content):
    path = tmp_path / "costs.json"
    path.write_text(content)
    with pytest.raises(CostError, match="expected JSON such as"):
        Costs.read(path)


def test_an_unknown_unit_is_refused():
    with pytest.raises(CostError, match="GMACs or ms"):
        Costs({"a": 1.0}, "kg")


def test_small_costs_are_shown_in_thousandths():
    assert Costs({"a": 0.5}).shown() == (1000, "MMACs")
    assert Costs({"a": 0.5, "b": 1.5}, "ms").shown() == (1, "ms")
