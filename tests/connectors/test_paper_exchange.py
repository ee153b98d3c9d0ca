"""A paper account over a market that the test decides, in time that the test moves."""

import asyncio
import logging
from decimal import Decimal as D

import pytest

from kit.connectors.paper_exchange import PaperExchange
from kit.connectors.paper_settings import PaperSettings
from kit.core.clock import ManualTime
from kit.errors import InvalidInput, NetworkUnavailable, NotReady
from kit.simulation.fees import Fees
from kit.simulation.latency import ConstantLatency
from kit.simulation.queue_models import LogProb, RiskAverse
from kit.types.market import OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost, TradeType
from kit.types.orders import (
    Balance,
    BalanceUpdate,
    CancelRequest,
    OrderRequest,
    OrderType,
    OrderUpdate,
    TradeUpdate,
    UserStreamStatus,
)
from tests.support.fake_venue import PAIR, FakeVenue

START = 1_700_000_000.0


class Paper:
    def __init__(self, balances=None, **models):
        self.time = ManualTime(START)
        self.market = FakeVenue()
        self.exchange = PaperExchange(
            self.market, PaperSettings.checked(balances, **models), name="binance", time_source=self.time
        )
        self.heard, self.seen = [], []
        self.exchange.attach_account_sink(self.heard.append)
        self.exchange.attach_market_sink(self.seen.append)

    async def open(self):
        await self.exchange.subscribe([PAIR])
        await self.exchange.open_user_stream()
        return self

    def send(self, client_id, side=TradeType.BUY, price="100", amount="1", kind=OrderType.LIMIT):
        limit = D(price) if kind.is_limit else None
        self.exchange.submit(OrderRequest(client_id, PAIR, side, kind, D(amount), limit))

    def of(self, kind):
        return [message for message in self.heard if isinstance(message, kind)]

    def states(self, client_id):
        return [update.state.value for update in self.of(OrderUpdate) if update.client_order_id == client_id]

    def trade(self, price, amount, side=TradeType.SELL):
        self.market.emit(PublicTrade(PAIR, "t", 0.0, side, price, amount))

    @property
    def told(self):
        return self.exchange.status()["paper"]


@pytest.fixture
async def paper():
    paper = await Paper({"USDT": 10_000, "BTC": "2"}, queue=RiskAverse()).open()
    yield paper
    await paper.exchange.close()
    assert paper.told["errors"] == 0


async def test_the_market_is_handed_on_untouched(paper):
    assert isinstance(paper.seen[0], OrderBookSnapshot)
    paper.trade(100.0, 1.0)
    assert isinstance(paper.seen[-1], PublicTrade)
    assert await paper.exchange.fetch_last_prices([PAIR]) == {PAIR: 100.5}
    assert await paper.exchange.fetch_server_time() == 0.0
    assert paper.exchange.status()["fake"] is True


async def test_an_order_waits_in_its_queue_and_is_filled_by_the_tape_at_its_time(paper):
    assert paper.of(UserStreamStatus)[0].connected
    paper.send("a")  # behind 5.0 at 100
    await paper.time.advance(0.099)
    assert paper.of(OrderUpdate) == []
    await paper.time.advance(0.002)
    assert paper.states("a") == ["open"]
    paper.trade(100.0, 4.0)
    await paper.time.advance(1.0)
    assert paper.of(TradeUpdate) == []
    paper.trade(100.0, 1.4)
    await paper.time.advance(0.049)
    assert paper.of(TradeUpdate) == []
    await paper.time.advance(0.002)
    (fill,) = paper.of(TradeUpdate)
    assert (fill.amount, fill.price, fill.is_maker) == (D("0.4"), 100, True)
    assert fill.timestamp == pytest.approx(START + 1.101)
    assert paper.states("a") == ["open", "partially_filled"]
    assert (await paper.exchange.fetch_balances())["BTC"] == Balance(D("2.3996"), D("2.3996"))


async def test_a_level_that_shrinks_moves_the_queue_and_a_new_best_price_fills(paper):
    paper.send("a")
    await paper.time.advance(0.2)
    update_id = paper.seen[0].update_id
    paper.market.emit(OrderBookDiff(PAIR, update_id + 1, 0.0, ((100.0, 1.0), (99.0, 3.0)), (), update_id + 1))
    paper.trade(100.0, 1.5)
    await paper.time.advance(0.2)
    assert paper.of(TradeUpdate)[0].amount == D("0.5")
    paper.market.emit(OrderBookDiff(PAIR, update_id + 2, 0.0, ((100.0, 0.0),), ((100.0, 2.0),), update_id + 2))
    await paper.time.advance(0.2)
    assert paper.states("a")[-1] == "filled"


