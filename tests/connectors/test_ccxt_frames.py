"""Frames in the exchanges' documented formats through ccxt's own handlers: what the taps tell, and what guards them."""

import gc
import gzip
import importlib
import logging
from decimal import ROUND_HALF_EVEN, Decimal, getcontext
from importlib.metadata import version

import orjson
import pytest

from kit.connectors.ccxt_convert import order_update, public_trade, trade_update
from kit.connectors.ccxt_pumps import StreamPump
from kit.connectors.ccxt_taps import WATCHER
from kit.core.clock import SYSTEM_TIME, ManualTime
from kit.types.market import OrderBookDiff, OrderBookSnapshot
from tests.support.ccxt_frames import CREDENTIALS, PAIR, Frame, PlainBook, offline
from tests.support.recordings import SPOT, recordings

BIDS = [["99.0", "1.0"], ["98.0", "2.0"], ["97.0", "3.0"]]
ASKS = [["101.0", "1.5"], ["102.0", "2.5"]]
# Three frames of changes each: a level changes, one goes, one comes; the last brings a new best bid.
STEPS = [([["99.0", "0.5"]], []), ([["98.0", "0"]], [["103.0", "4"], ["101.0", "0"]]), ([["99.5", "7"]], [])]


def bybit(kind, number, bids, asks):
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": number, "seq": number}
    return {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1_700_000_000_000, "data": data}


def okx(kind, number, bids, asks):
    first = kind == "snapshot"
    sides = [[[*level, "0", "1"] for level in side] for side in (bids, asks)]
    data = {"bids": sides[0], "asks": sides[1], "ts": "1700000000000", "seqId": number}
    data |= {"prevSeqId": -1 if first else number - 1, "checksum": 0}
    arg = {"channel": "books", "instId": "BTC-USDT"}
    return {"arg": arg, "action": "snapshot" if first else "update", "data": [data]}


def kraken(kind, number, bids, asks):
    sides = [[{"price": float(price), "qty": float(size)} for price, size in side] for side in (bids, asks)]
    data = {
        "symbol": PAIR,
        "bids": sides[0],
        "asks": sides[1],
        "checksum": 1,
        "timestamp": "2023-10-06T17:35:55.440295Z",
    }
    return {"channel": "book", "type": "snapshot" if kind == "snapshot" else "update", "data": [data]}


def coinbase(kind, number, bids, asks):
    updates = [
        {"side": side, "price_level": price, "new_quantity": size, "event_time": "2023-02-09T20:32:50.714964855Z"}
        for side, levels in (("bid", bids), ("offer", asks))
        for price, size in levels
    ]
    event = {"type": "snapshot" if kind == "snapshot" else "update", "product_id": "BTC-USDT", "updates": updates}
    return {
        "channel": "l2_data",
        "timestamp": "2023-02-09T20:32:50.714964855Z",
        "sequence_num": number,
        "events": [event],
    }


def bitget(kind, number, bids, asks):
    arg = {"instType": "SPOT", "channel": "books", "instId": "BTCUSDT"}
    data = {"bids": bids, "asks": asks, "ts": "1700000000000", "seq": number}
    return {"action": "snapshot" if kind == "snapshot" else "update", "arg": arg, "data": [data], "ts": 1}


def gate(kind, number, bids, asks):
    result = {"t": 1700000000000, "s": "ob.BTC_USDT.50", "U": number, "u": number, "b": bids, "a": asks}
    result |= {"full": True} if kind == "snapshot" else {}
    return {"time": 1, "channel": "spot.obu", "event": "update", "result": result}


EXCHANGES = {
    "bybit": (bybit, "wss://stream.bybit.com/v5/public/spot", "BTCUSDT", None),
    "okx": (okx, "wss://ws.okx.com:8443/ws/v5/public", "BTC-USDT", "books:BTC/USDT"),
    "kraken": (kraken, "wss://ws.kraken.com/v2", "XXBTZUSD", None),
    "coinbase": (coinbase, "wss://advanced-trade-ws.coinbase.com", "BTC-USDT", None),
    "bitget": (bitget, "wss://ws.bitget.com/v2/ws/public", "BTCUSDT", None),
    "gate": (gate, "wss://api.gateio.ws/ws/v4/", "BTC_USDT", None),
}


def sides(book):
    """Return the content of ccxt's book."""
    return tuple([(level[0], level[1]) for level in book[key]] for key in ("bids", "asks"))


