from decimal import Decimal

import numpy as np
import pytest

from kit.backtest.run_record import Account, BacktestRun, Market, Samples
from kit.errors import InvalidInput
from kit.types.market import TradingRule
from kit.types.orders import OrderType

RULE = TradingRule("BTC/USDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
MARKET = Market("binance", "BTC/USDT", RULE)
BASE, QUOTE = Account("binance", "BTC"), Account("binance", "USDT")


def run(**changes):
    options = {"markets": [MARKET], "accounts": [BASE, QUOTE], "initial_balances": {QUOTE: Decimal(1000)}}
    return BacktestRun(strategy="S", **(options | changes))


def test_samples_are_copied_in_order():
    samples = Samples(2, 1)
    mids, balances = [1.0, 2.0], [5.0]
    samples.add(10.0, mids, balances)
    mids[0] = 1.5
    samples.add(11.0, mids, balances)
    assert len(samples) == 2
    assert samples.rows().tolist() == [[10.0, 1.0, 2.0, 5.0], [11.0, 1.5, 2.0, 5.0]]


def test_rows_is_a_copy_and_load_takes_it_back():
    samples = Samples(1, 1)
    samples.add(1.0, [2.0], [3.0])
    rows = samples.rows()
    rows[0, 1] = 99.0
    assert samples.rows()[0, 1] == 2.0
    other = Samples(1, 1)
    other.load(samples.rows())
    np.testing.assert_array_equal(other.rows(), samples.rows())


def test_a_tick_with_too_few_values_is_told():
    samples = Samples(2, 1)
    samples.add(1.0, [2.0], [3.0])
    with pytest.raises(InvalidInput, match="no multiple of 4"):
        samples.rows()


def test_times_must_rise():
    samples = Samples(1, 0)
    for time in (1.0, 2.0, 2.0):
        samples.add(time, [1.0], [])
    with pytest.raises(InvalidInput, match=r"2\.000000 s came after 2\.000000"):
        samples.rows()


def test_no_samples_are_rows_of_the_right_width():
    assert Samples(1, 2).rows().shape == (0, 4)


def test_quote_asset_defaults_to_the_first_market():
    assert run().quote_asset == "USDT"
    assert run(quote_asset="BTC").quote_asset == "BTC"


def test_balances_of_unknown_accounts_and_no_markets_are_refused():
    with pytest.raises(InvalidInput, match="not sampled"):
        run(initial_balances={Account("kraken", "EUR"): Decimal(1)})
    with pytest.raises(InvalidInput, match="at least one market"):
        run(markets=[])


def test_decisions_keep_their_words():
    record = run()
    record.add_decision(1.0, "binance", "place", "x1", "BTC/USDT", "buy", OrderType.LIMIT, Decimal(5), Decimal(1))
    record.add_decision(2.0, "binance", "cancel", "x1", "BTC/USDT")
    assert [(row.action, row.type, row.price) for row in record.decisions] == [
        ("place", "limit", Decimal(5)),
        ("cancel", "", None),
    ]
