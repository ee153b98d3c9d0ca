import asyncio
from decimal import Decimal

import pytest

from kit.testnet.sockets import QueueLimits
from tests.support.testnet_wire import PATIENCE, market, serve, until

D = Decimal


class Book:
    """A book kept by the documented rules from a snapshot and depth updates."""

    def __init__(self, snapshot):
        self.last = snapshot["lastUpdateId"]
        self.sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        self.first = True

    def apply(self, update):
        if update["u"] <= self.last:
            return
        assert update["U"] == self.last + 1 if not self.first else update["U"] <= self.last + 1 <= update["u"]
        self.first, self.last = False, update["u"]
        for side, levels in self.sides.items():
            for price, quantity in update[side]:
                if D(quantity):
                    levels[price] = quantity
                else:
                    levels.pop(price, None)

    def levels(self):
        return (
            sorted(self.sides["b"].items(), key=lambda level: -D(level[0])),
            sorted(self.sides["a"].items(), key=lambda level: D(level[0])),
        )


# commands


async def test_subscribing_listing_and_unsubscribing():
    async with serve() as wire, wire.streams() as socket:
        assert await socket.command("SUBSCRIBE", "btcusdt@trade", "ethusdt@depth") == {"result": None, "id": 1}
        assert (await socket.command("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@trade", "ethusdt@depth"]
        assert (await socket.command("UNSUBSCRIBE", "btcusdt@trade"))["result"] is None
        assert (await socket.command("LIST_SUBSCRIPTIONS"))["result"] == ["ethusdt@depth"]
        await wire.control.trade("BTC/USDT", "buy", 1, 60_000)
        await wire.control.trade("BTC/USDT", "sell", 1, 60_000)
        assert await socket.quiet()


@pytest.mark.parametrize(
    "stream",
    [
        "btcusdt@nothing",
        "dogeusdt@trade",
        "BTCUSDT@trade",
        "btcusdt",
        "btcusdt@kline_7m",
        "btcusdt@depth7",
        "btcusdt@depth@50ms",
        "@trade",
        "!bookTicker",
        "",
    ],
)
async def test_streams_that_do_not_exist(stream):
    async with serve() as wire, wire.streams() as socket:
        answer = await socket.command("SUBSCRIBE", "btcusdt@trade", stream)
        assert answer == {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 1}
        assert (await socket.command("LIST_SUBSCRIPTIONS"))["result"] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not json", 3),
        ("[]", 2),
        ('{"id": 1}', 2),
        ('{"method": "SHOUT", "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": "btcusdt@trade", "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": [1], "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": [], "id": 1.5}', 2),
        ('{"method": "SUBSCRIBE", "params": [], "id": true}', 2),
        ('{"method": "GET_PROPERTY", "params": [1], "id": 1}', 2),
        ('{"method": "GET_PROPERTY", "params": ["colour"], "id": 1}', 0),
        ('{"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}', 1),
        ('{"method": ["SUBSCRIBE"], "id": 1}', 2),
    ],
)
async def test_bad_commands_are_answered_and_the_socket_lives(text, code):
    async with serve() as wire, wire.streams() as socket:
        await socket.raw.send_str(text)
        assert (await socket.receive())["error"]["code"] == code
        assert (await socket.command("LIST_SUBSCRIPTIONS"))["result"] == []


async def test_the_combined_form():
    async with (
        market() as wire,
        wire.socket("/stream.binance.com/stream?streams=btcusdt@trade/btcusdt@depth5") as socket,
    ):
        await wire.control.trade("BTC/USDT", "buy", 1)
        message = await socket.receive()
        assert message["stream"] == "btcusdt@trade"
        assert message["data"]["q"] == "1.00000000"
        assert (await socket.command("GET_PROPERTY", "combined"))["result"] is True
        await socket.command("SET_PROPERTY", "combined", False)
        await wire.control.trade("BTC/USDT", "buy", 1)
        assert (await socket.receive())["e"] == "trade"


