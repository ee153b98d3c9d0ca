from decimal import Decimal
from itertools import pairwise
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.testnet.binance_rest import _fields
from kit.testnet.signing import sign
from kit.types.ports import Credentials
from tests.support.testnet_wire import market, serve

D = Decimal


# public


async def test_ping_time_and_rules():
    async with serve() as wire:
        assert (await wire.get("ping")).body == {}
        assert (await wire.get("time")).body["serverTime"] == wire.now_ms
        info = (await wire.get("exchangeInfo")).body
        assert [entry["symbol"] for entry in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
        btc = info["symbols"][0]
        assert (btc["baseAsset"], btc["quoteAsset"], btc["status"]) == ("BTC", "USDT", "TRADING")
        assert btc["orderTypes"] == ["LIMIT", "LIMIT_MAKER", "MARKET"]
        assert {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL"} <= {each["filterType"] for each in btc["filters"]}
        assert [limit["limit"] for limit in info["rateLimits"]] == [6000, 100, 200_000]
        one = (await wire.get("exchangeInfo", symbol="ETHUSDT")).body
        assert [entry["symbol"] for entry in one["symbols"]] == ["ETHUSDT"]


async def test_depth():
    async with market() as wire:
        book = (await wire.get("depth", symbol="BTCUSDT")).body
        assert book["bids"] == [["59990.00000000", "5.00000000"]]
        assert book["asks"] == [["60010.00000000", "4.50000000"]]
        assert book["lastUpdateId"] == 3
        for price in range(59_000, 59_010):
            await wire.control.trade("BTC/USDT", "buy", 1, price)
        book = (await wire.get("depth", symbol="BTCUSDT", limit=3)).body
        assert [level[0] for level in book["bids"]] == ["59990.00000000", "59009.00000000", "59008.00000000"]


async def test_trades():
    async with market() as wire:
        await wire.control.trade("BTC/USDT", "sell", "0.25")
        recent = (await wire.get("trades", symbol="BTCUSDT")).body
        assert [(trade["id"], trade["price"], trade["qty"], trade["isBuyerMaker"]) for trade in recent] == [
            (1, "60010.00000000", "0.50000000", False),
            (2, "59990.00000000", "0.25000000", True),
        ]
        assert recent[0]["quoteQty"] == "30005.00000000"
        assert (await wire.get("trades", symbol="BTCUSDT", limit=1)).body == recent[1:]
        assert (await wire.get("historicalTrades", symbol="BTCUSDT", fromId=1, limit=1)).body == recent[:1]


async def test_one_order_over_two_levels_is_two_aggregates():
    async with market() as wire:
        await wire.control.trade("BTC/USDT", "sell", 1, "60010")
        await wire.control.trade("BTC/USDT", "sell", 1, "60020")
        await wire.control.trade("BTC/USDT", "buy", 6, "60020", time_in_force="IOC")
        found = (await wire.get("aggTrades", symbol="BTCUSDT")).body
        assert [(agg["a"], agg["p"], agg["q"], agg["f"], agg["l"]) for agg in found] == [
            (1, "60010.00000000", "0.50000000", 1, 1),
            (2, "60010.00000000", "5.50000000", 2, 3),
            (3, "60020.00000000", "0.50000000", 4, 4),
        ]
        assert (await wire.get("aggTrades", symbol="BTCUSDT", fromId=2, limit=1)).body == found[1:2]
        later = found[-1]["T"] + 1
        assert (await wire.get("aggTrades", symbol="BTCUSDT", startTime=later)).body == []


async def test_klines():
    async with market() as wire:
        await wire.control.trade("BTC/USDT", "sell", "0.25")
        for interval in ("1s", "1m", "1h", "1d", "1w", "1M"):
            candles = (await wire.get("klines", symbol="BTCUSDT", interval=interval)).body
            volume = sum(D(candle[5]) for candle in candles)
            assert volume == D("0.75"), interval
            assert candles[0][1] == "60010.00000000"
            assert candles[-1][4] == "59990.00000000"
            assert all(first[6] + 1 == second[0] for first, second in pairwise(candles))


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"symbol": "BTCUSDT"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ({"symbol": "BTCUSDT", "interval": "1m", "limit": "x"}, -1100),
        ({"symbol": "BTCUSDT", "interval": "1m", "startTime": 2, "endTime": 1}, -1130),
        ({"symbol": "BTCUSDT", "interval": "1m", "timeZone": "+20:00"}, -1130),
        ({"symbol": "NOPE", "interval": "1m"}, -1121),
        ({"symbol": "btcusdt", "interval": "1m"}, -1100),
        ({"interval": "1m"}, -1102),
        ({"symbol": "BTCUSDT", "interval": "1m", "colour": "red"}, -1104),
        ({"symbol": "", "interval": "1m"}, -1102),
    ],
)
async def test_bad_public_requests(params, code):
    async with serve() as wire:
        answer = await wire.get("klines", **params)
        assert (answer.status, answer.code) == (400, code)