@pytest.mark.parametrize("exchange_id", EXCHANGES)
async def test_diffs_of_every_exchange_make_ccxts_book(exchange_id):
    frame, url, market_id, subscription = EXCHANGES[exchange_id]
    async with offline(exchange_id, url, market_id=market_id) as venue:
        if subscription:
            venue.client.subscriptions[subscription] = {}
        plain = PlainBook()
        venue.feed(frame("snapshot", 10, BIDS, ASKS))
        for number, (bids, asks) in enumerate(STEPS, 11):
            venue.feed(frame("delta", number, bids, asks))
        assert [type(one) for one in venue.books] == [OrderBookSnapshot, *[OrderBookDiff] * len(STEPS)]
        for message in venue.books:
            plain.apply(message)
        assert plain.sides() == sides(venue.exchange.orderbooks[PAIR])
        assert plain.sides() == ([(99.5, 7.0), (99.0, 0.5), (97.0, 3.0)], [(102.0, 2.5), (103.0, 4.0)])
        assert venue.exchange.kit_taps.bad_frames == 0
        venue.feed(frame("snapshot", 50, BIDS[:1], ASKS[:1]))
        if exchange_id != "bitget":  # ccxt's bitget adds a second snapshot to the first; ours begins with a fresh book
            plain.apply(venue.books[-1])
            assert plain.sides() == ([(99.0, 1.0)], [(101.0, 1.5)])


async def test_ids_are_those_of_the_frames():
    async with offline("bybit", EXCHANGES["bybit"][1]) as venue:
        venue.feed(bybit("snapshot", 10, BIDS, ASKS))
        venue.feed(bybit("delta", 11, *STEPS[0]))
        venue.feed(bybit("delta", 14, *STEPS[1]))  # 12 and 13 are lost; ccxt does not notice, the numbers tell
        assert [one.update_id for one in venue.books] == [10, 11, 14]
        assert [one.first_update_id for one in venue.books[1:]] == [11, 14]
    async with offline("okx", EXCHANGES["okx"][1], market_id="BTC-USDT") as venue:
        venue.client.subscriptions["books:BTC/USDT"] = {}
        venue.feed(okx("snapshot", 10, BIDS, ASKS))
        venue.feed(okx("delta", 11, *STEPS[0]))
        assert (venue.books[1].previous_update_id, venue.books[1].update_id) == (10, 11)


async def test_levels_that_fall_off_a_limited_book_are_told_as_gone():
    async with offline("kraken", EXCHANGES["kraken"][1]) as venue:
        levels = [[str(90 - index), "1"] for index in range(10)]
        venue.feed(kraken("snapshot", 1, levels, ASKS))
        venue.feed(kraken("delta", 2, [["95", "1"]], []))  # an eleventh: the deepest is no longer kept up to date
        assert dict(venue.books[-1].bids) == {95.0: 1.0, 81.0: 0.0}


async def test_hyperliquid_sends_whole_books():
    async with offline("hyperliquid", "wss://api.hyperliquid.xyz/ws", market_id="BTC") as venue:
        venue.exchange.coinToMarketId = lambda coin: coin
        for size in ("1", "2"):
            levels = [[{"px": "99", "sz": size, "n": 1}], [{"px": "101", "sz": size, "n": 1}]]
            venue.feed({"channel": "l2Book", "data": {"coin": "BTC", "time": 1_700_000_000_000, "levels": levels}})
        assert [type(one) for one in venue.books] == [OrderBookSnapshot] * 2
        assert venue.books[1].bids == ((99.0, 2.0),)


# binance


def depth(first, last, bids=(), asks=()):
    return {"e": "depthUpdate", "E": 1_700_000_000_123, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}


def begin(venue, nonce=10):
    """Let the venue hold a book, as after ccxt's own snapshot request."""
    venue.exchange.orderbooks[PAIR] = book = venue.exchange.order_book({}, 1000)
    book.reset({"bids": [[99.0, 1.0]], "asks": [[101.0, 1.0]], "nonce": nonce, "symbol": PAIR})
    venue.client.resolve(book, f"orderbook::{PAIR}")


async def test_binance_diffs_carry_both_ids():
    async with offline("binance") as venue:
        begin(venue)
        venue.feed(depth(9, 12, [["99.00", "0"]], [["100.50", "2.5"]]))
        venue.feed(depth(13, 13))
        assert venue.books[0] == OrderBookSnapshot(PAIR, 10, 0.0, ((99.0, 1.0),), ((101.0, 1.0),))
        assert venue.books[1] == OrderBookDiff(PAIR, 12, 1_700_000_000.123, ((99.0, 0.0),), ((100.5, 2.5),), 9)
        assert venue.books[2] == OrderBookDiff(PAIR, 13, 1_700_000_000.123, (), (), 13)