async def test_takers_walk_the_book_that_is_there_when_they_arrive(paper):
    paper.send("a", kind=OrderType.MARKET)
    await paper.time.advance(0.2)
    assert [(fill.price, fill.amount, fill.is_maker) for fill in paper.of(TradeUpdate)] == [(101, 1, False)]
    assert {update.asset for update in paper.of(BalanceUpdate)} == {"USDT", "BTC"}


@pytest.mark.parametrize("how", ["lost", "gap", "unsubscribed"])
async def test_nothing_fills_in_a_gap_and_after_it_what_the_snapshot_shows(paper, how):
    paper.send("a", price="100.5")
    await paper.time.advance(0.2)
    update_id = paper.seen[0].update_id
    if how == "lost":
        paper.market.emit(StreamLost(PAIR, 0.0, "planned"))
    elif how == "gap":
        paper.market.emit(OrderBookDiff(PAIR, update_id + 9, 0.0, ((99.0, 1.0),), (), update_id + 9))
    else:
        await paper.exchange.unsubscribe([PAIR])
    assert paper.told["books_known"] == {PAIR: False}
    paper.trade(90.0, 100.0)
    paper.send("b")
    await paper.time.advance(1.0)
    assert paper.of(TradeUpdate) == []
    assert paper.states("b") == ["failed"]
    assert paper.of(OrderUpdate)[-1].error == "NotReady"
    paper.exchange.cancel(CancelRequest("b", PAIR))
    await paper.time.advance(1.0)
    paper.market.books[PAIR] = ((99.0, 5.0), (100.0, 5.0))
    snapshot = await paper.exchange.fetch_order_book(PAIR)
    if how == "unsubscribed":
        paper.market.emit(snapshot)
    if how == "gap":
        paper.market.emit(OrderBookSnapshot(PAIR, update_id + 20, 0.0, ((99.0, 5.0),), ((100.0, 5.0),)))
    await paper.time.advance(1.0)
    # The market went through our price meanwhile.
    assert [(fill.price, fill.amount) for fill in paper.of(TradeUpdate)] == [(D("100.5"), 1)]
    assert paper.told["books_known"] == {PAIR: True}


async def test_trades_reach_resting_orders_while_nobody_else_asks(paper):
    """With nothing resting rows may wait; with something resting they go to the engine within 25 ms."""
    paper.send("a", price="100.5")
    await paper.time.advance(0.2)
    before = paper.told["batches"]
    paper.trade(100.5, 0.5)
    await paper.time.advance(0.026)
    assert paper.told["batches"] == before + 1
    await paper.time.advance(0.026)
    assert paper.of(TradeUpdate)[0].amount == D("0.5")


async def test_orders_before_the_account_is_open_are_refused():
    paper = Paper()
    with pytest.raises(NotReady, match="not open yet"):
        paper.send("a")
    await paper.open()
    paper.send("a")
    await paper.exchange.close()
    with pytest.raises(NotReady, match="closed"):
        paper.send("b")
    await paper.time.advance(1.0)
    assert paper.of(OrderUpdate) == []
    assert paper.market.closed == 1


async def test_questions_open_the_account_by_themselves():
    paper = Paper()
    await paper.exchange.subscribe([PAIR])
    first, second = await asyncio.gather(paper.exchange.fetch_balances(), paper.exchange.fetch_open_orders(PAIR))
    assert (first, second) == ({"USDT": Balance(D(10_000), D(10_000))}, [])
    assert await paper.exchange.query(CancelRequest("x", PAIR)) is None
    assert await paper.exchange.fetch_fills(PAIR, 0.0) == []
    await paper.exchange.close()


async def test_without_balances_there_are_10000_of_each_quote_asset_and_the_status_says_so(paper):
    default = await Paper().open()
    assert default.told["starting_balances"] == {"USDT": "10000"}
    assert default.told["balances_given"] is False
    await default.exchange.subscribe(["ETH/USDT"])
    assert (await default.exchange.fetch_balances()) == {"USDT": Balance(D(10_000), D(10_000))}
    await default.exchange.close()
    assert paper.told["starting_balances"] == {"USDT": "10000", "BTC": "2"}
    assert paper.told["queue"] == "RiskAverse()"


async def test_a_reconnect_keeps_money_and_orders(paper):
    paper.send("a")
    paper.send("b", kind=OrderType.MARKET)
    await paper.time.advance(0.2)
    await paper.exchange.close_user_stream()
    await paper.exchange.unsubscribe([PAIR])
    before = await paper.exchange.fetch_balances()
    await paper.time.advance(10)
    await paper.open()
    assert await paper.exchange.fetch_balances() == before
    assert [update.client_order_id for update in await paper.exchange.fetch_open_orders(PAIR)] == ["a"]
    await paper.exchange.fetch_order_book(PAIR)
    paper.exchange.cancel(CancelRequest("a", PAIR))
    await paper.time.advance(0.2)
    assert paper.states("a") == ["open", "canceled"]


