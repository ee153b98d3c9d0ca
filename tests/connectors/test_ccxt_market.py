"""Market data of ccxt's Binance class over real sockets, undisturbed and disturbed."""

import asyncio
import logging
import math

import pytest
import pytest_asyncio

from kit.connectors import ccxt_exchange, ccxt_market_streams
from kit.connectors.ccxt_exchange import CcxtExchange, redirect
from kit.core.tasks import TaskSupervisor
from kit.errors import (
    InvalidInput,
    MissingCredentials,
    NetworkUnavailable,
    NotReady,
    NotSupported,
    RateLimited,
    UnknownExchange,
    UnknownPair,
)
from kit.market.order_book import OrderBook
from kit.testnet import Testnet
from kit.types.market import OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost, TradeType
from tests.support.ccxt_frames import PAIR
from tests.support.ccxt_venue import eventually, side

OTHER = "ETH/USDT"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def testnet():
    async with await Testnet.start(name="ccxt market") as testnet:
        yield testnet


@pytest.fixture
async def venue(testnet):
    async with side(testnet) as venue:
        yield venue


@pytest.fixture(autouse=True)
def fast_watchdog(monkeypatch):
    monkeypatch.setattr(ccxt_exchange, "_WATCH_INTERVAL", 0.05)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine takes longer than 3 s to end a subscription, and no connection is to be given up for that."""
    monkeypatch.setattr(ccxt_market_streams, "_UNWATCH_TIMEOUT", 60.0)


async def same_book(venue, pair=PAIR):
    """Freeze the market and check that the streamed book is the exchange's."""
    await venue.testnet.freeze_flow()
    try:
        real = await venue.exchange.fetch_order_book(pair)
        await eventually(lambda: venue.book(pair).update_id >= real.update_id, "the stream has caught up")
        real = await venue.exchange.fetch_order_book(pair)
        bids, asks = venue.book(pair).sides()
        depth = min(len(real.bids), len(real.asks), 500)
        assert depth > 20
        assert bids[:depth] == sorted(real.bids, reverse=True)[:depth]
        assert asks[:depth] == sorted(real.asks)[:depth]
    finally:
        await venue.testnet.resume_flow()


def lost(venue, pair=PAIR):
    return venue.of(StreamLost, pair)


async def recovered(venue, pair=PAIR, timeout=60.0):
    """Wait for a loss and for the snapshot after it."""

    def snapshot_after_loss():
        messages = [one for one in venue.market if one.trading_pair == pair]
        last = max((index for index, one in enumerate(messages) if isinstance(one, StreamLost)), default=None)
        if last is None:
            return False
        return any(isinstance(one, OrderBookSnapshot) for one in messages[last:])

    await eventually(snapshot_after_loss, "a loss and a snapshot after it", timeout)


# undisturbed


async def test_the_streamed_book_is_the_exchanges_book(venue):
    await venue.streaming(PAIR, OTHER)
    await eventually(lambda: len(venue.of(OrderBookDiff, PAIR)) >= 10, "ten updates")
    await same_book(venue, PAIR)
    await same_book(venue, OTHER)
    assert lost(venue) == []
    book = OrderBook(PAIR)
    for message in venue.market:
        if isinstance(message, OrderBookSnapshot) and message.trading_pair == PAIR:
            book.apply_snapshot(message)
        elif isinstance(message, OrderBookDiff) and message.trading_pair == PAIR:
            book.apply_diff(message)  # raises on a gap


async def test_all_streams_share_one_connection(venue):
    await venue.streaming(PAIR, OTHER)
    assert venue.exchange.status()["connections"] == 1


async def last_trade(venue):
    """Return the id of the last trade of a market that stands still; the kit's own question tells aggregates' ids."""
    data, params = venue.exchange._session.data, {"fetchTradesMethod": "publicGetTrades"}
    return max((int(one["id"]) for one in await data.fetch_trades(PAIR, None, 1, params)), default=0)


async def test_trades_are_told_with_the_takers_side(venue):
    await venue.streaming()
    await venue.testnet.freeze_flow()
    best = await venue.exchange.fetch_order_book(PAIR)
    last = await last_trade(venue)
    await venue.testnet.trade(PAIR, TradeType.BUY, "0.00123")
    await venue.testnet.trade(PAIR, TradeType.SELL, "0.00321")

    def told():
        return [one for one in venue.of(PublicTrade) if int(one.trade_id) > last]

    await eventually(lambda: math.isclose(sum(one.amount for one in told()), 0.00444), "all that was traded")
    bought = [one for one in told() if one.side is TradeType.BUY]
    sold = [one for one in told() if one.side is TradeType.SELL]
    await venue.testnet.resume_flow()
    assert math.isclose(sum(one.amount for one in bought), 0.00123)
    assert math.isclose(sum(one.amount for one in sold), 0.00321)
    assert (bought[0].price, sold[0].price) == (min(best.asks)[0], max(best.bids)[0])


