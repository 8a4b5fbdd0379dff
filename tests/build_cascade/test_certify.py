from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from build_cascade.certify import (
    _tails,
    accuracy_p_value,
    consistency_p_value,
    fixed_sequence_test,
    images_needed,
)

TOLERANCE, RISK = 0.01, 0.1


def paired(lost: int, won: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Cascade right, reference right, where `lost` images are right only for the reference."""
    cascade, reference = np.ones(count, bool), np.ones(count, bool)
    cascade[:lost], reference[lost : lost + won] = False, False
    return cascade, reference


@pytest.mark.parametrize("lost_rate", [0.011, 0.03, 0.2])
def test_a_broken_promise_is_certified_no_more_often_than_the_risk(lost_rate):
    """At the border of the hypothesis the test rejects in at most `risk` of the draws."""
    generator = np.random.default_rng(0)
    rates = [lost_rate, lost_rate - TOLERANCE, 1 - 2 * lost_rate + TOLERANCE]
    draws = generator.multinomial(2000, rates, size=400)
    seen = {tuple(draw[:2]) for draw in draws.tolist()}
    p_values = {pair: accuracy_p_value(*paired(*pair, 2000), TOLERANCE, RISK) for pair in seen}
    rejected = sum(p_values[tuple(draw[:2])] <= RISK for draw in draws.tolist())
    assert rejected <= binom.ppf(0.999, len(draws), RISK)


RATES = st.lists(st.floats(0.011, 0.99), min_size=1, max_size=5).map(sorted)


@settings(max_examples=25)
@given(count=st.integers(1, 12), difference=st.integers(-12, 12), rates=RATES)
def test_tails_equal_the_sum_over_every_outcome(count, difference, rates):
    """Of a trinomial: so many lost, so many won, and the rest alike."""
    pairs = [(lost, won) for lost in range(count + 1) for won in range(count + 1 - lost)]
    counted = [(lost, won, count - lost - won) for lost, won in pairs if lost - won <= difference]
    outcomes = np.array(counted).reshape(-1, 3)
    shares = [((rate + TOLERANCE) / 2, (rate - TOLERANCE) / 2, 1 - rate) for rate in rates]
    expected = [multinomial.pmf(outcomes, count, share).sum() for share in shares]
    np.testing.assert_allclose(_tails(difference, count, np.array(rates), TOLERANCE), expected, atol=1e-12)


def test_the_test_has_power():
    """A cascade as accurate as its reference, disagreeing on 4 %, is certified within one point on 5,000 images."""
    generator = np.random.default_rng(1)
    draws = generator.multinomial(5000, [0.02, 0.02, 0.96], size=40).tolist()
    assert np.mean([accuracy_p_value(*paired(*draw[:2], 5000), TOLERANCE, RISK) <= RISK for draw in draws]) > 0.95


def test_without_disagreement_only_the_number_of_images_counts():
    assert accuracy_p_value(*paired(0, 0, 100), TOLERANCE, RISK) > RISK
    assert accuracy_p_value(*paired(0, 0, 600), TOLERANCE, RISK) < RISK


def test_more_losses_never_lower_the_p_value():
    p_values = [accuracy_p_value(*paired(lost, 5, 1000), TOLERANCE, RISK) for lost in range(0, 40, 3)]
    assert p_values == sorted(p_values)


def test_consistency_is_the_exact_binomial_tail():
    disagrees = np.arange(1000) < 3
    assert consistency_p_value(disagrees, 0.01) == pytest.approx(binom.cdf(3, 1000, 0.01))


def test_the_walk_stops_at_the_first_failure():
    p_values = {"safe": 0.01, "bold": 0.2, "bolder": 0.001}
    certified = fixed_sequence_test(["safe", "bold", "bolder"], p_values.get, 0.05)
    assert certified.candidate == "safe"
    assert certified.p_values == (0.01, 0.2)
    assert fixed_sequence_test(["bold"], p_values.get, 0.05).candidate is None


def test_images_needed_are_about_enough():
    needed = images_needed(0.02, 0.02, TOLERANCE, RISK)
    exactly = [int(2 * needed * 0.02)] * 2
    assert accuracy_p_value(*paired(*exactly, 2 * needed), TOLERANCE, RISK) < RISK
    assert images_needed(0.05, 0.02, TOLERANCE, RISK) is None
