"""The unmodified ``ccxt.pro.binance``, with nothing changed but its addresses, drives the test exchange."""

import asyncio
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import ccxt
import ccxt.pro
import pytest

from tests.support.testnet_wire import PATIENCE, market, serve, until

PAIR = "BTC/USDT"
OPTIONS = {
    "defaultType": "spot",
    "fetchMarkets": {"types": ["spot"]},
    "fetchMargins": False,
    "fetchCurrencies": False,
}


def led_elsewhere(value, base):
    """Rewrite every address ``scheme://real.host[:port]/path`` to ``http(s)|ws(s)://base/real.host/path``."""
    if isinstance(value, dict):
        return {name: led_elsewhere(each, base) for name, each in value.items()}
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    host, _, path = rest.partition("/")
    scheme = "ws" if scheme.startswith("ws") else "http"
    return f"{scheme}://{base.partition('://')[2]}/{host.partition(':')[0]}/{path}"


@asynccontextmanager
async def binance(wire, **settings):
    credentials = wire.credentials
    exchange = ccxt.pro.binance(
        {
            "apiKey": credentials.api_key,
            "secret": credentials.secret,
            "rateLimiterAlgorithm": "rollingWindow",
            "options": dict(OPTIONS),
            **settings,
        }
    )
    exchange.urls["api"] = led_elsewhere(exchange.urls["api"], wire.server.url)
    try:
        yield exchange
    finally:
        await exchange.close()


@pytest.fixture
async def wire():
    async with market(wall=time.time) as wire:  # ccxt signs with the machine's time
        yield wire


@pytest.fixture
async def exchange(wire):
    async with binance(wire) as exchange:
        await exchange.load_markets()
        yield exchange


def soon(awaitable):
    return asyncio.wait_for(awaitable, PATIENCE)


async def watching(exchange, wire, awaitable, subscriptions=1):
    """Begin to watch and return once the exchange knows of it."""
    task = asyncio.ensure_future(awaitable)
    while True:
        entries = await wire.control.connections()
        if sum(len(entry.get("streams") or entry.get("accounts") or ()) for entry in entries) >= subscriptions:
            return task
        assert not task.done(), task
        await asyncio.sleep(0.005)


# public


async def test_markets_are_one_request(wire):
    async with binance(wire) as exchange:
        markets = await exchange.load_markets()
        assert sorted(markets) == ["BTC/USDT", "ETH/USDT"]
        btc = markets[PAIR]
        assert (btc["id"], btc["spot"], btc["active"], btc["type"]) == ("BTCUSDT", True, True, "spot")
        assert (btc["precision"]["price"], btc["precision"]["amount"]) == (0.01, 0.00001)
        assert (btc["limits"]["cost"]["min"], btc["limits"]["amount"]["max"]) == (5, 9000)
        stats = await wire.control.stats()
        assert (stats["rest_requests"], stats["exchangeInfo"]) == (1, 1)


async def test_time_book_trades_tickers_and_candles_by_rest(exchange, wire):
    before = wire.now_ms
    assert before <= await exchange.fetch_time() <= wire.now_ms
    assert 0 <= await exchange.load_time_difference() <= wire.now_ms - before
    book = await exchange.fetch_order_book(PAIR)
    assert (book["bids"], book["asks"], book["nonce"]) == ([[59_990, 5]], [[60_010, 4.5]], 3)
    (trade,) = await exchange.fetch_trades(PAIR)
    assert (trade["price"], trade["amount"], trade["side"], trade["symbol"]) == (60_010, 0.5, "buy", PAIR)
    assert len(await exchange.fetch_trades(PAIR, params={"fetchTradesMethod": "publicGetTrades"})) == 1
    assert len(await exchange.fetch_trades(PAIR, params={"fetchTradesMethod": "publicGetHistoricalTrades"})) == 1
    ticker = await exchange.fetch_ticker(PAIR)
    assert (ticker["last"], ticker["bid"], ticker["ask"], ticker["baseVolume"]) == (60_010, 59_990, 60_010, 0.5)
    assert (await exchange.fetch_tickers([PAIR]))[PAIR]["last"] == 60_010
    assert (await exchange.fetch_bids_asks([PAIR]))[PAIR]["bid"] == 59_990
    assert (await exchange.fetch_last_prices([PAIR]))[PAIR]["price"] == 60_010
    ((_, opened, high, low, close, volume),) = (await exchange.fetch_ohlcv(PAIR, "1m"))[:1]
    assert (opened, high, low, close, volume) == (60_010, 60_010, 60_010, 60_010, 0.5)
    assert (await exchange.fetch_ohlcv(PAIR, "1h", since=wire.now_ms + 3_600_000)) == []
    (by_socket,) = (await soon(exchange.fetch_ohlcv_ws(PAIR, "1m")))[:1]
    assert by_socket[5] == 0.5
    assert len(await soon(exchange.fetch_trades_ws(PAIR))) == 1