async def test_tickers():
    async with market() as wire:
        await wire.control.trade("BTC/USDT", "sell", "0.25")
        day = (await wire.get("ticker/24hr", symbol="BTCUSDT")).body
        assert (day["openPrice"], day["highPrice"], day["lowPrice"], day["lastPrice"]) == (
            "60010.00000000",
            "60010.00000000",
            "59990.00000000",
            "59990.00000000",
        )
        assert (day["volume"], day["count"], day["priceChange"]) == ("0.75000000", 2, "-20.00000000")
        assert (day["bidPrice"], day["askPrice"]) == ("59990.00000000", "60010.00000000")
        assert day["weightedAvgPrice"] == f"{D(day['quoteVolume']) / D('0.75'):.8f}"
        mini = (await wire.get("ticker/24hr", symbols='["BTCUSDT"]', type="MINI")).body
        assert mini[0]["lastPrice"] == day["lastPrice"]
        assert "bidPrice" not in mini[0]
        assert (await wire.get("ticker/price", symbol="BTCUSDT")).body["price"] == "59990.00000000"
        assert len((await wire.get("ticker/price")).body) == 2
        both = (await wire.get("ticker/bookTicker", symbols='["BTCUSDT","ETHUSDT"]')).body
        assert [ticker["bidPrice"] for ticker in both] == ["59990.00000000", "0.00000000"]
        assert (await wire.get("ticker/24hr", symbol="ETHUSDT")).body["lastPrice"] == "0.00000000"
        assert 59_990 < D((await wire.get("avgPrice", symbol="BTCUSDT")).body["price"]) <= 60_010


async def test_unknown_paths_are_told_apart_from_refusals():
    async with serve() as wire:
        answer = await wire.get("nothing")
        assert (answer.status, answer.code) == (404, -1020)
        assert (await wire.rest("PUT", "order")).status == 404


# orders


async def test_an_order_from_placing_to_cancelling():
    async with market() as wire:
        placed = await wire.order(newClientOrderId="mine")
        assert (placed["status"], placed["price"], placed["origQty"], placed["clientOrderId"], placed["fills"]) == (
            "NEW",
            "59000.00000000",
            "0.01000000",
            "mine",
            [],
        )
        by_id = await wire.ok("GET", "order", symbol="BTCUSDT", orderId=placed["orderId"])
        assert by_id == await wire.ok("GET", "order", symbol="BTCUSDT", origClientOrderId="mine")
        assert (by_id["status"], by_id["isWorking"], by_id["time"]) == ("NEW", True, placed["transactTime"])
        assert await wire.ok("GET", "openOrders", symbol="BTCUSDT") == [by_id]
        assert await wire.ok("GET", "openOrders") == [by_id]
        cancelled = await wire.ok("DELETE", "order", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="bye")
        assert (cancelled["status"], cancelled["origClientOrderId"], cancelled["clientOrderId"]) == (
            "CANCELED",
            "mine",
            "bye",
        )
        assert await wire.ok("GET", "openOrders") == []
        everything = await wire.ok("GET", "allOrders", symbol="BTCUSDT")
        assert [(order["clientOrderId"], order["status"]) for order in everything] == [("mine", "CANCELED")]