async def test_a_gap_rejects_and_tells_nothing():
    async with offline("binance") as venue:
        begin(venue)
        venue.feed(depth(11, 12, [["98", "1"]]))
        venue.feed(depth(14, 15, [["97", "1"]]))
        assert len(venue.books) == 2
        assert type(venue.client.rejections[f"orderbook::{PAIR}"]).__name__ == "ChecksumError"
        assert PAIR not in venue.exchange.orderbooks
        assert venue.told.lost == []  # the connection stands


def trade(number, price="100.00"):
    return {
        "e": "trade",
        "E": 1,
        "s": "BTCUSDT",
        "t": number,
        "p": price,
        "q": "0.5",
        "T": 1_700_000_000_000,
        "m": True,
    }


async def test_every_trade_of_a_burst_is_told_without_anybody_awaiting():
    async with offline("binance") as venue:
        for number in range(3000):
            venue.feed(trade(number))
        assert [one["id"] for one in venue.told.trades] == [str(number) for number in range(3000)]
        first = public_trade(venue.told.trades[0])
        assert (first.trading_pair, first.price, first.amount, first.side.value) == (PAIR, 100.0, 0.5, "sell")


async def test_a_cache_that_ccxt_makes_anew_is_tapped_again():
    async with offline("binance") as venue:
        venue.feed(trade(1))
        venue.exchange.trades.pop(PAIR)  # what unsubscribing does
        venue.feed(trade(2))
        venue.feed(trade(3))
        assert [one["id"] for one in venue.told.trades] == ["1", "2", "3"]


def report(kind, status, filled, last="0", trade_id=-1, **changes):
    traded = last != "0"
    event = {
        "e": "executionReport", "E": 1_700_000_000_000, "s": "BTCUSDT", "c": "ours", "S": "BUY", "o": "LIMIT",
        "f": "GTC", "q": "2.00000000", "p": "100.00000000", "P": "0.0", "F": "0.0", "g": -1, "C": "", "x": kind,
        "X": status, "r": "NONE", "i": 7, "l": last, "z": filled, "L": "100.00000000",
        "n": "0.00100000" if traded else "0", "N": "BTC" if traded else None, "T": 1_700_000_000_001, "t": trade_id,
        "w": True, "m": True, "M": False, "O": 1, "Z": str(float(filled) * 100), "Y": str(float(last) * 100),
        "Q": "0.0", **changes,
    }  # fmt: skip
    return {"subscriptionId": 0, "event": event}


WS_API = "wss://ws-api.binance.com:443/ws-api/v3"


async def test_every_state_of_an_order_and_every_fill_is_told_in_order():
    async with offline("binance", WS_API, credentials=CREDENTIALS) as venue:
        venue.client.subscriptions["spot"] = True
        venue.feed(report("NEW", "NEW", "0"))
        venue.feed(report("TRADE", "PARTIALLY_FILLED", "0.50000000", "0.50000000", 1))
        venue.feed(report("TRADE", "PARTIALLY_FILLED", "1.00000000", "0.50000000", 2))
        venue.feed(report("TRADE", "FILLED", "2.00000000", "1.00000000", 3))
        assert venue.told.lost == []
        updates = [order_update(item, now=0.0) for item in venue.told.orders]
        assert [one.state.name for one in updates] == ["OPEN", "PARTIALLY_FILLED", "PARTIALLY_FILLED", "FILLED"]
        assert [str(one.filled) for one in updates] == ["0", "0.50000000", "1.00000000", "2.00000000"]
        assert [str(one.filled_quote) for one in updates] == ["0.0", "50.0", "100.0", "200.0"]
        fills = [trade_update(item, now=0.0) for item in venue.told.fills]
        assert [(one.trade_id, str(one.amount), str(one.price)) for one in fills] == [
            ("1", "0.50000000", "100.00000000"),
            ("2", "0.50000000", "100.00000000"),
            ("3", "1.00000000", "100.00000000"),
        ]
        assert all(str(one.fee.amount_of("BTC")) == "0.00100000" and one.is_maker for one in fills)


async def test_a_cancelled_order_has_our_id_not_the_cancels():
    async with offline("binance", WS_API, credentials=CREDENTIALS) as venue:
        venue.feed(report("CANCELED", "CANCELED", "0", c="of the cancel", C="ours"))
        assert order_update(venue.told.orders[0], now=0.0).client_order_id == "ours"


