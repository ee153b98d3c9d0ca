import pytest

from kit.types.ports import Credentials
from tests.support.testnet_wire import market, serve, until

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "59000",
}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}


async def subscribed(socket, credentials=None):
    answer = await socket.request("userDataStream.subscribe.signature", _credentials=credentials)
    assert answer["status"] == 200
    return answer["result"]["subscriptionId"]


def kinds(events):
    return [event["event"]["e"] for event in events]


# requests


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ping", {}),
        ("time", {}),
        ("v3/time", {}),
        ("exchangeInfo", {"symbols": ["BTCUSDT"]}),
        ("depth", {"symbol": "BTCUSDT", "limit": 5}),
        ("trades.recent", {"symbol": "BTCUSDT"}),
        ("trades.historical", {"symbol": "BTCUSDT", "fromId": 1}),
        ("trades.aggregate", {"symbol": "BTCUSDT"}),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m"}),
        ("avgPrice", {"symbol": "BTCUSDT"}),
        ("ticker.24hr", {"symbol": "BTCUSDT"}),
        ("ticker.price", {"symbols": ["BTCUSDT", "ETHUSDT"]}),
        ("ticker.book", {"symbol": "BTCUSDT"}),
    ],
)
async def test_public_requests_answer_as_rest_does(method, params):
    async with market() as wire, wire.ws_api() as socket:
        answer = await socket.request(method, _signed=False, **params)
        assert answer["status"] == 200
        assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
        if method == "depth":
            assert answer["result"] == (await wire.get("depth", symbol="BTCUSDT", limit=5)).body


async def test_ids_of_any_kind_come_back():
    async with serve() as wire, wire.ws_api() as socket:
        for number in (1, "abc", None, 12345678901234567890):
            await socket.raw.send_json({"id": number, "method": "ping"})
            assert await socket.receive() == {
                "id": number,
                "status": 200,
                "result": {},
                "rateLimits": [wire.server.exchange.limiter.weight_status("127.0.0.1")],
            }


async def test_rate_limits_can_be_left_out():
    async with serve() as wire, wire.socket("/ws-api.binance.com/ws-api/v3?returnRateLimits=false") as socket:
        assert "rateLimits" not in await socket.request("ping", _signed=False)
        assert "rateLimits" in await socket.request("ping", _signed=False, returnRateLimits=True)
    async with serve() as wire, wire.ws_api() as socket:
        assert "rateLimits" not in await socket.request("ping", _signed=False, returnRateLimits=False)


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("no json", 400, -1135),
        ("[1]", 400, -1135),
        ('{"id": 1}', 400, -1102),
        ('{"id": 1, "method": 5}', 400, -1102),
        ('{"id": 1, "method": "order.explode"}', 404, -1020),
        ('{"id": 1, "method": "ping", "params": [1]}', 400, -1135),
        ('{"id": 1, "method": "ping", "params": {"x": 1}}', 400, -1104),
        ('{"id": 1, "method": "depth", "params": {}}', 400, -1102),
        ('{"id": 1, "method": "depth", "params": {"symbol": "NOPE"}}', 400, -1121),
        ('{"id": 1, "method": "depth", "params": {"symbol": null}}', 400, -1102),
        ('{"id": 1, "method": "account.status", "params": {}}', 401, -2014),
    ],
)
async def test_bad_requests_are_answered_and_the_socket_lives(text, status, code):
    async with serve() as wire, wire.ws_api() as socket:
        await socket.raw.send_str(text)
        answer = await socket.receive()
        assert (answer["status"], answer["error"]["code"]) == (status, code)
        assert (await socket.request("ping", _signed=False))["status"] == 200


async def test_keys_signatures_and_times():
    async with serve() as wire, wire.ws_api() as socket:
        good = wire.credentials
        for credentials, params, status, code in (
            (Credentials("f" * 64, good.secret), {}, 401, -2015),
            (Credentials(good.api_key, "s"), {}, 400, -1022),
            (good, {"timestamp": wire.now_ms - 6000}, 400, -1021),
            (good, {"timestamp": wire.now_ms + 1500}, 400, -1021),
            (good, {"timestamp": "soon"}, 400, -1102),
            (good, {"recvWindow": 60_001}, 400, -1131),
        ):
            answer = await socket.request("account.status", _credentials=credentials, **params)
            assert (answer["status"], answer["error"]["code"]) == (status, code)
        assert (await socket.request("account.status"))["status"] == 200


# orders