async def test_the_wall_clock_may_be_set_back(paper):
    paper.time.step_wall(-3600)
    paper.send("a")
    await paper.time.advance(0.2)
    assert paper.states("a") == ["open"]
    assert paper.of(OrderUpdate)[0].timestamp > START


async def test_no_latency_answers_with_the_next_look():
    paper = await Paper(latency=0).open()
    paper.send("a")
    await paper.time.advance(0.001)
    assert paper.states("a") == ["open"]
    await paper.exchange.close()


async def test_a_defect_while_time_passes_is_logged_and_counted_and_the_account_goes_on(caplog):
    paper = await Paper().open()
    paper.send("a")

    def fail(message):
        paper.exchange.attach_account_sink(paper.heard.append)
        raise ZeroDivisionError("planned")

    paper.exchange.attach_account_sink(fail)
    with caplog.at_level(logging.ERROR):
        await paper.time.advance(0.2)
    assert "could not be brought up to date" in caplog.text
    assert paper.told["errors"] == 1
    paper.send("b", price="99")
    await paper.time.advance(0.2)
    assert paper.states("b") == ["open"]
    await paper.exchange.close()


def test_settings_are_equal_when_they_say_the_same():
    first = PaperSettings.checked({"USDT": 1, "BTC": 0.5}, latency=0.1, fees=None)
    assert first == PaperSettings.checked({"BTC": "0.5", "USDT": D(1)}, latency=ConstantLatency(0.1, 0.1))
    assert first != PaperSettings.checked({"BTC": "0.5", "USDT": D(2)}, latency=ConstantLatency(0.1, 0.1))
    assert first != PaperSettings.checked(latency=0.1)


def test_models_are_given_as_to_a_backtest():
    class Slow:
        response_floor_ns = 0

        def entry(self, sent_ns):
            return 5

        response = rejection = entry

    slow = Slow()
    given = PaperSettings.checked(fees=0.001, queue="LogProb", latency=slow)
    assert given.fees == Fees(D("0.001"), D("0.001"))
    assert given.queue == LogProb()
    assert given == PaperSettings.checked(fees=0.001, queue="LogProb", latency=slow)
    assert given != PaperSettings.checked(fees=0.001, queue="LogProb", latency=Slow())
    with pytest.raises(InvalidInput, match="LogProb"):
        PaperSettings.checked(queue="LogProbb")


async def test_balances_of_unknown_assets_teach():
    paper = Paper({"DOGE": 1})
    with pytest.raises(InvalidInput, match="'DOGE', which binance does not trade; it trades BTC, ETH, USDT"):
        await paper.exchange.prepare()
    assert paper.market.subscribed == set()


async def test_an_account_that_slept_wakes_on_the_pairs_that_are_streamed():
    time, market, seen, heard = ManualTime(START), FakeVenue(), [], []
    exchange = PaperExchange(market, PaperSettings.checked(), name="binance", time_source=time, asleep=True)
    exchange.attach_market_sink(seen.append)
    exchange.attach_account_sink(heard.append)
    await exchange.subscribe([PAIR, "ETH/USDT"])
    await exchange.unsubscribe(["ETH/USDT"])
    assert len(seen) == 2
    assert "paper" not in exchange.status()
    with pytest.raises(NotReady, match="not open yet"):
        exchange.submit(OrderRequest("a", PAIR, TradeType.BUY, OrderType.LIMIT, D(1), D(100)))
    await exchange.wake()
    await exchange.wake()
    await exchange.open_user_stream()
    assert exchange.status()["paper"]["books_known"] == {PAIR: True}
    exchange.submit(OrderRequest("a", PAIR, TradeType.BUY, OrderType.LIMIT, D(1), D(100)))
    await time.advance(1.0)
    assert [message.state.value for message in heard if isinstance(message, OrderUpdate)] == ["open"]
    await exchange.close()


async def test_an_account_that_could_not_wake_for_a_lost_line_wakes_on_every_pair_later():
    time, market = ManualTime(START), FakeVenue()
    exchange = PaperExchange(market, PaperSettings.checked(), name="binance", time_source=time, asleep=True)
    await exchange.subscribe([PAIR, "ETH/USDT"])
    market.offline = True
    with pytest.raises(NetworkUnavailable):
        await exchange.wake()
    market.offline = False
    await exchange.wake()
    await exchange.open_user_stream()
    assert exchange.status()["paper"]["books_known"] == {PAIR: True, "ETH/USDT": True}
    await exchange.close()