async def test_balances_are_told_as_text():
    async with offline("binance", WS_API, credentials=CREDENTIALS) as venue:
        venue.client.subscriptions["spot"] = True
        venue.exchange.balance["spot"] = {}
        entry = {"a": "USDT", "f": "123456789.12345678", "l": "0.00000001"}
        venue.feed({"event": {"e": "outboundAccountPosition", "E": 1, "u": 1, "B": [entry]}})
        assert venue.told.balances[0]["USDT"] == {
            "free": "123456789.12345678",
            "used": "0.00000001",
            "total": "123456789.12345679",
        }


# guards


@pytest.mark.parametrize("data", ['{"e": "depthUpdate", "s": ', '{"e": "kline", "s": "BTCUSDT"}', "[1, 2"])
async def test_a_frame_that_cannot_be_handled_ends_the_connection(data, caplog):
    caplog.set_level(logging.CRITICAL)
    async with offline("binance") as venue:
        venue.feed(Frame(data))
        taps = venue.exchange.kit_taps
        assert taps.bad_frames == 1
        assert len(venue.told.lost) == 1
        assert venue.client.url not in venue.exchange.clients  # so the next watch opens another one
        venue.feed(trade(1))
        assert venue.told.trades == []  # nothing more is taken from a connection that is given up
        assert taps.bad_frames == 1


async def test_a_tap_that_fails_ends_the_connection_too():
    async with offline("binance") as venue:

        def fails(item):
            raise ValueError("not a trade")

        venue.exchange.kit_taps.on_trade = fails
        venue.feed(trade(1))
        assert "ValueError" in venue.exchange.kit_taps.last_bad_frame
        assert len(venue.told.lost) == 1


async def test_an_error_that_quotes_a_key_is_logged_without_it(caplog):
    async with offline("binance", WS_API, credentials=CREDENTIALS) as venue:

        def fails(item):
            raise ValueError(f"cannot read {CREDENTIALS.secret} of {CREDENTIALS.api_key}")

        venue.exchange.kit_taps.on_trade = fails
        venue.feed(trade(1))
        told = caplog.text + venue.exchange.kit_taps.last_bad_frame
        assert "in fails" in caplog.text  # the place is told, the text is scrubbed
        assert CREDENTIALS.secret not in told
        assert CREDENTIALS.api_key not in told


async def test_a_terminated_user_stream_ends_its_connection():
    async with offline("binance", WS_API, credentials=CREDENTIALS) as venue:
        venue.client.subscriptions["spot"] = True
        waiting = venue.client.future("orders")
        venue.feed({"event": {"e": "eventStreamTerminated", "E": 1}})
        assert len(venue.told.lost) == 1
        assert "NetworkError" in type(waiting.exception()).__name__


async def test_pongs_are_no_data():
    time = ManualTime(1_700_000_000)
    async with offline("binance", time_source=time) as venue:
        health = venue.exchange.kit_taps.health[id(venue.client)]
        await time.advance(5)
        venue.feed(Frame("", type=10))
        assert (health.last_data, health.frames) == (0.0, 0)
        venue.feed(trade(1))
        assert (health.last_data, health.frames) == (5.0, 1)


async def test_the_pump_that_asks_is_told_its_connection():
    async with offline("binance") as venue:
        pump = StreamPump("x", lambda: None, SYSTEM_TIME)
        token = WATCHER.set(pump)
        venue.client.connected.resolve(True)
        venue.exchange.watch(venue.client.url, "hash", None, "hash").add_done_callback(
            lambda future: future.exception()
        )
        WATCHER.reset(token)
        assert pump.client is venue.client
        assert pump.state.up
        venue.client.on_error(venue.exchange.kit_taps.network_error("cut"))


async def test_rejections_that_nobody_awaits_make_no_noise(caplog):
    gc.collect()  # what other tests left is not told of here
    caplog.clear()
    async with offline("binance") as venue:
        venue.client.future("nobody waits")
        venue.client.on_error(venue.exchange.kit_taps.network_error("cut"))
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_money_goes_out_as_it_is():
    rounding = getcontext().rounding
    async with offline("binance", WS_API, credentials=CREDENTIALS) as venue:
        request = venue.exchange.create_order_request(
            PAIR,
            "limit",
            "buy",
            Decimal("0.10000000000000003"),
            Decimal("12345678901234567.89"),
            {"newClientOrderId": "x"},
        )
        assert (request["quantity"], request["price"]) == ("0.10000000000000003", "12345678901234567.89")
        assert venue.exchange.amount_to_precision(PAIR, Decimal("1E+3")) == "1000"
        assert venue.exchange.price_to_precision(PAIR, "100.019") == "100.02"  # ccxt's rounding of what is not ours
    assert getcontext().rounding == rounding == ROUND_HALF_EVEN  # ccxt sets it otherwise