async def test_a_watched_book_stays_the_exchanges_book(exchange, wire):
    book = await soon(exchange.watch_order_book(PAIR))
    assert (book["bids"], book["asks"]) == ([[59_990, 5]], [[60_010, 4.5]])
    for step in range(20):
        side = "sell" if step % 2 else "buy"
        await wire.control.trade(PAIR, side, "0.7", 59_995 + step % 5)
        watched = asyncio.ensure_future(exchange.watch_order_book(PAIR))
        await asyncio.sleep(0)
        wire.beat()
        book = await soon(watched)
    truth = await exchange.fetch_order_book(PAIR)
    assert (book["bids"], book["asks"], book["nonce"]) == (truth["bids"], truth["asks"], truth["nonce"])


async def test_a_gap_in_the_depth_is_noticed_and_healed(exchange, wire):
    await soon(exchange.watch_order_book(PAIR))
    await wire.control.trade(PAIR, "buy", 1, 59_000)
    wire.beat()
    await soon(exchange.watch_order_book(PAIR))
    await wire.control.fault("gap")
    watched = asyncio.ensure_future(exchange.watch_order_book(PAIR))
    await asyncio.sleep(0)
    for price in (58_000, 57_000):
        await wire.control.trade(PAIR, "buy", 1, price)
        wire.beat()
    with pytest.raises(ccxt.ChecksumError):
        await soon(watched)
    healed = await soon(exchange.watch_order_book(PAIR))
    assert [price for price, _ in healed["bids"]] == [59_990, 59_000, 58_000, 57_000]


async def test_watched_trades_tickers_and_candles(exchange, wire):
    tasks = []
    for number, awaitable in enumerate(
        (
            exchange.watch_trades(PAIR),
            exchange.watch_bids_asks([PAIR]),
            exchange.watch_ticker(PAIR),
            exchange.watch_tickers(),
            exchange.watch_ohlcv(PAIR, "1m"),
        ),
        1,
    ):
        tasks.append(await watching(exchange, wire, awaitable, number))
    await wire.control.trade(PAIR, "sell", "0.25")
    wire.beat(10)
    trades, bids_asks, ticker, tickers, candles = await soon(asyncio.gather(*tasks))
    assert [(trade["price"], trade["amount"], trade["side"]) for trade in trades] == [(59_990, 0.25, "sell")]
    assert (bids_asks[PAIR]["bid"], bids_asks[PAIR]["bidVolume"], bids_asks[PAIR]["ask"]) == (59_990, 4.75, 60_010)
    assert (ticker["last"], ticker["baseVolume"]) == (59_990, 0.75)
    assert tickers[PAIR]["last"] == 59_990
    (first, _) = await exchange.fetch_trades(PAIR)
    assert candles[-1][4:] == [59_990, 0.75 if candles[-1][0] <= first["timestamp"] else 0.25]  # or a minute had ended


async def test_watched_aggregates_of_several_pairs(exchange, wire):
    aggregates = exchange.watch_trades_for_symbols([PAIR, "ETH/USDT"], params={"name": "aggTrade"})
    task = await watching(exchange, wire, aggregates, 2)
    await wire.control.trade("ETH/USDT", "sell", 3, 3000)
    await wire.control.trade("ETH/USDT", "buy", 2)
    assert [(trade["symbol"], trade["price"], trade["amount"]) for trade in await soon(task)] == [("ETH/USDT", 3000, 2)]


