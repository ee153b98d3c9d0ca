"""A wrong secret: trading is refused with the reason, market data goes on."""

from decimal import Decimal

import pytest

import kit
from kit.errors import AuthenticationFailed, OrderNotFound
from tests.support.stack import ASK, PAIR, Stack, until


@pytest.fixture(params=["secret", "key"])
async def refused(testnet, request):
    """A core whose connector was given a wrong secret, or a key that the exchange does not know."""
    await testnet.set_limits()
    right = testnet.credentials
    wrong = kit.Credentials(right.api_key, "not the secret")
    if request.param == "key":
        wrong = kit.Credentials("k" * 64, right.secret)
    core = kit.TradingCore(f"wrong {request.param}", tick_size=0.1, guard=False)
    market = await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet, credentials=wrong)
    yield Stack(testnet, core, market)
    assert (await core.stop()).clean


class Idle(kit.Strategy):
    """Does nothing."""

    def on_tick(self, timestamp: float) -> None:
        """Do nothing."""


async def test_trading_is_refused_with_the_reason(refused):
    market = refused.market
    assert "AuthenticationFailed" in market.trading_refused
    assert not market.ready
    assert not market.readiness["account"]
    assert refused.told("trading_refused") == market.trading_refused
    with pytest.raises(AuthenticationFailed, match="refuses to trade"):
        market.buy(PAIR, Decimal("0.01"), kit.OrderType.LIMIT, Decimal(59_000))
    with pytest.raises(OrderNotFound):  # cancelling is never refused for the key's sake
        market.cancel(PAIR, "x" * 18)
    assert await market.cancel_all() == []
    assert "not the secret" not in f"{market.status} {refused.core.status} {market!r}"


async def test_market_data_goes_on(refused):
    book = refused.market.get_order_book(PAIR)
    before = refused.book
    await refused.stir()
    await until(lambda: refused.book.diffs > before.diffs and refused.book.trades > before.trades, "book and trades")
    assert book.last_trade_price == float(ASK)
    assert refused.market.order_book_tracker.ready


async def test_a_strategy_does_not_start(refused):
    refused.core.strategy = Idle(refused.market, PAIR)
    with pytest.raises(AuthenticationFailed, match="refuses to trade"):
        await refused.core.start()
    assert not refused.core.running
    refused.core.strategy = None
    await refused.core.start()
    await until(lambda: refused.core.clock.stats.ticks >= 2, "the clock ticks for market data alone")


async def test_asking_again_with_the_right_secret_trades(refused):
    core = refused.core
    market = await core.add_connector("binance", [PAIR], mode="live", endpoint=refused.testnet)
    assert market is not refused.market
    assert market.ready
    order_id = market.buy(PAIR, Decimal("0.01"), kit.OrderType.LIMIT, Decimal(59_000))
    await until(lambda: market.in_flight_orders[order_id].acknowledged, "the order rests")