async def test_sums_of_text_are_exact():
    async with offline("binance") as venue:
        add = venue.exchange.sum
        assert add("0.1", "0.2") == "0.3"
        assert add("0.1", 0.2, None) == "0.3"
        assert add(1, 2) == 3
        assert add(1, None) == 1


async def test_the_exchanges_time_is_used():
    time = ManualTime(1_700_000_000)
    async with offline("binance", time_source=time, credentials=CREDENTIALS) as venue:
        assert venue.exchange.milliseconds() == 1_700_000_000_000
        signed = venue.exchange.sign("order", ["private"], "POST", {"symbol": "BTCUSDT"})
        assert "timestamp=1700000000000&" in signed["body"]
        assert "recvWindow=2500" in signed["body"]
        assert venue.exchange.seconds() == 1_700_000_000
        assert venue.exchange.microseconds() == 1_700_000_000_000_000


async def test_nothing_goes_past_the_endpoint():
    async with offline("binance") as venue:
        venue.exchange.kit_taps.endpoint = "127.0.0.1:1"
        with pytest.raises(Exception, match="nothing is sent there"):
            venue.exchange.client("wss://stream.binance.com:9443/ws/1")
        with pytest.raises(Exception, match="nothing is sent there"):
            await venue.exchange.fetch("https://api.binance.com/api/v3/time?signature=abc")


async def test_the_recorded_stream_makes_the_same_book_through_ccxt_as_by_itself():
    (path,) = recordings(SPOT[0])
    snapshot, updates = recorded_depth(path)
    expected, told = PlainBook(), PlainBook()
    async with offline("binance") as venue:
        book = venue.exchange.orderbooks[PAIR] = venue.exchange.order_book({}, 1000)
        book.reset(venue.exchange.parse_order_book(snapshot, PAIR) | {"nonce": snapshot["lastUpdateId"]})
        venue.client.resolve(book, "x")
        expected.apply(venue.books[0])
        for update in updates:
            venue.feed(update)
            levels = [tuple((float(price), float(size)) for price, size in update[key]) for key in "ba"]
            expected.apply(OrderBookDiff(PAIR, update["u"], 0.0, *levels))
        assert len(venue.books) == len(updates) + 1
    for message in venue.books:
        told.apply(message)
    assert told.update_id == expected.update_id
    assert told.sides() == expected.sides()


def recorded_depth(path, count=1000):
    """Return the snapshot of a recording and the depth updates that follow it."""
    snapshot, updates = None, []
    with gzip.open(path, "rb") as lines:
        for line in lines:
            if b"depthUpdate" not in line and b"lastUpdateId" not in line:
                continue
            message = orjson.loads(line.partition(b" ")[2])
            message = message.get("data", message)
            if "lastUpdateId" in message:
                snapshot = message
            else:
                updates.append(message)
    return snapshot, [update for update in updates if update["u"] > snapshot["lastUpdateId"]][:count]


def test_ccxt_still_has_what_is_replaced():
    """Fail when a ccxt of another version has lost or renamed what the guard stands in for."""
    base = importlib.import_module("ccxt.async_support.base.exchange").BaseExchange
    client = importlib.import_module("ccxt.async_support.base.ws.client").Client
    binance = importlib.import_module("ccxt.pro.binance").binance
    for name in ("client", "watch", "watch_multiple", "order_book", "counted_order_book", "indexed_order_book"):
        assert name in vars(base), name
    for name in ("throttle", "fetch", "on_error", "on_close", "handle_message"):
        assert name in vars(base), name
    for name in ("handle_errors", "on_rest_response", "handle_http_status_code", "price_to_precision", "milliseconds"):
        assert hasattr(base, name), name
    for name in ("handle_message", "resolve", "reject", "on_error", "future"):
        assert name in vars(client), name
    for name in ("handle_deltas", "handle_event_stream_terminated", "authenticate", "handle_message"):
        assert name in vars(binance), name
    assert version("ccxt") == "4.5.90"