async def test_orders_of_every_kind():
    async with market() as wire, wire.ws_api() as socket:
        placed = await socket.request("order.place", **LIMIT, newClientOrderId="mine")
        assert [limit["rateLimitType"] for limit in placed["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
        assert [limit["count"] for limit in placed["rateLimits"][:2]] == [1, 1]
        order = placed["result"]
        state = (await socket.request("order.status", symbol="BTCUSDT", orderId=str(order["orderId"])))["result"]
        assert state["clientOrderId"] == "mine"
        assert (await socket.request("openOrders.status", symbol="BTCUSDT"))["result"] == [state]
        replaced = await socket.request(
            "order.cancelReplace",
            **LIMIT | {"price": "58000"},
            cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrigClientOrderId="mine",
        )
        assert replaced["result"]["newOrderResult"] == "SUCCESS"
        cancelled = await socket.request(
            "order.cancel", symbol="BTCUSDT", orderId=replaced["result"]["newOrderResponse"]["orderId"]
        )
        assert cancelled["result"]["status"] == "CANCELED"
        await socket.request("order.place", **LIMIT)
        everything = await socket.request("openOrders.cancelAll", symbol="BTCUSDT")
        assert [each["status"] for each in everything["result"]] == ["CANCELED"]
        assert len((await socket.request("allOrders", symbol="BTCUSDT"))["result"]) == 3
        assert (await socket.request("order.test", **LIMIT))["result"] == {}
        counts = (await socket.request("account.rateLimits.orders"))["result"]
        assert [each["count"] for each in counts] == [3, 3]
        await socket.request("order.place", **MARKET)
        assert len((await socket.request("myTrades", symbol="BTCUSDT"))["result"]) == 1


async def test_refused_orders():
    async with market() as wire, wire.ws_api() as socket:
        answer = await socket.request("order.place", **LIMIT | {"quantity": "100"})
        assert (answer["status"], answer["error"]["code"]) == (400, -2010)
        answer = await socket.request(
            "order.cancelReplace",
            **LIMIT | {"quantity": "100"},
            cancelReplaceMode="ALLOW_FAILURE",
            cancelOrderId=999,
        )
        assert (answer["status"], answer["error"]["code"]) == (400, -2022)
        assert answer["error"]["data"]["cancelResponse"]["code"] == -2011
        assert (await socket.request("openOrders.cancelAll", symbol="BTCUSDT"))["error"]["code"] == -2011


async def test_429_and_418_tell_when_to_come_back():
    async with serve() as wire, wire.ws_api() as socket:
        await wire.control.set_limits(weight=10, ban_after=1)
        over = await socket.request("exchangeInfo", _signed=False)
        assert (over["status"], over["error"]["code"]) == (429, -1003)
        assert 0 < over["error"]["data"]["retryAfter"] - over["error"]["data"]["serverTime"] <= 60_000
        banned = await socket.request("ping", _signed=False)
        assert banned["status"] == 418
        assert banned["error"]["data"]["retryAfter"] - wire.now_ms > 100_000


# the user stream


async def test_the_life_of_an_order_as_events():
    async with market() as wire, wire.ws_api() as socket:
        number = await subscribed(socket)
        placed = await socket.request("order.place", **LIMIT, newClientOrderId="mine")
        assert kinds(socket.events) == ["executionReport", "outboundAccountPosition"]
        assert all(event["subscriptionId"] == number for event in socket.events)
        report, position = (event["event"] for event in socket.events)
        assert report["i"] == placed["result"]["orderId"]
        assert {name: report[name] for name in "sScofqpxXrlzLnNtmwC"} == {
            "s": "BTCUSDT",
            "S": "BUY",
            "c": "mine",
            "o": "LIMIT",
            "f": "GTC",
            "q": "0.01000000",
            "p": "59000.00000000",
            "x": "NEW",
            "X": "NEW",
            "r": "NONE",
            "l": "0.00000000",
            "z": "0.00000000",
            "L": "0.00000000",
            "n": "0",
            "N": None,
            "t": -1,
            "m": False,
            "w": True,
            "C": "",
        }
        assert position["B"] == [{"a": "USDT", "f": "999410.00000000", "l": "590.00000000"}]
        socket.events.clear()
        await socket.request("order.cancel", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="bye")
        report, position = (event["event"] for event in socket.events)
        assert (report["x"], report["X"], report["c"], report["C"], report["w"]) == (
            "CANCELED",
            "CANCELED",
            "bye",
            "mine",
            False,
        )
        assert position["B"] == [{"a": "USDT", "f": "1000000.00000000", "l": "0.00000000"}]


async def test_partial_fills_are_told_one_by_one():
    async with market() as wire, wire.ws_api() as socket:
        await wire.control.trade("BTC/USDT", "sell", 1, "60005")
        await subscribed(socket)
        await socket.request("order.place", **LIMIT | {"quantity": "2", "price": "60010"})
        reports = [event["event"] for event in socket.events if event["event"]["e"] == "executionReport"]
        assert [(each["x"], each["X"], each["l"], each["z"], each["L"], each["n"], each["N"]) for each in reports] == [
            ("NEW", "NEW", "0.00000000", "0.00000000", "0.00000000", "0", None),
            ("TRADE", "PARTIALLY_FILLED", "1.00000000", "1.00000000", "60005.00000000", "0.00100000", "BTC"),
            ("TRADE", "FILLED", "1.00000000", "2.00000000", "60010.00000000", "0.00100000", "BTC"),
        ]
        assert [each["Z"] for each in reports] == ["0.00000000", "60005.00000000", "120015.00000000"]
        assert len({each["t"] for each in reports[1:]}) == 2


async def test_a_maker_hears_of_its_fill():
    async with market() as wire, wire.ws_api() as socket:
        await subscribed(socket)
        await socket.request("order.place", **LIMIT | {"price": "60000"})
        await wire.control.trade("BTC/USDT", "sell", "0.01")
        event = await socket.receive_until(lambda message: message.get("event", {}).get("x") == "TRADE")
        assert (event["event"]["m"], event["event"]["X"], event["event"]["S"]) == (True, "FILLED", "BUY")
        position = await socket.receive()
        assert {entry["a"] for entry in position["event"]["B"]} == {"BTC", "USDT"}


async def test_expired_orders_say_why():
    async with market() as wire, wire.ws_api() as socket:
        await subscribed(socket)
        await socket.request("order.place", **LIMIT | {"timeInForce": "IOC"})
        reports = [event["event"] for event in socket.events if event["event"]["e"] == "executionReport"]
        assert [(each["x"], each["X"], each.get("eR")) for each in reports] == [
            ("NEW", "NEW", None),
            ("EXPIRED", "EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ]


async def test_trading_with_oneself_is_prevented_and_told():
    async with market() as wire, wire.ws_api() as socket:
        await socket.request("order.place", **LIMIT | {"price": "60005"})
        await subscribed(socket)
        await socket.request(
            "order.place", **LIMIT | {"side": "SELL", "price": "60005"}, selfTradePreventionMode="EXPIRE_MAKER"
        )
        (prevented,) = [event["event"] for event in socket.events if event["event"].get("x") == "TRADE_PREVENTION"]
        assert (prevented["X"], prevented["A"], prevented["pl"], prevented["pL"]) == (
            "EXPIRED_IN_MATCH",
            "0.01000000",
            "0.01000000",
            "60005.00000000",
        )
        assert (await wire.control.ledger()).balanced


async def test_deposits_are_told():
    async with serve() as wire, wire.ws_api() as socket:
        await subscribed(socket)
        await wire.control.deposit("BTC", "1.5")
        first, second = await socket.receive(), await socket.receive()
        assert kinds([first, second]) == ["balanceUpdate", "outboundAccountPosition"]
        assert (first["event"]["a"], first["event"]["d"]) == ("BTC", "1.50000000")
        assert second["event"]["B"] == [{"a": "BTC", "f": "11.50000000", "l": "0.00000000"}]


async def test_events_come_before_the_answer_and_only_to_the_account_that_asked():
    async with market() as wire, wire.ws_api() as mine, wire.ws_api() as others:
        other = await wire.control.create_account("other", {"USDT": 1000})
        await subscribed(mine)
        await subscribed(others, other)
        number = await mine.send("order.place", **LIMIT)
        assert [message.get("id") for message in [await mine.receive() for _ in range(3)]] == [None, None, number]
        await others.request("ping", _signed=False)
        assert others.events == []


async def test_two_accounts_on_one_socket():
    async with market() as wire, wire.ws_api() as socket:
        other = await wire.control.create_account("other", {"USDT": 1000})
        numbers = [await subscribed(socket), await subscribed(socket, other)]
        assert numbers == [0, 1]
        await socket.request("order.place", _credentials=other, **LIMIT)
        assert {event["subscriptionId"] for event in socket.events} == {1}
        listed = await socket.request("session.subscriptions", _signed=False)
        assert listed["result"] == [{"subscriptionId": 0}, {"subscriptionId": 1}]


async def test_subscribing_twice_and_unsubscribing():
    async with market() as wire, wire.ws_api() as socket:
        await subscribed(socket)
        again = await socket.request("userDataStream.subscribe.signature")
        assert again["error"]["code"] == -2035
        unknown = await socket.request("userDataStream.unsubscribe", _signed=False, subscriptionId=7)
        assert unknown["error"]["code"] == -2036
        done = await socket.request("userDataStream.unsubscribe", _signed=False)
        assert done["result"] == {}
        assert kinds(socket.events) == ["eventStreamTerminated"]
        socket.events.clear()
        await socket.request("order.place", **LIMIT)
        assert socket.events == []
        assert await subscribed(socket) == 1


async def test_a_wrong_signature_subscribes_to_nothing():
    async with market() as wire, wire.ws_api() as socket:
        wrong = Credentials(wire.credentials.api_key, "wrong")
        answer = await socket.request("userDataStream.subscribe.signature", _credentials=wrong)
        assert (answer["status"], answer["error"]["code"]) == (400, -1022)
        await socket.request("order.place", **LIMIT)
        assert socket.events == []


async def test_a_closed_socket_is_forgotten():
    async with market() as wire:
        async with wire.ws_api() as socket:
            await subscribed(socket)
            assert [entry["accounts"] for entry in await wire.control.connections()] == [["main"]]
        await until(lambda: not wire.server.sockets.of_kind("user"))
        assert await wire.control.connections() == []
        assert wire.server.users._listeners == {}
        await wire.order()
        assert (await wire.control.stats())["listener_errors"] == 0