async def test_unwatching(exchange, wire):
    await soon(exchange.watch_order_book(PAIR))
    task = await watching(exchange, wire, exchange.watch_trades(PAIR), 2)
    await soon(exchange.un_watch_order_book(PAIR))
    await soon(exchange.un_watch_trades(PAIR))
    with pytest.raises(ccxt.UnsubscribeError):
        await soon(task)
    assert [entry["streams"] for entry in await wire.control.connections()] == [[], []]


# orders


async def test_orders_by_rest(exchange, wire):
    order = await exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000, {"clientOrderId": "mine"})
    assert (order["status"], order["clientOrderId"], order["price"], order["amount"], order["filled"]) == (
        "open",
        "mine",
        59_000,
        0.01,
        0,
    )
    by_id = await exchange.fetch_order(order["id"], PAIR)
    by_client_id = await exchange.fetch_order(None, PAIR, {"origClientOrderId": "mine"})
    assert by_id["id"] == by_client_id["id"] == order["id"]
    assert [each["id"] for each in await exchange.fetch_open_orders(PAIR)] == [order["id"]]
    edited = await exchange.edit_order(order["id"], PAIR, "limit", "buy", 0.02, 58_000)
    assert (edited["price"], edited["amount"]) == (58_000, 0.02)
    assert (await exchange.fetch_order(order["id"], PAIR))["status"] == "canceled"
    cancelled = await exchange.cancel_order(edited["id"], PAIR)
    assert cancelled["status"] == "canceled"
    for price in (58_000, 57_000):
        await exchange.create_order(PAIR, "limit", "buy", 0.01, price)
    assert {each["status"] for each in await exchange.cancel_all_orders(PAIR)} == {"canceled"}
    assert await exchange.fetch_open_orders(PAIR) == []
    assert len(await exchange.fetch_orders(PAIR)) == 4
    assert await wire.control.open_orders() == []


async def test_cancelling_by_client_id(exchange):
    for each in ("one", "two"):
        await exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000, {"newClientOrderId": each})
    await exchange.cancel_order(None, PAIR, {"clientOrderId": "one"})
    await soon(exchange.cancel_order_ws(None, PAIR, {"clientOrderId": "two"}))
    assert await exchange.fetch_open_orders(PAIR) == []


async def test_orders_by_socket(exchange, wire):
    order = await soon(exchange.create_order_ws(PAIR, "limit", "buy", 0.01, 59_000, {"newClientOrderId": "mine"}))
    assert (order["status"], order["clientOrderId"]) == ("open", "mine")
    assert (await soon(exchange.fetch_order_ws(order["id"], PAIR)))["price"] == 59_000
    by_client_id = await soon(exchange.fetch_order_ws(None, PAIR, {"origClientOrderId": "mine"}))
    assert by_client_id["id"] == order["id"]
    assert len(await soon(exchange.fetch_open_orders_ws(PAIR))) == 1
    edited = await soon(exchange.edit_order_ws(order["id"], PAIR, "limit", "buy", 0.02, 58_000))
    assert (edited["price"], edited["amount"]) == (58_000, 0.02)
    assert (await soon(exchange.cancel_order_ws(edited["id"], PAIR)))["status"] == "canceled"
    maker = await soon(exchange.create_order_ws(PAIR, "LIMIT_MAKER", "sell", 0.01, 61_000))
    assert maker["id"]
    assert len(await soon(exchange.cancel_all_orders_ws(PAIR))) == 1
    assert len(await soon(exchange.fetch_orders_ws(PAIR))) == 3
    assert await wire.control.open_orders() == []