async def test_questions(venue):
    prices = await venue.exchange.fetch_last_prices([PAIR, OTHER])
    assert set(prices) == {PAIR, OTHER}
    assert (await venue.exchange.fetch_last_prices([PAIR]))[PAIR] > 0
    rules = await venue.exchange.fetch_trading_rules()
    assert rules[PAIR].exchange_symbol == "BTCUSDT"
    book = await venue.exchange.fetch_order_book(PAIR)
    assert max(book.bids)[0] < min(book.asks)[0]


async def test_subscribing_twice_is_once(venue):
    await venue.streaming()
    await venue.exchange.subscribe([PAIR])
    await eventually(lambda: len(venue.of(PublicTrade)) > 5, "trades")
    ids = [one.trade_id for one in venue.of(PublicTrade)]
    assert len(ids) == len(set(ids))
    assert len(venue.of(OrderBookSnapshot)) == 1


async def test_one_pair_goes_and_the_other_stays(venue):
    await venue.streaming(PAIR, OTHER)
    await venue.exchange.unsubscribe([OTHER])
    await venue.exchange.unsubscribe([OTHER])
    venue.market.clear()
    await eventually(lambda: len(venue.of(OrderBookDiff, PAIR)) > 3, "updates of the pair that stays")
    assert venue.of(OrderBookDiff, OTHER) == []
    assert lost(venue) == []
    await venue.streaming(OTHER)
    venue.market.clear()
    await venue.exchange.unsubscribe([OTHER])
    await venue.streaming(OTHER)
    await eventually(lambda: venue.of(OrderBookDiff, OTHER), "updates after subscribing again")


async def test_the_status(venue):
    await venue.streaming()
    await eventually(lambda: venue.of(PublicTrade), "a trade")
    status = venue.exchange.status()
    assert status["streams"][f"book {PAIR}"]["up"]
    assert 0 <= status["streams"][f"book {PAIR}"]["age"] < 30
    assert status["frames"] > 0
    assert (status["bad_frames"], status["reconnects"], status["sink_errors"]) == (0, 0, 0)
    assert 0 < status["round_trip"] < 30
    assert abs(status["clock_offset"]) <= status["round_trip"] / 2 + 0.1
    used, allowed = status["limits"]["usage"]["weight"]
    assert 0 < used < allowed == 5400


# disturbed


async def test_an_undecodable_frame(venue):
    await venue.streaming()
    await venue.testnet.fault("undecodable")
    await recovered(venue)
    await same_book(venue)
    status = venue.exchange.status()
    assert (status["bad_frames"], status["reconnects"]) == (1, 1)
    assert status["last_bad_frame"]
    assert len(lost(venue)) == 1


async def test_a_cut_connection(venue):
    await venue.streaming(PAIR, OTHER)
    await venue.testnet.fault("cut_market")
    await recovered(venue, PAIR)
    await recovered(venue, OTHER)
    await same_book(venue)
    assert len(lost(venue, PAIR)) == len(lost(venue, OTHER)) == 1
    count = len(venue.of(PublicTrade))
    await eventually(lambda: len(venue.of(PublicTrade)) > count, "trades go on")


async def test_an_exchange_that_refuses_new_connections_for_a_while(venue):
    await venue.streaming()
    assert venue.exchange.is_streaming(PAIR)
    await venue.testnet.fault("cut_market", seconds=600)
    await eventually(lambda: venue.exchange.status()["streams"][f"book {PAIR}"]["failures"] >= 2, "refusals")
    assert not venue.exchange.is_streaming(PAIR)
    await venue.testnet.clear_faults()
    await recovered(venue)
    assert venue.exchange.is_streaming(PAIR)
    assert not venue.exchange.is_streaming("DOGE/USDT")
    await same_book(venue)


async def test_a_gap(venue):
    await venue.streaming()
    await venue.testnet.fault("gap", on="btcusdt@depth*", count=3)  # in a row: one gap, seen also where one is covered
    await recovered(venue)
    await same_book(venue)
    assert [one.reason for one in lost(venue)] == ["ChecksumError"]
    status = venue.exchange.status()
    assert status["reconnects"] == 0, ("the connection stands; only the book begins anew", status)