async def test_streams_named_in_the_address():
    async with market() as wire, wire.streams("btcusdt@trade", "0") as socket:
        assert (await socket.command("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@trade"]


# messages


async def test_trades_and_aggregated_trades():
    async with market() as wire, wire.streams("btcusdt@trade") as trades, wire.streams("btcusdt@aggTrade") as aggs:
        await wire.control.trade("BTC/USDT", "sell", 1, "60010")
        await wire.control.trade("BTC/USDT", "buy", "5.25")
        first, second = await trades.receive(), await trades.receive()
        assert (first["e"], first["s"], first["t"], first["p"], first["q"], first["m"]) == (
            "trade",
            "BTCUSDT",
            2,
            "60010.00000000",
            "4.50000000",
            False,
        )
        assert (second["t"], second["q"]) == (3, "0.75000000")
        agg = await aggs.receive()
        assert (agg["e"], agg["a"], agg["q"], agg["f"], agg["l"]) == ("aggTrade", 2, "5.25000000", 2, 3)
        (*_, listed) = (await wire.get("aggTrades", symbol="BTCUSDT")).body
        assert agg == {**listed, "e": "aggTrade", "s": "BTCUSDT", "E": agg["E"]}


async def test_best_prices_come_when_they_change_and_only_then():
    async with market() as wire, wire.streams("btcusdt@bookTicker") as socket:
        await wire.control.trade("BTC/USDT", "buy", 1, 59_000)
        await wire.control.trade("BTC/USDT", "buy", 1, 59_995)
        await wire.control.trade("BTC/USDT", "buy", 1, 58_000)
        await wire.control.trade("BTC/USDT", "sell", 1)
        first, second, third = [await socket.receive() for _ in range(3)]
        assert first == {
            "u": 4,
            "s": "BTCUSDT",
            "b": "59990.00000000",
            "B": "5.00000000",
            "a": "60010.00000000",
            "A": "4.50000000",
        }  # the first change tells the present state
        assert (second["b"], second["B"]) == ("59995.00000000", "1.00000000")
        assert third["b"] == "59990.00000000"
        assert await socket.quiet()


async def test_depth_updates_continue_each_other_and_lead_to_the_book():
    async with market() as wire, wire.streams("btcusdt@depth@100ms") as fast, wire.streams("btcusdt@depth") as slow:
        await fast.command("LIST_SUBSCRIPTIONS")
        await slow.command("LIST_SUBSCRIPTIONS")
        await wire.control.trade("BTC/USDT", "buy", 1, 59_000)
        book, slow_book = [Book((await wire.get("depth", symbol="BTCUSDT")).body) for _ in range(2)]
        for step in range(30):
            await wire.control.trade("BTC/USDT", "sell" if step % 3 else "buy", "0.3", 59_980 + step)
            wire.beat()
        truth = (await wire.get("depth", symbol="BTCUSDT")).body
        while book.last < truth["lastUpdateId"]:
            book.apply(await fast.receive())
        while slow_book.last < truth["lastUpdateId"]:
            slow_book.apply(await slow.receive())
        for kept in (book, slow_book):
            assert kept.levels() == tuple([tuple(level) for level in truth[side]] for side in ("bids", "asks"))


async def test_nothing_is_published_when_nothing_changed():
    async with market() as wire, wire.streams("btcusdt@depth@100ms", "btcusdt@depth") as socket:
        await socket.command("LIST_SUBSCRIPTIONS")
        wire.beat()
        await socket.receive()
        wire.beat(5)
        assert await socket.quiet()


async def test_removed_levels_are_told_as_zero():
    async with market() as wire, wire.streams("btcusdt@depth@100ms") as socket:
        wire.beat()
        await socket.receive()
        await wire.control.trade("BTC/USDT", "buy", "4.5")
        wire.beat()
        update = await socket.receive()
        assert (update["e"], update["b"], update["a"]) == ("depthUpdate", [], [["60010.00000000", "0.00000000"]])


async def test_partial_books():
    async with market() as wire, wire.streams("btcusdt@depth5@100ms") as socket:
        for price in range(59_000, 59_010):
            await wire.control.trade("BTC/USDT", "buy", 1, price)
        wire.beat()
        message = await socket.receive()
        assert [level[0] for level in message["bids"]][:2] == ["59990.00000000", "59009.00000000"]
        assert len(message["bids"]) == 5
        assert message["lastUpdateId"] == 13


async def test_tickers_once_a_second():
    names = ("btcusdt@miniTicker", "btcusdt@ticker", "!miniTicker@arr", "!ticker@arr")
    async with market() as wire:
        messages = []
        for name in names:
            async with wire.streams(name) as socket:
                await socket.command("LIST_SUBSCRIPTIONS")
                wire.beat(10)
                messages.append(await socket.receive())
        mini, full, all_mini, all_full = messages
        assert (mini["e"], mini["c"], mini["v"]) == ("24hrMiniTicker", "60010.00000000", "0.50000000")
        assert (full["e"], full["b"], full["a"], full["n"]) == ("24hrTicker", "59990.00000000", "60010.00000000", 1)
        assert [each["s"] for each in all_mini] == [each["s"] for each in all_full] == ["BTCUSDT", "ETHUSDT"]
        assert "b" not in all_mini[0]


async def test_candles_are_sent_open_and_once_closed():
    now = 1_700_000_000.0
    async with serve(wall=lambda: now) as wire, wire.streams("btcusdt@kline_1m") as socket:
        await wire.control.trade("BTC/USDT", "sell", 1, 60_000)
        await wire.control.trade("BTC/USDT", "buy", "0.25")
        wire.beat(10)
        first = (await socket.receive())["k"]
        assert (first["i"], first["x"], first["o"], first["v"], first["V"], first["n"]) == (
            "1m",
            False,
            "60000.00000000",
            "0.25000000",
            "0.25000000",
            1,
        )
        now += 60
        wire.beat(10)
        closed, following = (await socket.receive())["k"], (await socket.receive())["k"]
        assert (closed["t"], closed["x"], closed["v"]) == (first["t"], True, "0.25000000")
        assert (following["t"], following["x"], following["v"], following["o"]) == (
            closed["T"] + 1,
            False,
            "0.00000000",
            "60000.00000000",
        )
        wire.beat(10)
        assert (await socket.receive())["k"]["t"] == following["t"]


async def test_the_beat_publishes_by_itself():
    async with market(beating=True) as wire, wire.streams("btcusdt@depth@100ms", "btcusdt@miniTicker") as socket:
        await wire.control.trade("BTC/USDT", "buy", 1, 59_000)
        await socket.receive_until(lambda message: ["59000.00000000", "1.00000000"] in message.get("b", ()))
        await socket.receive_until(lambda message: message["e"] == "24hrMiniTicker")


# sockets


async def test_pings_are_answered():
    async with serve() as wire, wire.socket("/stream.binance.com/ws", autoping=False) as socket:
        await socket.raw.ping(b"are you there")
        message = await asyncio.wait_for(socket.raw.receive(), PATIENCE)
        assert (message.type.name, message.data) == ("PONG", b"are you there")


async def test_one_message_reaches_every_subscriber_and_nobody_else():
    async with (
        market() as wire,
        wire.streams("btcusdt@trade") as one,
        wire.streams("btcusdt@trade") as two,
        wire.streams("ethusdt@trade") as other,
    ):
        await wire.control.trade("BTC/USDT", "buy", 1)
        assert await one.receive() == await two.receive()
        assert await other.quiet()


async def test_a_client_that_does_not_read_is_cut_and_the_others_go_on():
    async with market() as wire, wire.streams("btcusdt@trade") as good, wire.streams("btcusdt@trade") as bad:
        await bad.command("LIST_SUBSCRIPTIONS")
        wire.server.sockets.limits = QueueLimits(messages=50, size=1 << 20)
        bad.raw._response.connection.transport.pause_reading()
        counts, sent = wire.server.sockets.counts, 0
        while not counts["slow_cut"]:
            assert sent < 2000  # many times what the system's own buffers hold
            wire.server.hub.publish("btcusdt@trade", {"e": "trade", "s": "BTCUSDT", "filler": "x" * 20_000})
            sent += 1
            assert (await good.receive())["e"] == "trade"
        bad.raw._response.connection.transport.resume_reading()
        assert await bad.closed()
        (left,) = await wire.control.connections()
        assert left["sent"] >= sent


async def test_sockets_that_go_leave_nothing_behind():
    async with serve() as wire:
        for _ in range(5):
            async with wire.streams("btcusdt@trade") as socket:
                await socket.command("LIST_SUBSCRIPTIONS")
        await until(lambda: not wire.server.hub.wanted("btcusdt@trade") and not wire.server.sockets.of_kind("market"))
        assert await wire.control.connections() == []
        assert (await wire.control.stats())["market_opened"] == 5
