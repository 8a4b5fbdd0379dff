from __future__ import annotations

from build_cascade.report.log_spacing import log_spaced


def test_picks_are_spread_over_the_logarithm_and_away_from_what_is_taken():
    costs = [1.0, 1.1, 1.2, 10.0, 11.0, 100.0]
    assert log_spaced(costs, 3, float) == [1.0, 10.0, 100.0]
    assert log_spaced(costs, 3, float, taken=9.0) == [1.0, 100.0]
    assert log_spaced(costs, 6, float) == costs
    assert log_spaced([], 3, float) == []
    assert log_spaced([5.0], 3, float, taken=5.0) == []