async def test_market_orders_fills_and_fees(exchange, wire):
    bought = await exchange.create_order(PAIR, "market", "buy", 0.1)
    assert (bought["status"], bought["filled"], bought["average"], bought["cost"]) == ("closed", 0.1, 60_010, 6001)
    assert bought["fees"] == [{"cost": 0.0001, "currency": "BTC"}]
    by_cost = await exchange.create_market_order_with_cost(PAIR, "buy", 100)
    assert 99 < by_cost["cost"] <= 100
    sold = await soon(exchange.create_order_ws(PAIR, "market", "sell", 0.2))
    assert (sold["status"], sold["average"]) == ("closed", 59_990)
    trades = await exchange.fetch_my_trades(PAIR)
    assert [(trade["side"], trade["takerOrMaker"]) for trade in trades] == [
        ("buy", "taker"),
        ("buy", "taker"),
        ("sell", "taker"),
    ]
    assert trades[0]["fee"] == {"cost": 0.0001, "currency": "BTC"}
    assert await exchange.fetch_my_trades(PAIR, since=trades[0]["timestamp"]) == trades
    assert await exchange.fetch_order_trades(sold["id"], PAIR) == trades[2:]
    assert [trade["id"] for trade in await soon(exchange.fetch_my_trades_ws(PAIR))] == [each["id"] for each in trades]
    assert [int(fill.trade_id) for fill in await wire.control.fills()] == [int(trade["id"]) for trade in trades]


async def test_balances(exchange):
    await exchange.create_order(PAIR, "limit", "buy", 1, 50_000)
    balance = await exchange.fetch_balance()
    assert balance["USDT"] == {"free": 950_000, "used": 50_000, "total": 1_000_000}
    assert balance["BTC"]["total"] == 10


async def test_times_in_force(exchange):
    for price, params, status in (
        (59_000, {"timeInForce": "IOC"}, "expired"),
        (59_000, {"timeInForce": "FOK"}, "expired"),
        (60_010, {"timeInForce": "FOK"}, "closed"),
        (59_000, {"postOnly": True}, "open"),
        (58_000, {"timeInForce": "PO"}, "open"),
    ):
        order = await exchange.create_order(PAIR, "limit", "buy", 0.01, price, params)
        assert (await exchange.fetch_order(order["id"], PAIR))["status"] == status, params


# the private stream


async def test_watched_orders_fills_and_balances(exchange, wire):
    orders = await watching(exchange, wire, exchange.watch_orders())
    fills = asyncio.ensure_future(exchange.watch_my_trades())
    balance = asyncio.ensure_future(exchange.watch_balance())
    await asyncio.sleep(0)
    placed = await exchange.create_order(PAIR, "limit", "buy", 0.2, 60_000, {"newClientOrderId": "mine"})
    (seen,) = await soon(orders)
    assert (seen["id"], seen["clientOrderId"], seen["status"], seen["filled"]) == (placed["id"], "mine", "open", 0)
    held = await soon(balance)
    assert held["USDT"] == {"free": 988_000, "used": 12_000, "total": 1_000_000}
    orders = asyncio.ensure_future(exchange.watch_orders())
    await asyncio.sleep(0)
    await wire.control.trade(PAIR, "sell", "0.05")
    (fill,) = await soon(fills)
    assert (fill["price"], fill["amount"], fill["takerOrMaker"], fill["order"]) == (60_000, 0.05, "maker", placed["id"])
    assert fill["fee"] == {"cost": 0.00005, "currency": "BTC"}
    (seen,) = await soon(orders)
    assert (seen["status"], seen["filled"], seen["remaining"]) == ("open", 0.05, 0.15)
    orders = asyncio.ensure_future(exchange.watch_orders())
    await asyncio.sleep(0)
    await soon(exchange.cancel_order_ws(placed["id"], PAIR))
    (seen,) = await soon(orders)
    assert (seen["status"], seen["filled"]) == ("canceled", 0.05)


async def test_deposits_reach_the_watched_balance(exchange, wire):
    balance = await watching(exchange, wire, exchange.watch_balance())
    await wire.control.deposit("BTC", 2)
    await soon(balance)  # of the first of two messages, the amount that came; the second tells what is there now
    await until(lambda: exchange.balance["spot"]["BTC"]["total"] == 12)


