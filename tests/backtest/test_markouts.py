import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.backtest.analysis import Analysis
from kit.backtest.markouts import HORIZONS, mids_after
from kit.backtest.result import Result
from tests.support.backtest_runs import random_run


def by_loop(times, mids, at, max_gap):
    """The plain definition: the known samples around a moment, and the line between them."""
    known = [(time, mid) for time, mid in zip(times, mids, strict=True) if math.isfinite(mid)]
    for time, mid in known:
        if time == at:
            return mid
    before = [row for row in known if row[0] < at]
    after = [row for row in known if row[0] > at]
    if not before or not after or after[0][0] - before[-1][0] > max_gap:
        return math.nan
    (t0, m0), (t1, m1) = before[-1], after[0]
    return m0 + (m1 - m0) * (at - t0) / (t1 - t0)


@settings(max_examples=200)
@given(
    st.lists(st.integers(0, 60), unique=True, max_size=25).map(sorted),
    st.lists(st.floats(-5, 70), min_size=1, max_size=10),
    st.floats(1, 30),
    st.data(),
)
def test_a_brute_force_loop_agrees(seconds, moments, max_gap, data):
    value = st.one_of(st.just(math.nan), st.floats(1, 100))
    mids = data.draw(st.lists(value, min_size=len(seconds), max_size=len(seconds)))
    got = mids_after(np.array(seconds, dtype=float), np.array(mids, dtype=float), np.array(moments), max_gap)
    want = [by_loop(seconds, mids, moment, max_gap) for moment in moments]
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_table_is_the_sums_of_a_loop(seed):
    run = random_run(400, 7, seed, edge=1.5)
    rows = run.samples.rows()
    table = Result(run).markouts.set_index(["horizon", "side"])
    for horizon in HORIZONS:
        for side in ("buy", "sell", "total"):
            markout = adverse = notional = 0.0
            count = 0
            for record in run.fills:
                event = record.event
                later = by_loop(rows[:, 0], rows[:, 1], event.timestamp + horizon, horizon + 2)
                if side not in ("total", event.trade_type.value) or not math.isfinite(later):
                    continue
                sign = 1 if event.trade_type.value == "buy" else -1
                count += 1
                notional += float(event.price * event.amount)
                markout += sign * (later - float(event.price)) * float(event.amount)
                adverse += sign * (later - record.mid) * float(event.amount)
            row = table.loc[horizon, side]
            assert row["fills"] == count > 0
            assert row["notional"] == pytest.approx(notional)
            assert row["markout_money"] == pytest.approx(markout, abs=1e-9)
            assert row["adverse_money"] == pytest.approx(adverse, abs=1e-9)
            assert row["markout_bps"] == pytest.approx(markout / notional * 1e4, abs=1e-9)
            assert row["adverse_bps"] == pytest.approx(adverse / notional * 1e4, abs=1e-9)


def test_a_fill_too_near_the_end_is_left_out():
    run = random_run(100, 50)  # fills at 49.5 and 99.5 s, the last sample at 100 s
    analysis = Analysis(run)
    assert [int(np.isfinite(analysis.markout_money(horizon)[0]).sum()) for horizon in HORIZONS] == [1, 1, 1, 0]


def test_a_gap_in_the_prices_is_not_bridged():
    times, mids = np.arange(100.0), np.ones(100)
    mids[20:60] = math.nan
    assert np.isnan(mids_after(times, mids, np.array([30.0]), 7.0))
    assert mids_after(times, mids, np.array([30.0]), 60.0)[0] == 1.0


def test_a_sample_at_that_very_moment_counts_beside_a_gap():
    times, mids = np.array([0.0, 1.0, 50.0]), np.array([1.0, 2.0, 3.0])
    assert mids_after(times, mids, np.array([0.0, 1.0, 50.0, 51.0]), 5.0).tolist()[:3] == [1.0, 2.0, 3.0]