async def test_a_failing_snapshot(venue):
    await venue.testnet.fault("error", on="depth", status=503, count=2)
    await venue.exchange.subscribe([PAIR])
    await eventually(lambda: venue.of(OrderBookSnapshot, PAIR), "a snapshot in the end")
    await same_book(venue)


async def test_a_silent_stream(venue):
    await venue.streaming()
    await venue.testnet.fault("silent_stream", on="btcusdt@depth*", seconds=600)
    streams = venue.exchange._streams
    streams._silence_after = streams._pairs[PAIR].silence = 0.4
    await eventually(lambda: lost(venue), "the silence is noticed")
    assert "silent" in lost(venue)[0].reason
    assert venue.exchange.status()["silent"] >= 1
    streams._silence_after = streams._pairs[PAIR].silence = 30.0
    await venue.testnet.clear_faults()
    await recovered(venue)
    count = len(venue.of(OrderBookDiff, PAIR))
    await eventually(lambda: len(venue.of(OrderBookDiff, PAIR)) > count, "updates")
    await same_book(venue)


async def test_a_pair_that_does_not_trade_is_left_alone_longer_and_longer(venue):
    venue.exchange._streams._silence_after = 0.2
    await venue.streaming()
    await venue.testnet.freeze_flow()
    streams = venue.exchange._streams._pairs[PAIR]
    try:
        await eventually(lambda: streams.silence >= 1.6, "three tries, each after twice the time")
        assert len(lost(venue)) >= 3
    finally:
        await venue.testnet.resume_flow()
    venue.market.clear()
    await eventually(lambda: venue.of(OrderBookDiff, PAIR), "updates")
    await eventually(lambda: streams.silence == 0.2, "no more patience than before")


async def test_a_black_hole_is_found_by_the_missing_pong(venue):
    venue.exchange._session.data.streaming["keepAlive"] = 500
    await venue.streaming()
    # A machine that stands still for a second loses the stream without any hole: what is up here will be lost once.
    await eventually(lambda: venue.exchange.is_streaming(PAIR), "the stream is up")
    before = len(lost(venue))
    await venue.testnet.fault("black_hole", on="market", via="stream", seconds=600)
    await eventually(lambda: len(lost(venue)) > before, "the hole is found")
    assert "ping-pong" in lost(venue)[-1].reason
    venue.exchange._session.data.streaming["keepAlive"] = 30_000
    await venue.testnet.clear_faults()
    venue.exchange._streams._pairs[PAIR].silence = 1.5  # a subscription that the hole swallowed is found by its silence
    await recovered(venue)
    await same_book(venue)


async def test_a_pump_that_ends_takes_no_other_with_it(venue):
    """ccxt's waiters share futures: whoever cancels one cancels all who wait on it."""
    await venue.streaming(PAIR, OTHER)
    for _ in range(3):
        await venue.exchange.unsubscribe([OTHER])
        await venue.streaming(OTHER)
    assert lost(venue, PAIR) == []


async def test_a_failing_listener_cuts_nothing(venue, caplog):
    caplog.set_level(logging.CRITICAL)
    await venue.streaming()

    def fails(message):
        raise ValueError("a listener's defect")

    venue.exchange.attach_market_sink(fails)
    await eventually(lambda: venue.exchange.status()["sink_errors"] > 2, "errors counted")
    assert venue.exchange.status()["bad_frames"] == 0
    assert lost(venue) == []


async def test_questions_against_a_disturbed_exchange(venue):
    await venue.exchange.fetch_trading_rules()
    for kind, options, error in (
        ("drop_before", {"count": 2}, NetworkUnavailable),  # aiohttp asks once more by itself
        ("junk", {}, NetworkUnavailable),
        ("truncate", {}, NetworkUnavailable),
        ("error", {"status": 503}, NetworkUnavailable),
        ("error", {"status": 429, "code": -1003}, RateLimited),
    ):
        await venue.testnet.clear_faults()  # what was to strike twice may have struck once, over a new connection
        await venue.testnet.fault(kind, on="depth", **options)
        venue.exchange._session.limits.throttler.pause(0.0)
        with pytest.raises(error) as caught:
            await venue.exchange.fetch_order_book(PAIR)
        assert "symbol=" not in str(caught.value)
    assert venue.exchange.status()["limits"]["refusals"] == 1