async def test_a_cut_user_stream_comes_back(exchange, wire):
    orders = await watching(exchange, wire, exchange.watch_orders())
    await wire.control.fault("cut_user")
    with pytest.raises(ccxt.NetworkError):
        await soon(orders)
    orders = await watching(exchange, wire, exchange.watch_orders())
    await exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000)
    assert len(await soon(orders)) == 1


# errors


REFUSED = (
    # kind, side, amount, price, params, error by REST, error by socket
    ("limit", "buy", 100, 59_000, {}, ccxt.InsufficientFunds, ccxt.InsufficientFunds),
    ("market", "sell", 11, None, {}, ccxt.InsufficientFunds, ccxt.InsufficientFunds),
    ("limit", "buy", 0.00005, 59_000, {}, ccxt.BadRequest, ccxt.BadRequest),  # NOTIONAL
    ("limit", "buy", 9001, 59_000, {}, ccxt.InvalidOrder, ccxt.BadRequest),  # LOT_SIZE
    ("limit", "buy", 0.01, 2_000_000, {}, ccxt.InvalidOrder, ccxt.BadRequest),  # PRICE_FILTER
    ("limit", "buy", 0.01, 700_000, {}, ccxt.InvalidOrder, ccxt.InvalidOrder),  # PERCENT_PRICE_BY_SIDE
    ("LIMIT_MAKER", "buy", 0.01, 60_010, {}, ccxt.OrderImmediatelyFillable, ccxt.OrderImmediatelyFillable),
    ("limit", "buy", 0.01, 59_000, {"newClientOrderId": "first"}, ccxt.InvalidOrder, ccxt.InvalidOrder),  # duplicate
    ("limit", "buy", 0.01, 59_000, {"newClientOrderId": "no spaces"}, ccxt.BadRequest, ccxt.BadRequest),
    ("limit", "buy", 0.01, 59_000, {"timeInForce": "GTX"}, ccxt.BadRequest, ccxt.BadRequest),
)


async def test_refused_orders(exchange, wire):
    await exchange.create_order(PAIR, "limit", "buy", 0.01, 58_000, {"newClientOrderId": "first"})
    for kind, side, amount, price, params, by_rest, by_socket in REFUSED:
        for create, error in ((exchange.create_order, by_rest), (exchange.create_order_ws, by_socket)):
            with pytest.raises(ccxt.BaseError) as caught:
                await soon(create(PAIR, kind, side, amount, price, params))
            assert caught.type is error, (caught.value, create.__name__)
    assert [order.client_order_id for order in await wire.control.open_orders()] == ["first"]


async def test_what_ccxt_leaks_onto_the_socket_is_refused(exchange, wire):
    for params in ({"clientOrderId": "mine"}, {"postOnly": True}):
        with pytest.raises(ccxt.BadRequest, match="-1104"):
            await soon(exchange.create_order_ws(PAIR, "limit", "buy", 0.01, 59_000, params))
    assert await wire.control.open_orders() == []


async def test_orders_that_do_not_exist(exchange):
    for call in (
        exchange.fetch_order("999", PAIR),
        exchange.cancel_order("999", PAIR),
        exchange.cancel_all_orders(PAIR),
        exchange.fetch_order_ws("999", PAIR),
        exchange.cancel_order_ws("999", PAIR),
        exchange.cancel_all_orders_ws(PAIR),
    ):
        with pytest.raises(ccxt.OrderNotFound):
            await soon(call)


async def test_unknown_symbols(exchange):
    with pytest.raises(ccxt.BadSymbol):
        await exchange.public_get_depth({"symbol": "DOGEUSDT"})


@pytest.mark.parametrize("changes", [{"secret": "wrong"}, {"apiKey": "f" * 64}])
async def test_wrong_credentials(wire, changes):
    async with binance(wire, **changes) as exchange:
        assert (await exchange.fetch_order_book(PAIR))["bids"]
        for call in (
            exchange.fetch_balance(),
            exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000),
            exchange.create_order_ws(PAIR, "limit", "buy", 0.01, 59_000),
        ):
            with pytest.raises(ccxt.AuthenticationError):
                await soon(call)
    assert await wire.control.open_orders() == []


