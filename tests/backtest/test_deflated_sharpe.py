import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.backtest.deflated_sharpe import (
    GainMoments,
    deflated_sharpe,
    expected_maximum,
    probabilistic_sharpe,
)


def test_the_example_of_the_paper():
    # Bailey and Lopez de Prado 2014: five years of days, annualised Sharpe ratio 2.5, 100 trials of variance 1/2.
    best = GainMoments(2.5 / math.sqrt(250), 1250, skew=-3, kurtosis=10)
    hurdle = expected_maximum(100, 0.5 / 250)
    assert hurdle == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(best, hurdle) == pytest.approx(0.9004, abs=2e-3)
    # With 46 trials it would have been convincing; with normal gains 88 would do.
    assert probabilistic_sharpe(best, expected_maximum(46, 0.5 / 250)) == pytest.approx(0.95, abs=3e-3)
    normal = GainMoments(best.sharpe, 1250)
    assert probabilistic_sharpe(normal, expected_maximum(88, 0.5 / 250)) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("trials", [5, 50, 500])
def test_the_hurdle_is_the_mean_of_the_best_of_as_many(trials):
    best = np.random.default_rng(0).normal(0, 0.2, (4000, trials)).max(axis=1)
    assert expected_maximum(trials, 0.04) == pytest.approx(best.mean(), rel=0.03)


def test_a_single_trial_has_nothing_to_be_deflated_by():
    assert expected_maximum(1, 1.0) == 0.0
    assert expected_maximum(10, 0.0) == 0.0
    best = GainMoments(0.1, 400)
    assert deflated_sharpe(best, [0.1]).probability == probabilistic_sharpe(best, 0.0)


def test_moments_by_hand():
    gains = np.array([1.0, 2.0, 3.0, 10.0])
    mean, deviations = 4.0, gains - 4.0
    m2, m3, m4 = (np.mean(deviations**power) for power in (2, 3, 4))
    found = GainMoments.of(gains)
    assert found.count == 4
    assert found.sharpe == pytest.approx(mean / np.std(gains, ddof=1))
    assert found.skew == pytest.approx(m3 / m2**1.5)
    assert found.kurtosis == pytest.approx(m4 / m2**2)


@pytest.mark.parametrize("gains", [[], [1.0], [0.0] * 20, [0.1] * 20])
def test_gains_that_do_not_vary_have_no_sharpe_ratio(gains):
    found = GainMoments.of(np.array(gains))
    assert math.isnan(found.sharpe)
    assert math.isnan(probabilistic_sharpe(found, 0.0))
    assert math.isnan(deflated_sharpe(found, [0.1, 0.2]).probability)


@given(st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=3, max_size=40), st.floats(0.5, 50))
def test_the_unit_of_money_does_not_matter(gains, unit):
    values = np.array(gains)
    one, other = GainMoments.of(values), GainMoments.of(values * unit)
    assert one.sharpe == pytest.approx(other.sharpe, nan_ok=True, rel=1e-6, abs=1e-9)
    assert one.kurtosis == pytest.approx(other.kurtosis, nan_ok=True, rel=1e-6)
    if not math.isnan(one.sharpe):
        assert one.kurtosis >= 1 + one.skew**2 - 1e-6  # so the root in the formula is never of a negative number
        assert 0 <= probabilistic_sharpe(one, 0.0) <= 1


def test_luck_is_seldom_taken_for_skill_and_skill_is_seen():
    rng = np.random.default_rng(7)
    fooled = found = 0
    for _ in range(200):
        runs = rng.normal(0, 1, (20, 500))
        moments = [GainMoments.of(run) for run in runs]
        best = max(moments, key=lambda one: one.sharpe)
        fooled += deflated_sharpe(best, [one.sharpe for one in moments]).probability > 0.95
        skilled = GainMoments.of(runs[0] + 0.3)
        found += deflated_sharpe(skilled, [skilled.sharpe, *(one.sharpe for one in moments[1:])]).probability > 0.95
    assert fooled <= 10  # undeflated, the best of 20 has more than 95 % in most of them
    assert found >= 190


def test_trials_without_a_sharpe_ratio_are_not_counted():
    verdict = deflated_sharpe(GainMoments(0.2, 100), [0.2, math.nan, 0.1, math.inf])
    assert verdict.trials == 2
    assert verdict.deviation == pytest.approx(np.std([0.2, 0.1], ddof=1))
