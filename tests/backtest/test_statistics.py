import math
from decimal import Decimal

import numpy as np
import pytest

from kit.backtest.analysis import Analysis, intervals_of
from kit.backtest.result import Result
from kit.backtest.run_record import Account, BacktestRun
from kit.backtest.statistics import (
    SIDE_STATISTICS,
    STATISTICS,
    YEAR,
    definition,
    greatest,
    time_weighted_std,
    time_weights,
)
from tests.support.backtest_runs import START, fill, market, order, random_run

BASE, QUOTE = Account("binance", "BTC"), Account("binance", "USDT")


def holding(mids, base=1, quote=100, step=10.0):
    """A run that only holds."""
    run = BacktestRun(
        strategy="H",
        markets=[market()],
        accounts=[BASE, QUOTE],
        initial_balances={BASE: Decimal(base), QUOTE: Decimal(quote)},
        tick_size=step,
    )
    for at, mid in enumerate(mids):
        run.samples.add(START + at * step, [mid], [float(base), float(quote)])
    return run


def value(result, name):
    return float(result.stats.loc[name, "value"])


def test_returns_by_hand():
    result = Result(holding([100.0, 90.0, 120.0, 110.0]))
    assert value(result, "return") == 10.0
    assert value(result, "return_fraction") == pytest.approx(0.05)
    assert value(result, "annualised_return") == pytest.approx(0.05 * YEAR / 30)
    assert value(result, "return_over_holding") == 0.0
    assert value(result, "max_drawdown") == 10.0
    assert value(result, "max_drawdown_fraction") == pytest.approx(10 / 200)


def test_sharpe_and_sortino_against_numpy():
    mids = 100 + np.random.default_rng(1).normal(size=200).cumsum()
    result = Result(holding(mids.tolist()))
    changes = np.diff(mids)
    year = math.sqrt(YEAR / 10)
    assert value(result, "sharpe") == pytest.approx(changes.mean() / changes.std(ddof=1) * year)
    downside = math.sqrt(np.mean(np.minimum(changes, 0) ** 2))
    assert value(result, "sortino") == pytest.approx(changes.mean() / downside * year)
    row = result.stats.loc["sharpe"]
    assert row["low"] < row["value"] < row["high"]


def test_a_steady_gain_has_no_sharpe_and_no_sortino():
    result = Result(holding([100.0 + at for at in range(50)]))
    assert math.isnan(value(result, "sharpe"))
    assert math.isnan(value(result, "sortino"))
    assert value(result, "max_drawdown") == 0.0


def test_no_movement_at_all():
    result = Result(holding([100.0] * 50))
    assert value(result, "return") == 0.0
    assert math.isnan(value(result, "sharpe"))


def test_trading_figures_by_hand():
    run = holding([100.0, 100.0, 100.0, 100.0], base=10, quote=1000)
    run.orders += [
        ("binance", order(START, "buy", 99, 2, 1, order_id="a")),
        ("binance", order(START + 5, "sell", 101, 1, order_id="b")),
        ("binance", order(START + 15, "sell", 101, 1, 1, order_id="c")),
    ]
    run.add_fill("binance", fill(START + 1, "buy", 99, 1, fee=("0.5", "USDT"), order_id="a"), 100.0)
    run.add_fill("binance", fill(START + 16, "sell", 101, 1, fee=("-0.1", "USDT"), order_id="c"), 100.0)
    result = Result(run)
    assert value(result, "orders") == 3
    assert value(result, "fills") == 2
    assert value(result, "orders_filled") == pytest.approx(2 / 3)
    assert value(result, "fill_ratio") == pytest.approx((99 + 101) / (2 * 99 + 101 + 101))
    assert value(result, "turnover") == 200.0
    assert value(result, "turnover_ratio") == pytest.approx(0.1)
    assert value(result, "turnover_per_day") == pytest.approx(200 * 86400 / 30)
    assert value(result, "spread_captured") == 2.0
    assert value(result, "spread_captured_bps") == 100.0
    assert value(result, "fees") == pytest.approx(0.4)
    assert value(result, "fees_bps") == pytest.approx(20.0)


def test_an_order_that_the_exchange_never_took_does_not_count():
    run = holding([100.0] * 3)
    made = order(START, "buy", 99, 1)
    made.acknowledged = False
    run.orders.append(("binance", made))
    assert value(Result(run), "orders") == 0


def test_inventory_weighs_by_time():
    times = np.array([0.0, 1.0, 4.0, 5.0])
    held = np.array([0.0, 2.0, -3.0, 9.0])
    assert time_weights(times).tolist() == [0.2, 0.6, 0.2, 0.0]
    mean = 0.6 * 2 - 0.2 * 3
    want = math.sqrt(0.2 * mean**2 + 0.6 * (2 - mean) ** 2 + 0.2 * (-3 - mean) ** 2)
    assert time_weighted_std(held, times) == pytest.approx(want)
    assert greatest(held) == 9.0
    assert math.isnan(greatest(held[:0]))
    assert math.isnan(time_weighted_std(held[:0], times[:0]))


def test_intervals_share_the_time_evenly():
    times = START + np.arange(0.0, 345.0)
    cut = intervals_of(times, None, 1.0)
    assert cut.count == 34
    assert cut.seconds == pytest.approx(344 / 34)
    assert intervals_of(times, 0.1, 5.0).seconds >= 5.0
    assert intervals_of(times[:1], None, 1.0).count == 1
    year = START + np.array([0.0, YEAR])
    assert intervals_of(year, None, 1.0).count == 8760


def test_columns_keep_every_sum():
    run = random_run(500, 7)
    analysis = Analysis(run)
    assert analysis.columns["change"].sum() == pytest.approx(float(analysis.pnl.total))
    assert analysis.columns["spread"].sum() == pytest.approx(float(analysis.pnl.spread_captured))
    assert analysis.columns["fees"].sum() == pytest.approx(float(analysis.pnl.fees))
    assert analysis.columns["fills"].sum() == len(run.fills)
    assert analysis.columns["holding"].sum() == pytest.approx(float(analysis.pnl.holdings_revaluation))


def test_every_statistic_has_a_unit_of_ours_and_a_definition():
    for statistic in (*STATISTICS, *SIDE_STATISTICS["buy"], *SIDE_STATISTICS["sell"]):
        assert statistic.unit in {"", "quote", "fraction", "count", "bps"}
        assert len(definition(statistic.function)) > 20
    names = [statistic.name for statistic in STATISTICS]
    assert len(set(names)) == len(names)


def test_a_short_run_has_no_intervals():
    stats = Result(holding([100.0, 101.0, 99.0])).stats
    assert stats["low"].isna().all()
    assert stats["high"].isna().all()


def test_the_seed_decides_the_intervals():
    run = random_run(300, 10)
    one, two, three = (Result(run, seed=seed).stats for seed in (1, 1, 2))
    assert one.equals(two)
    assert one["value"].equals(three["value"])
    assert not one["low"].equals(three["low"])


def test_a_fill_after_the_last_sample_counts():
    run = holding([100.0] * 20)
    run.add_fill("binance", fill(START + 500, "sell", 101, 1), 100.0)
    assert value(Result(run), "return") == 1.0
