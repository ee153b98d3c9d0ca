"""Market making on paper over a testnet's live market: the tape explains what it trades, the exchange knows nothing."""

import asyncio
from decimal import Decimal

import pytest

import kit
from kit.testnet import Testnet
from kit.types.events import MarketEvent
from tests.support.stack import PAIR, until

MONEY = {"USDT": 10_000, "BTC": "0.5"}


@pytest.fixture(scope="module")
def testnet():
    async def start():
        return await Testnet.start(name="paper", seed=7)

    testnet = asyncio.run(start())
    yield testnet
    testnet.stop_now()


@pytest.fixture
async def core():
    core = kit.TradingCore("paper", tick_size=0.25)
    yield core
    assert (await core.stop()).clean


async def connect(core, testnet, **options):
    options = {"balances": MONEY} | options
    return await core.add_connector("binance", [PAIR], mode="paper", endpoint=testnet, timeout=60, **options)


class Tape:
    """The public trades and touches as the connector shows them, in the order in which they came, and the fills.

    Their times say nothing where a machine is busy: what came late comes all at once.
    """

    NEAR = 20
    """So many lines before an order was sent and after its fill was told may explain the fill, too."""

    def __init__(self, market):
        self.lines, self.fills = [], []
        self._placed, self._filled = {}, []
        self._tracker = market.order_book_tracker
        market.buy, market.sell = self._noting(market.buy), self._noting(market.sell)
        market.pubsub.add_listener(MarketEvent.Trade, lambda trade: self.lines.append((trade.type, trade.price)))
        market.pubsub.add_listener(MarketEvent.OrderFilled, self._on_fill)
        book = market.get_order_book(PAIR)
        market.order_book_tracker.on_update = lambda _: self._on_touch(book.best_bid[0], book.best_ask[0])

    def _noting(self, place):
        def noted(*args, **options):
            order_id = place(*args, **options)
            self._placed[order_id] = len(self.lines)
            return order_id

        return noted

    def _on_fill(self, event):
        """Note where: the account hears a message at once, the book when those before it are done, two lines each."""
        self.fills.append(event)
        self._filled.append(len(self.lines) + 2 * self._tracker.backlog)

    def _on_touch(self, bid, ask):
        """Who quotes at a price would sell or buy there."""
        self.lines += [(kit.TradeType.BUY, bid), (kit.TradeType.SELL, ask)]

    def explains(self, number):
        """Tell whether while an order rested somebody traded at its fill's price or beyond, or quoted through it."""
        fill = self.fills[number]
        price, buys = float(fill.price), fill.trade_type is kit.TradeType.BUY
        since, till = self._placed[fill.order_id] - self.NEAR, self._filled[number] + self.NEAR
        takers = kit.TradeType.SELL if buys else kit.TradeType.BUY
        prices = [at for side, at in self.lines[max(since, 0) : till] if side is takers]
        return any(at <= price if buys else at >= price for at in prices)


async def test_market_making_on_paper_fills_at_prices_that_the_tape_explains(core, testnet):
    before = (await testnet.ledger()).balances
    market = await connect(core, testnet)
    tape = Tape(market)
    core.strategy = kit.PureMarketMaking(
        market,
        PAIR,
        bid_spread="0.0001",
        ask_spread="0.0001",
        order_amount="0.01",
        order_refresh_time=3,
        filled_order_delay=0.5,
    )
    await core.start()
    await until(lambda: len(tape.fills) >= 4, "four fills", 300)
    core.strategy = None
    await until(lambda: not market.in_flight_orders, "all orders cancelled")
    lines = len(tape.lines)
    await until(lambda: len(tape.lines) > lines + tape.NEAR, "the lines after the last fill")
    for number, fill in enumerate(tape.fills):
        assert tape.explains(number), fill
    # Every unit is accounted for, and all of it on paper.
    expected = {"USDT": Decimal(10_000), "BTC": Decimal("0.5")}
    for fill in tape.fills:
        sign = 1 if fill.trade_type is kit.TradeType.BUY else -1
        expected["BTC"] += sign * fill.amount - fill.trade_fee.amount_of("BTC")
        expected["USDT"] -= sign * fill.amount * fill.price + fill.trade_fee.amount_of("USDT")
    await until(lambda: market.get_available_balance("USDT") == expected["USDT"], "the last balances")
    assert {asset: market.get_balance(asset) for asset in expected} == expected
    assert {asset: market.get_available_balance(asset) for asset in expected} == expected
    assert await testnet.open_orders() == []
    assert (await testnet.ledger()).balances == before
    assert await testnet.fills() == []
    assert not market.order_tracker.orders_in_doubt
    assert market.pubsub.error_count == 0
    told = market.status["port"]["paper"]
    assert told["starting_balances"] == {"USDT": "10000", "BTC": "0.5"}
    assert told["errors"] == 0
    assert len(core.fills) == len(tape.fills)


async def test_asking_again_hands_back_the_account_and_other_money_replaces_it(core, testnet):
    market = await connect(core, testnet)
    order_id = market.buy(PAIR, Decimal("0.01"), price=market.get_mid_price(PAIR) * Decimal("0.9"))
    await until(lambda: market.in_flight_orders[order_id].exchange_order_id, "the order rests")
    await until(lambda: market.get_available_balance("USDT") < 10_000, "the money is held")
    again = await connect(core, testnet, balances={"BTC": 0.5, "USDT": "10000"})
    assert again is market
    assert list(market.in_flight_orders) == [order_id]
    other = await connect(core, testnet, balances={"USDT": 5})
    assert other is not market
    assert other.get_balance("USDT") == 5
    assert other.get_balance("BTC") == 0
    assert market.order_tracker.fetch_order(order_id).current_state is kit.OrderState.CANCELED


async def test_a_lost_stream_is_survived_on_paper(core, testnet):
    market = await connect(core, testnet)
    await testnet.fault("cut_market", seconds=1.0)
    await until(lambda: not market.ready, "the loss is noticed")
    await until(lambda: market.ready, "ready again")
    order_id = market.sell(PAIR, Decimal("0.01"), kit.OrderType.MARKET)
    order = market.order_tracker.fetch_order(order_id)
    await until(lambda: order.is_filled, "filled on the new stream")