async def test_the_clock_is_the_exchanges(testnet):
    await testnet.fault("skew", offset=90.0)  # more than the window of a request
    async with side(testnet) as venue:
        await venue.streaming()
        status = venue.exchange.status()
        assert abs(status["clock_offset"] - 90) <= status["round_trip"] / 2 + 0.1
        assert venue.exchange._session.data.options.get("timeDifference", 0) == 0
        assert await venue.exchange.fetch_balances(), "a signed request within the exchange's window"


# wrong use


async def test_an_unknown_exchange():
    with pytest.raises(UnknownExchange, match="did you mean 'binance'"):
        CcxtExchange("binanse", TaskSupervisor("x"))
    with pytest.raises(UnknownExchange, match="kraken"):
        CcxtExchange("qqqqqqqq", TaskSupervisor("x"))


async def test_an_unknown_pair_is_refused_before_anything_is_started(venue):
    with pytest.raises(UnknownPair, match="BTC/USDT"):
        await venue.exchange.subscribe([OTHER, "BTC/USDX"])
    assert venue.exchange.status()["streams"] == {}
    with pytest.raises(UnknownPair):
        await venue.exchange.fetch_order_book("BTCUSDT")
    with pytest.raises(UnknownPair):
        await venue.exchange.fetch_last_prices(["NO/PAIR"])


async def test_without_credentials(testnet):
    class Public:
        url = testnet.url
        credentials = None

    with pytest.raises(MissingCredentials):
        CcxtExchange("binance", TaskSupervisor("x"), endpoint=Public(), trading=True)
    async with side(testnet, credentials=None) as named:
        assert await named.exchange.fetch_balances(), "the endpoint's own account"
    async with side(testnet, credentials=None, trading=False) as watching:
        with pytest.raises(MissingCredentials):  # who only watches signs nothing
            await watching.exchange.fetch_balances()
    supervisor = TaskSupervisor("x")
    exchange = CcxtExchange("binance", supervisor, endpoint=Public())
    for ask in (
        exchange.open_user_stream(),
        exchange.fetch_balances(),
        exchange.fetch_open_orders(PAIR),
        exchange.fetch_fills(PAIR, 0.0),
        exchange.query(None),
    ):
        with pytest.raises(MissingCredentials):
            await ask
    await exchange.close_user_stream()
    await exchange.close()
    await supervisor.close()


async def test_without_leave_to_trade(testnet):
    async with side(testnet, trading=False) as venue:
        with pytest.raises(NotSupported, match="live"):
            venue.exchange.submit(venue.request())
        with pytest.raises(NotSupported):
            venue.exchange.cancel(None)


@pytest.mark.parametrize("window", [0, -1, 61, float("nan")])
def test_a_senseless_window(window):
    with pytest.raises(InvalidInput, match="recv_window"):
        CcxtExchange("binance", TaskSupervisor("x"), recv_window=window)


async def test_closed_is_closed(testnet):
    async with side(testnet) as venue:
        await venue.streaming()
        await venue.exchange.close()
        await venue.exchange.close()
        with pytest.raises(NotReady):
            await venue.exchange.subscribe([PAIR])
        count = len(venue.market)
        await asyncio.sleep(0.2)
        assert len(venue.market) == count


async def test_nobody_there():
    class Nowhere:
        url = "http://127.0.0.1:9"
        credentials = None

    supervisor = TaskSupervisor("x")
    exchange = CcxtExchange("binance", supervisor, endpoint=Nowhere())
    with pytest.raises(NetworkUnavailable):
        await exchange.fetch_server_time()
    with pytest.raises(NetworkUnavailable):
        await exchange.subscribe([PAIR])
    await exchange.close()
    await supervisor.close()


def test_every_address_is_led_to_the_endpoint():
    urls = {
        "api": {"public": "https://api.binance.com/api/v3", "ws": {"spot": "wss://stream.binance.com:9443/ws"}},
        "fees": ["https://www.binance.com/fees", None],
        "plain": "no address",
        "template": "https://{hostname}/v5",
        "bare": "https://api.x.com",
    }
    assert redirect(urls, "http://127.0.0.1:5/") == {
        "api": {
            "public": "http://127.0.0.1:5/api.binance.com/api/v3",
            "ws": {"spot": "ws://127.0.0.1:5/stream.binance.com/ws"},
        },
        "fees": ["http://127.0.0.1:5/www.binance.com/fees", None],
        "plain": "no address",
        "template": "http://127.0.0.1:5/{hostname}/v5",
        "bare": "http://127.0.0.1:5/api.x.com",
    }
    assert redirect("wss://a.b/c", "https://test.net") == "wss://test.net/a.b/c"
