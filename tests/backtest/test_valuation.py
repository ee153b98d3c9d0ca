from decimal import Decimal

import numpy as np

from kit.backtest.run_record import Account, BacktestRun
from kit.backtest.valuation import Valuation, exact, filled
from tests.support.backtest_runs import START, market

NAN = float("nan")


def valuation(markets, samples, quote_asset="USDT"):
    run = BacktestRun(strategy="V", markets=markets, accounts=[], initial_balances={}, quote_asset=quote_asset)
    for at, mids in enumerate(samples):
        run.samples.add(START + at, mids, [])
    return Valuation(run, run.samples.rows())


def test_gaps_take_the_value_before_and_at_the_start_the_first():
    assert filled(np.array([NAN, 2.0, NAN, 3.0, NAN])).tolist() == [2.0, 2.0, 2.0, 3.0, 3.0]
    assert np.isnan(filled(np.array([NAN, NAN]))).all()
    assert filled(np.array([])).tolist() == []


def test_a_chain_and_an_inverse():
    value = valuation([market("ETH/BTC"), market("USDT/EUR"), market("BTC/EUR")], [[0.05, 0.8, 40_000.0]])
    eth = Account("binance", "ETH")
    assert [hop.inverse for hop in value.route(eth)] == [False, False, True]
    assert value.value(eth, 0) == Decimal(2500)
    np.testing.assert_allclose(value.path(eth), [2500.0])


def test_the_own_exchange_prices_first_another_helps_out():
    value = valuation(
        [market("BTC/USDT", "a"), market("BTC/USDT", "b"), market("ETH/USDT", "b")], [[100.0, 200.0, 5.0]]
    )
    assert value.value(Account("a", "BTC"), 0) == Decimal(100)
    assert value.value(Account("b", "BTC"), 0) == Decimal(200)
    assert value.value(Account("a", "ETH"), 0) == Decimal(5)


def test_no_route_and_no_price_have_no_value():
    value = valuation([market("BTC/USDT"), market("ETH/USDT")], [[1.0, NAN]])
    for asset in ("DOGE", "ETH"):
        assert value.value(Account("binance", asset), 0) is None
        assert value.path(Account("binance", asset)) is None


def test_a_known_price_takes_the_samples_place():
    value = valuation([market()], [[100.0]])
    assert value.value(Account("binance", "BTC"), 0, {0: 101.5}) == Decimal("101.5")


def test_mid_at_is_the_latest_sample():
    value = valuation([market()], [[1.0], [2.0], [NAN]])
    assert [value.mid_at(0, START + at) for at in (-1, 0, 0.9, 1, 2, 9)] == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]


def test_exact_is_what_a_float_shows():
    assert exact(np.float64(0.1)) == Decimal("0.1")
