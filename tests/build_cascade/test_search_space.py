from __future__ import annotations

import pytest

from build_cascade.errors import GoalError
from build_cascade.search_space import SearchSpace


def test_every_combination_is_a_rule_and_last_has_no_use_for_weights():
    space = SearchSpace(("margin",), ("mean", "last"), ratios=(1.0, 2.0), max_stages=2)
    assert [(rule.combine, rule.weights) for rule in space.rules] == [
        ("mean", (1.0, 1.0)),
        ("mean", (1.0, 2.0)),
        ("last", (1.0, 1.0)),
    ]


@pytest.mark.parametrize("wrong", [{"confidences": ("luck",)}, {"combines": ("vote",)}], ids=str)
def test_an_unknown_name_is_refused_with_the_known_ones(wrong):
    with pytest.raises(GoalError, match=r"(luck|vote).*is not one of m"):
        SearchSpace(**wrong)
