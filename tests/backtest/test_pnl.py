"""The parts of the profit add up digit by digit; equity from fills is equity from balances."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.backtest.analysis import Analysis
from kit.backtest.pnl import ProfitAndLoss
from kit.backtest.run_record import Account, BacktestRun
from kit.errors import InvalidInput
from tests.support.backtest_runs import START, fill, market, random_run

BASE, QUOTE, BNB = (Account("binance", asset) for asset in ("BTC", "USDT", "BNB"))
ETH = Account("binance", "ETH")
MARKETS = [market(), market("ETH/BTC"), market("BNB/USDT")]
TICKS = 40

prices = st.decimals("0.00001", "90000", places=5)
amounts = st.decimals("0.00000001", "50", places=8)
fees = st.one_of(
    st.none(), st.tuples(st.decimals("-1", "1", places=10), st.sampled_from(["BTC", "USDT", "BNB", "ETH", "DOGE"]))
)
moments = st.floats(-3, TICKS + 3).map(lambda at: START + at)
mids = st.one_of(st.just(math.nan), st.floats(0.001, 80_000))
fill_rows = st.lists(
    st.tuples(moments, st.sampled_from(["buy", "sell"]), st.integers(0, 2), prices, amounts, fees, mids), max_size=12
)


def run_of(rows, seed, gaps=0.0, quote_asset="USDT", end=None):
    """Fills in time order with the balances that follow from them, sampled every second."""
    rng = np.random.default_rng(seed)
    paths = np.exp(rng.normal(0, 0.01, (TICKS, 3)).cumsum(axis=0)) * [60_000, 0.05, 500]
    paths[rng.random((TICKS, 3)) < gaps] = math.nan
    accounts = [BASE, QUOTE, BNB, ETH]
    held = {BASE: Decimal("1.5"), QUOTE: Decimal(70_000), ETH: Decimal(3)}
    run = BacktestRun(
        strategy="P", markets=MARKETS, accounts=accounts, initial_balances=dict(held), quote_asset=quote_asset
    )
    waiting = sorted(rows, key=lambda row: row[0])
    for tick in range(TICKS):
        while waiting and waiting[0][0] <= START + tick:
            book(run, held, waiting.pop(0))
        run.samples.add(START + tick, paths[tick], [float(held.get(account, 0)) for account in accounts])
    for row in waiting:
        book(run, held, row)
    run.final_balances = end
    return run, held


def book(run, held, row):
    time, side, index, price, amount, fee, mid = row
    pair = MARKETS[index].trading_pair
    event = fill(time, side, price, amount, pair=pair, fee=fee)
    base, quote = (Account("binance", asset) for asset in pair.split("/"))
    sign = 1 if side == "buy" else -1
    held[base] = held.get(base, Decimal(0)) + sign * event.amount
    held[quote] = held.get(quote, Decimal(0)) - sign * event.amount * event.price
    for one in event.trade_fee.flat_fees:
        account = Account("binance", one.token)
        held[account] = held.get(account, Decimal(0)) - one.amount
    run.add_fill("binance", event, mid)


@settings(max_examples=150)
@given(fill_rows, st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from(["USDT", "BTC"]))
def test_the_parts_add_up_exactly(rows, seed, gaps, quote_asset):
    run, _ = run_of(rows, seed, gaps, quote_asset)
    pnl = Analysis(run).pnl
    assert pnl.parts == pnl.total
    assert pnl.unexplained == 0


@settings(max_examples=50)
@given(fill_rows, st.integers(0, 10**6), st.decimals("-100", "100", places=4))
def test_a_deposit_is_unexplained_and_the_sum_stays_exact(rows, seed, deposit):
    run, held = run_of(rows, seed)
    run.final_balances = held | {QUOTE: held[QUOTE] + deposit}
    pnl = Analysis(run).pnl
    assert pnl.unexplained == deposit
    assert pnl.parts == pnl.total


@settings(max_examples=60)
@given(fill_rows, st.integers(0, 10**6), st.sampled_from([0.0, 0.3]))
def test_equity_from_fills_is_equity_from_balances(rows, seed, gaps):
    rows = [row for row in rows if row[5] is None or row[5][1] != "DOGE"]
    run, _ = run_of(rows, seed, gaps)
    analysis = Analysis(run)
    for at in (0, TICKS // 2, TICKS - 1):
        seen = [one for one in analysis.fills if one.record.event.timestamp <= analysis.times[at]]
        worth = 0.0
        for account in run.accounts:
            held = run.initial_balances.get(account, Decimal(0))
            held += sum((one.changes.get(account, Decimal(0)) for one in seen), Decimal(0))
            path = analysis.valuation.path(account)
            worth += float(held) * (float(path[at]) if path is not None else 0.0)
        assert analysis.equity[at] == pytest.approx(worth, rel=1e-9, abs=1e-6)


def test_one_buy_by_hand():
    run = BacktestRun(
        strategy="P",
        markets=[market()],
        accounts=[BASE, QUOTE],
        initial_balances={BASE: Decimal(2), QUOTE: Decimal(500)},
    )
    run.samples.add(START, [100.0], [2.0, 500.0])
    run.add_fill("binance", fill(START + 0.5, "buy", 99, 1, fee=("0.01", "BTC")), 101.0)
    run.samples.add(START + 1, [110.0], [2.99, 401.0])
    pnl = Analysis(run).pnl
    assert pnl == ProfitAndLoss(
        spread_captured=Decimal(2),
        inventory_revaluation=Decimal("8.91"),  # 0.99 BTC from 101 to 110
        holdings_revaluation=Decimal(20),
        fees=Decimal("1.01"),
        unexplained=Decimal(0),
        initial_equity=Decimal(700),
        final_equity=Decimal("729.9"),
        unvalued=(),
    )


def test_a_fee_in_an_asset_without_a_price_is_named():
    run = random_run(30, 0)
    run.final_balances = None
    run.add_fill("binance", fill(START + 5, "buy", 60_000, "0.01", fee=("0.1", "BNB")), 60_000.0)
    pnl = Analysis(run).pnl
    assert pnl.unvalued == ("BNB",)
    assert pnl.fees == 0
    assert pnl.parts == pnl.total


def test_a_fill_on_an_unrecorded_market_is_refused():
    run = random_run(30, 0)
    run.add_fill("binance", fill(START, "buy", 1, 1, pair="DOGE/USDT"))
    with pytest.raises(InvalidInput, match="DOGE/USDT, which is not among"):
        _ = Analysis(run).pnl


def test_precision_of_the_notebook_does_not_matter():
    import decimal

    run, _ = run_of([(START + 5, "buy", 0, Decimal("59999.12345"), Decimal("1.23456789"), None, 60_000.123)], 3)
    expected = Analysis(run).pnl
    with decimal.localcontext(decimal.Context(prec=5)):
        assert Analysis(run).pnl == expected