async def test_a_clock_that_is_off(exchange, wire):
    await wire.control.fault("skew", offset=60)
    with pytest.raises(ccxt.InvalidNonce):
        await exchange.fetch_balance()
    await exchange.load_time_difference()
    assert (await exchange.fetch_balance())["BTC"]["total"] == 10


async def test_rate_limits_and_bans(exchange, wire):
    await wire.control.set_limits(weight=10, ban_after=1)
    for _ in range(3):
        with pytest.raises(ccxt.DDoSProtection):
            await exchange.fetch_balance()
    await wire.control.set_limits(weight=6000, orders_10s=0)
    with pytest.raises(ccxt.DDoSProtection):
        await exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000)
    with pytest.raises(ccxt.RateLimitExceeded):
        await soon(exchange.create_order_ws(PAIR, "limit", "buy", 0.01, 59_000))
    await wire.control.set_limits(orders_10s=100)
    await exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000)
    assert exchange.last_response_headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert int(exchange.last_response_headers["X-MBX-USED-WEIGHT-1M"]) > 0


SPOILT = (
    # fault, options, error, its cause, whether the order is on the exchange all the same
    ("drop_before", {}, ccxt.ExchangeNotAvailable, "ServerDisconnectedError", False),
    ("drop_after", {}, ccxt.ExchangeNotAvailable, "ServerDisconnectedError", True),
    ("truncate", {}, ccxt.ExchangeError, "ClientPayloadError", True),
    ("error", {"status": 503}, ccxt.OperationFailed, None, False),
    ("error", {"status": 504, "code": -1007, "after": True}, ccxt.RequestTimeout, None, True),
    ("error", {"status": 500, "code": -1006, "after": True}, ccxt.OperationFailed, None, True),
    ("junk", {"status": 502}, ccxt.ExchangeNotAvailable, None, True),
    ("delay", {"delay": 3600.0, "after": True}, ccxt.RequestTimeout, "TimeoutError", True),
)


async def test_placements_whose_answer_is_spoilt(exchange, wire):
    for number, (fault, options, error, cause, on_exchange) in enumerate(SPOILT):
        await wire.control.fault(fault, on="order.place", **options)
        exchange.timeout = 1000 if fault == "delay" else 60_000
        with pytest.raises(ccxt.BaseError) as caught:
            await exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000, {"newClientOrderId": f"order{number}"})
        assert caught.type is error, fault
        assert cause in (None, type(caught.value.__cause__).__name__)
        assert bool(await wire.control.open_orders(f"order{number}")) is on_exchange, fault


async def test_junk_instead_of_an_order_is_no_exception_but_has_no_id(exchange, wire):
    for number, body in enumerate(("<html></html>", "", "{}")):
        await wire.control.fault("junk", body=body)
        params = {"newClientOrderId": f"order{number}"}
        assert (await exchange.create_order(PAIR, "limit", "buy", 0.01, 59_000, params))["id"] is None
        (real,) = await wire.control.open_orders(f"order{number}")
        assert real.price == Decimal(59_000)


async def test_an_order_by_socket_that_is_never_answered(exchange, wire):
    await wire.control.fault("silent")
    task = asyncio.ensure_future(
        exchange.create_order_ws(PAIR, "limit", "buy", 0.01, 59_000, {"newClientOrderId": "x"})
    )
    await until(lambda: "silent" in wire.server.exchange.faults.struck)
    assert [order.client_order_id for order in await wire.control.open_orders()] == ["x"]
    assert not task.done()
    await wire.control.fault("cut_user")
    with pytest.raises(ccxt.NetworkError):
        await soon(task)


async def test_money_may_be_decimal_end_to_end():
    async with serve(wall=time.time) as wire, binance(wire) as exchange:
        exchange.number = Decimal
        await exchange.load_markets()
        order = await exchange.create_order(PAIR, "limit", "buy", Decimal("0.01001"), Decimal("59000.01"))
        assert (order["amount"], order["price"]) == (Decimal("0.01001"), Decimal("59000.01"))
        assert (await exchange.fetch_balance())["USDT"]["used"] == Decimal("590.590100100000").quantize(Decimal("1e-8"))