async def test_a_taker_order_reports_its_fills_and_pays_its_fee():
    async with market() as wire:
        filled = await wire.ok("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
        assert (filled["status"], filled["executedQty"], filled["cummulativeQuoteQty"]) == (
            "FILLED",
            "0.10000000",
            "6001.00000000",
        )
        assert [
            (fill["price"], fill["qty"], fill["commission"], fill["commissionAsset"]) for fill in filled["fills"]
        ] == [("60010.00000000", "0.10000000", "0.00010000", "BTC")]
        (own,) = await wire.ok("GET", "myTrades", symbol="BTCUSDT")
        assert (own["orderId"], own["isBuyer"], own["isMaker"], own["commission"], own["id"]) == (
            filled["orderId"],
            True,
            False,
            "0.00010000",
            filled["fills"][0]["tradeId"],
        )
        account = await wire.ok("GET", "account", omitZeroBalances="true")
        balances = {entry["asset"]: D(entry["free"]) + D(entry["locked"]) for entry in account["balances"]}
        assert balances == {"BTC": D("10.0999"), "USDT": D(1_000_000 - 6001)}
        assert account["commissionRates"]["taker"] == "0.00100000"


async def test_an_order_by_quote():
    async with market() as wire:
        filled = await wire.ok("POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="1000")
        assert filled["origQuoteOrderQty"] == "1000.00000000"
        assert D(filled["cummulativeQuoteQty"]) <= 1000 < D(filled["cummulativeQuoteQty"]) + D("0.61")


async def test_locked_balance():
    async with market() as wire:
        await wire.order(price="50000", quantity="1")
        (usdt,) = [entry for entry in (await wire.ok("GET", "account"))["balances"] if entry["asset"] == "USDT"]
        assert (usdt["free"], usdt["locked"]) == ("950000.00000000", "50000.00000000")


@pytest.mark.parametrize(("response", "fields"), [("ACK", False), ("RESULT", True), ("FULL", True)])
async def test_kinds_of_answers(response, fields):
    async with market() as wire:
        answer = await wire.order(newOrderRespType=response)
        assert ("status" in answer) is fields
        assert ("fills" in answer) is (response == "FULL")


async def test_a_post_only_order_acknowledges_only():
    async with market() as wire:
        params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.01"}
        assert "status" not in await wire.ok("POST", "order", **params, price="59000")
        answer = await wire.rest("POST", "order", params | {"price": "60010"}, signed=True)
        assert (answer.code, answer.body["msg"]) == (-2010, "Order would immediately match and take.")


LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "59000",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


def but(base, **changes):
    return {name: value for name, value in (base | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (but(LIMIT, symbol=None), -1102),
        (but(LIMIT, symbol="DOGEUSDT"), -1121),
        (but(LIMIT, side=None), -1102),
        (but(LIMIT, side="LONG"), -1117),
        (but(LIMIT, type="STOP_LOSS"), -1116),
        (but(LIMIT, timeInForce=None), -1102),
        (but(LIMIT, timeInForce="GTX"), -1115),
        (but(LIMIT, price=None), -1102),
        (but(LIMIT, price=""), -1102),
        (but(LIMIT, quantity=None), -1102),
        (but(LIMIT, quantity="-1"), -1100),
        (but(LIMIT, price="abc"), -1100),
        (but(LIMIT, price="59000.123456789"), -1111),
        (but(LIMIT, price="59000.001"), -1013),
        (but(LIMIT, quantity="0.000001"), -1013),
        (but(LIMIT, quantity="0.00001"), -1013),
        (but(LIMIT, quoteOrderQty="5"), -1106),
        (but(LIMIT, newClientOrderId="has space"), -1100),
        (but(LIMIT, newClientOrderId="x" * 37), -1100),
        (but(LIMIT, newOrderRespType="LOUD"), -1130),
        (but(LIMIT, selfTradePreventionMode="MAYBE"), -1130),
        (but(LIMIT, icebergQty="0.001"), -1013),
        (but(LIMIT, clientOrderId="leaked"), -1104),
        (but(LIMIT, quantity="1000"), -1013),
        (but(LIMIT, quantity="20"), -2010),
        (but(LIMIT, type="LIMIT_MAKER"), -1106),
        (but(MARKET, timeInForce="GTC"), -1106),
        (but(MARKET, price="59000"), -1106),
        (but(MARKET, quantity=None), -1102),
        (but(MARKET, quoteOrderQty="100"), -1128),
        (but(MARKET, side="SELL", quantity="11"), -2010),
    ],
)
async def test_refused_orders_leave_nothing(params, code):
    async with market() as wire:
        answer = await wire.rest("POST", "order", params, signed=True)
        assert (answer.status, answer.code) == (400, code), answer.body
        assert await wire.ok("GET", "openOrders") == []
        assert (await wire.control.ledger()).balances["main"]["USDT"].available == 1_000_000


async def test_filter_failures_name_the_filter():
    async with market() as wire:
        for changes, name in (({"price": "59000.001"}, "PRICE_FILTER"), ({"quantity": "0.00001"}, "NOTIONAL")):
            answer = await wire.rest("POST", "order", LIMIT | changes, signed=True)
            assert answer.body["msg"] == f"Filter failure: {name}"


async def test_the_same_client_id_twice():
    async with market() as wire:
        first = await wire.order(newClientOrderId="once")
        answer = await wire.rest("POST", "order", LIMIT | {"newClientOrderId": "once"}, signed=True)
        assert (answer.code, answer.body["msg"]) == (-2010, "Duplicate order sent.")
        assert [order["orderId"] for order in await wire.ok("GET", "openOrders")] == [first["orderId"]]


async def test_testing_an_order_places_none():
    async with market() as wire:
        assert await wire.ok("POST", "order/test", **LIMIT) == {}
        assert (await wire.rest("POST", "order/test", LIMIT | {"price": "1.001"}, signed=True)).code == -1013
        assert await wire.ok("GET", "openOrders") == []


async def test_cancelling_what_is_not_there():
    async with market() as wire:
        for params, code in (
            ({"orderId": 999}, -2011),
            ({"origClientOrderId": "never"}, -2011),
            ({}, -1102),
            ({"orderId": "x"}, -1100),
        ):
            answer = await wire.rest("DELETE", "order", {"symbol": "BTCUSDT"} | params, signed=True)
            assert (answer.status, answer.code) == (400, code)
        assert (await wire.rest("GET", "order", {"symbol": "BTCUSDT", "orderId": 999}, signed=True)).code == -2013


async def test_cancel_restrictions():
    async with market() as wire:
        order = await wire.order()
        params = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
        for word, code in (("ONLY_PARTIALLY_FILLED", -2011), ("ONLY_OLD", -1145)):
            answer = await wire.rest("DELETE", "order", params | {"cancelRestrictions": word}, signed=True)
            assert answer.code == code
        await wire.ok("DELETE", "order", **params, cancelRestrictions="ONLY_NEW")


async def test_cancelling_all():
    async with market() as wire:
        ids = [(await wire.order(price=price))["orderId"] for price in ("59000", "58000")]
        answers = await wire.ok("DELETE", "openOrders", symbol="BTCUSDT")
        assert [(answer["orderId"], answer["status"]) for answer in answers] == [(each, "CANCELED") for each in ids]
        answer = await wire.rest("DELETE", "openOrders", {"symbol": "BTCUSDT"}, signed=True)
        assert (answer.status, answer.code) == (400, -2011)


async def test_cancel_replace():
    async with market() as wire:
        order = await wire.order()
        done = await wire.ok(
            "POST", "order/cancelReplace", **LIMIT | {"price": "58000"}, cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrderId=order["orderId"], newClientOrderId="second",
        )  # fmt: skip
        assert (done["cancelResult"], done["newOrderResult"]) == ("SUCCESS", "SUCCESS")
        assert done["cancelResponse"]["orderId"] == order["orderId"]
        assert done["newOrderResponse"]["price"] == "58000.00000000"
        assert [each["clientOrderId"] for each in await wire.ok("GET", "openOrders")] == ["second"]


@pytest.mark.parametrize(
    ("mode", "changes", "cancel", "status", "code", "results"),
    [
        ("STOP_ON_FAILURE", {}, 999, 400, -2022, ("FAILURE", "NOT_ATTEMPTED")),
        ("ALLOW_FAILURE", {}, 999, 409, -2021, ("FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", {"quantity": "100"}, 999, 400, -2022, ("FAILURE", "FAILURE")),
        ("STOP_ON_FAILURE", {"quantity": "100"}, None, 409, -2021, ("SUCCESS", "FAILURE")),
    ],
)
async def test_half_failed_cancel_replace(mode, changes, cancel, status, code, results):
    async with market() as wire:
        order = await wire.order()
        params = LIMIT | changes | {"cancelReplaceMode": mode, "cancelOrderId": cancel or order["orderId"]}
        answer = await wire.rest("POST", "order/cancelReplace", params, signed=True)
        assert (answer.status, answer.code) == (status, code)
        data = answer.body["data"]
        assert (data["cancelResult"], data["newOrderResult"]) == results
        if cancel:
            assert data["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}
        assert (data["newOrderResponse"] is None) is (results[1] == "NOT_ATTEMPTED")


async def test_cancel_replace_needs_to_know_what_to_cancel():
    async with market() as wire:
        for params, code in (({"cancelReplaceMode": "STOP_ON_FAILURE"}, -1102), ({"cancelOrderId": 1}, -1102)):
            answer = await wire.rest("POST", "order/cancelReplace", LIMIT | params, signed=True)
            assert answer.code == code


async def test_own_trades_by_order_id_and_time():
    async with market() as wire:
        for _ in range(3):
            await wire.ok("POST", "order", **MARKET)
        trades = await wire.ok("GET", "myTrades", symbol="BTCUSDT")
        assert len(trades) == 3
        assert await wire.ok("GET", "myTrades", symbol="BTCUSDT", fromId=trades[1]["id"]) == trades[1:]
        assert await wire.ok("GET", "myTrades", symbol="BTCUSDT", orderId=trades[2]["orderId"]) == trades[2:]
        assert await wire.ok("GET", "myTrades", symbol="BTCUSDT", limit=1) == trades[2:]
        start = trades[0]["time"]
        assert await wire.ok("GET", "myTrades", symbol="BTCUSDT", startTime=start) == trades
        for params, code in (
            ({"startTime": 0, "endTime": 86_400_001}, -1127),
            ({"startTime": 1, "fromId": 1}, -1128),
        ):
            answer = await wire.rest("GET", "myTrades", {"symbol": "BTCUSDT"} | params, signed=True)
            assert answer.code == code


# who asks


async def test_keys_and_signatures():
    async with serve() as wire:
        other = Credentials("f" * 64, "s" * 64)
        good, text = wire.credentials, f"timestamp={wire.now_ms}"
        signature = sign(good.secret, text)
        key = {"X-MBX-APIKEY": good.api_key}
        for headers, query, status, code in (
            ({}, f"{text}&signature={signature}", 401, -2014),
            ({"X-MBX-APIKEY": "not a key"}, f"{text}&signature={signature}", 401, -2014),
            ({"X-MBX-APIKEY": other.api_key}, f"{text}&signature={signature}", 401, -2015),
            (key, f"{text}&signature={sign(other.secret, text)}", 400, -1022),
            (key, f"{text}&recvWindow=9&signature={signature}", 400, -1022),
            (key, text, 400, -1102),
            (key, "signature=" + sign(good.secret, ""), 400, -1102),
            (key, f"timestamp=soon&signature={sign(good.secret, 'timestamp=soon')}", 400, -1102),
            (key, f"timestamp={'9' * 5000}&signature=x", 400, -1102),
        ):
            answer = await wire.raw("GET", "account", query, headers)
            assert (answer.status, answer.code) == (status, code), query
        assert (await wire.raw("GET", "account", f"{text}&signature={signature}", key)).status == 200
        assert (await wire.raw("GET", "account", f"{text}&signature={signature.upper()}", key)).status == 200


@pytest.mark.parametrize(
    ("offset", "window", "code"), [(-5100, None, -1021), (1500, None, -1021), (-50, "1", -1021), (0, "60001", -1131)]
)
async def test_times_outside_the_window(offset, window, code):
    async with serve() as wire:
        params = {"timestamp": wire.now_ms + offset} | ({"recvWindow": window} if window else {})
        answer = await wire.rest("GET", "account", params, signed=True)
        assert (answer.status, answer.code) == (400, code)


async def test_a_skewed_clock_refuses_the_times_it_accepted():
    async with serve() as wire:
        before = wire.now_ms
        await wire.control.fault("skew", offset=30)
        assert wire.now_ms - before >= 30_000
        assert (await wire.rest("GET", "account", {"timestamp": before}, signed=True)).code == -1021
        assert (await wire.get("time")).body["serverTime"] - before >= 30_000
        await wire.ok("GET", "account")
        await wire.control.clear_faults("skew")
        assert wire.now_ms - before < 29_000


async def test_parameters_may_come_by_query_or_body_and_the_query_counts():
    async with market() as wire:
        body = urlencode(LIMIT | {"price": "50000"})
        query = f"price=58000&timestamp={wire.now_ms}"
        signature = sign(wire.credentials.secret, query + body)
        url = f"{wire.server.url}/api.binance.com/api/v3/order?{query}&signature={signature}"
        headers = {"X-MBX-APIKEY": wire.credentials.api_key, "Content-Type": "application/x-www-form-urlencoded"}
        async with wire.session.post(url, data=body, headers=headers) as response:
            assert (await response.json())["price"] == "58000.00000000"


async def test_duplicate_parameters_are_refused():
    async with serve() as wire:
        assert (await wire.raw("GET", "depth", "symbol=BTCUSDT&symbol=ETHUSDT", {})).code == -1101


@given(st.dictionaries(st.text(), st.text(), max_size=6), st.sampled_from([quote, quote_plus]))
def test_fields_are_read_as_they_were_encoded(values, encode):
    assert _fields(urlencode(values, quote_via=encode)) == values


async def test_accounts_do_not_see_each_other():
    async with market() as wire:
        other = await wire.control.create_account("other", {"USDT": 5000})
        order = await wire.order()
        seen = await wire.rest("GET", "openOrders", signed=True, credentials=other)
        assert seen.body == []
        answer = await wire.rest(
            "DELETE", "order", {"symbol": "BTCUSDT", "orderId": order["orderId"]}, signed=True, credentials=other
        )
        assert answer.code == -2011
        answer = await wire.rest("POST", "order", LIMIT, signed=True, credentials=other)
        assert answer.status == 200


# how often


async def test_used_weight_and_order_counts_in_the_headers():
    async with market() as wire:
        answer = await wire.get("depth", symbol="BTCUSDT", limit=1000)
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "50"
        answer = await wire.rest("POST", "order", LIMIT, signed=True)
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "51"
        assert (answer.headers["X-MBX-ORDER-COUNT-10S"], answer.headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "1")
        answer = await wire.rest("POST", "order", MARKET, signed=True)
        assert answer.headers["X-MBX-ORDER-COUNT-1D"] == "1"  # it traded, so it does not count
        (ten_seconds, day) = await wire.ok("GET", "rateLimit/order")
        assert (ten_seconds["limit"], day["limit"], day["count"]) == (100, 200_000, 1)


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("ping", {}, 1),
        ("exchangeInfo", {}, 20),
        ("depth", {"symbol": "BTCUSDT"}, 5),
        ("depth", {"symbol": "BTCUSDT", "limit": 500}, 25),
        ("depth", {"symbol": "BTCUSDT", "limit": 5000}, 250),
        ("depth", {"symbol": "BTCUSDT", "limit": "9" * 30}, 5),
        ("trades", {"symbol": "BTCUSDT"}, 25),
        ("aggTrades", {"symbol": "BTCUSDT"}, 4),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m"}, 2),
        ("ticker/24hr", {"symbol": "BTCUSDT"}, 2),
        ("ticker/24hr", {}, 80),
        ("ticker/price", {}, 4),
    ],
)
async def test_weights(path, params, weight):
    async with serve() as wire:
        assert (await wire.get(path, **params)).headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("account", {}, 20),
        ("openOrders", {}, 80),
        ("openOrders", {"symbol": "BTCUSDT"}, 6),
        ("myTrades", {"symbol": "BTCUSDT"}, 20),
        ("myTrades", {"symbol": "BTCUSDT", "orderId": 1}, 5),
        ("allOrders", {"symbol": "BTCUSDT"}, 20),
    ],
)
async def test_weights_of_signed_requests(path, params, weight):
    async with serve() as wire:
        answer = await wire.rest("GET", path, params, signed=True)
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


async def test_429_then_418_on_going_on():
    async with serve() as wire:
        await wire.control.set_limits(weight=10, ban_after=2)
        assert (await wire.get("exchangeInfo")).status == 429
        answer = await wire.get("ping")
        assert (answer.status, answer.code) == (429, -1003)
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        answer = await wire.get("ping")
        assert (answer.status, answer.headers["Retry-After"]) == (418, "120")
        assert "data" not in answer.body
        assert (await wire.control.stats())["rate_limit_refusals"] == 3
        await wire.control.set_limits(weight=6000)
        assert (await wire.get("ping")).status == 200


async def test_too_many_orders():
    async with market() as wire:
        await wire.control.set_limits(orders_10s=2)
        answers = [await wire.rest("POST", "order", LIMIT, signed=True) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[-1].code == -1015
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 10
        assert (await wire.rest("DELETE", "openOrders", {"symbol": "BTCUSDT"}, signed=True)).status == 200
