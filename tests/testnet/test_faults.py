import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.testnet import binance_rest, binance_ws_api
from kit.testnet.faults import KINDS, ONE_ANSWER, FaultBoard
from kit.testnet.signing import sign
from kit.testnet.sockets import Sockets
from tests.support.testnet_wire import PATIENCE, market, serve, until

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "59000",
}


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(clock):
    return FaultBoard(clock)


# the board


def test_a_fault_strikes_once_unless_told_otherwise(board):
    board.add("error", on="depth")
    assert board.take(("error",), "order.place", "rest") is None
    assert board.take(("delay",), "depth", "rest") is None
    fault = board.take(ONE_ANSWER, "depth", "rest")
    assert (fault.kind, fault.hits) == ("error", 1)
    assert board.take(ONE_ANSWER, "depth", "rest") is None
    assert board.struck == {"error": 1}


@given(st.integers(1, 20))
def test_a_fault_strikes_as_often_as_asked(count):
    board = FaultBoard(Clock())
    board.add("gap", count=count)
    strikes = 0
    while board.take(("gap",), "btcusdt@depth", "stream"):
        strikes += 1
    assert strikes == count


def test_a_fault_ends_with_its_time(board, clock):
    fault = board.add("delay", seconds=2.0)
    for _ in range(5):
        assert board.take(("delay",), "depth", "rest") is fault
    assert board.seconds_left(fault) == 2.0
    clock.now += 2.0
    assert board.take(("delay",), "depth", "rest") is None
    assert board.active() == []


def test_patterns_and_channels(board):
    board.add("error", on="order.*", via="ws_api", seconds=9)
    found = [
        name
        for name, via in (("order.place", "rest"), ("order.place", "ws_api"), ("depth", "ws_api"))
        if board.find(("error",), name, via)
    ]
    assert found == ["order.place"]
    assert board.find(("error",), "order.cancel", "ws_api") is not None


def test_what_spoils_placements_leaves_the_rest_alone_by_default(board):
    board.add("drop_after")
    assert board.find(ONE_ANSWER, "order.status", "rest") is None
    assert board.find(ONE_ANSWER, "order.place", "rest") is not None


def test_the_oldest_strikes_first(board):
    first, second = board.add("error"), board.add("delay")
    assert [board.take(ONE_ANSWER, "depth", "rest") for _ in range(3)] == [first, second, None]


def test_clearing(board):
    board.add("error")
    board.add("delay")
    assert board.clear("error") == 1
    assert [fault.kind for fault in board.active()] == ["delay"]
    assert board.clear() == 1
    assert board.active() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "earthquake"},
        {"kind": "delay", "via": "pigeon"},
        {"kind": "delay", "count": 0},
        {"kind": "delay", "seconds": 0},
        {"kind": "delay", "seconds": float("nan")},
        {"kind": "delay", "options": {"colour": "red"}},
        {"kind": "gap", "options": {"delay": 1}},
    ],
)
def test_bad_faults_are_refused(board, arguments):
    with pytest.raises(InvalidInput):
        board.add(**arguments)
    assert board.active() == []


async def test_every_kind_can_be_switched_on_and_off_over_http():
    async with serve() as wire:
        for kind in KINDS:
            number = await wire.control.fault(kind, seconds=0.001)
            assert number > 0
        await wire.control.fault("delay", count=3, delay=0.5)
        (left,) = [fault for fault in await wire.control.faults() if fault["kind"] == "delay" and fault["left"]]
        assert (left["left"], left["delay"]) == (3, 0.5)
        await wire.control.clear_faults()
        assert await wire.control.faults() == []
        with pytest.raises(InvalidInput, match="no fault is called 'flood'"):
            await wire.control.fault("flood")


# faults whose time passes by hand


class Delays:
    """Stands for the waiting of delayed answers, which ends when the test says so."""

    def __init__(self):
        self.asked = []
        self._over = asyncio.Event()
        self._later = []

    async def sleep(self, seconds):
        self.asked.append(seconds)
        await self._over.wait()

    def call_later(self, seconds, act, *arguments):
        self.asked.append(seconds)
        self._later.append(lambda: act(*arguments))

    def end(self):
        self._over.set()
        for act in self._later:
            act()


@pytest.fixture
def delays(monkeypatch):
    delays = Delays()
    monkeypatch.setattr(binance_rest, "asyncio", delays)
    monkeypatch.setattr(binance_ws_api, "asyncio", SimpleNamespace(get_running_loop=lambda: delays))
    return delays


@pytest.fixture
def swallowed(monkeypatch):
    """Tell of what kind each socket was of which a black hole swallowed something."""
    kinds, look = [], Sockets.in_black_hole

    def in_black_hole(sockets, kind):
        dark = look(sockets, kind)
        if dark:
            kinds.append(kind)
        return dark

    monkeypatch.setattr(Sockets, "in_black_hole", in_black_hole)
    return kinds


async def struck(wire, kind):
    """Wait until a fault has struck."""
    await until(lambda: kind in wire.server.exchange.faults.struck)


async def given_up(request):
    """Stop waiting for an answer, which has not come yet."""
    assert not request.done()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


# REST answers


async def place(wire, **more):
    return await wire.rest("POST", "order", LIMIT | more, signed=True)


async def orders_on_exchange(wire):
    return [order.client_order_id for order in await wire.control.open_orders()]


@pytest.mark.parametrize(("kind", "placed"), [("drop_before", []), ("drop_after", ["mine"])])
async def test_dropped_connections(kind, placed):
    async with market() as wire:
        await wire.control.fault(kind)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await place(wire, newClientOrderId="mine")
        assert await orders_on_exchange(wire) == placed
        assert (await place(wire, newClientOrderId="next")).status == 200


async def test_a_truncated_answer():
    async with market() as wire:
        await wire.control.fault("truncate")
        with pytest.raises(aiohttp.ClientPayloadError):
            await place(wire, newClientOrderId="mine")
        assert await orders_on_exchange(wire) == ["mine"]


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ({}, 200, "<html><body>502 Bad Gateway</body></html>"),
        ({"body": ""}, 200, ""),
        ({"body": "{}"}, 200, "{}"),
        ({"body": "busy", "status": 502}, 502, "busy"),
    ],
)
async def test_junk_answers(options, status, text):
    async with market() as wire:
        await wire.control.fault("junk", **options)
        body = "&".join(f"{name}={value}" for name, value in (LIMIT | {"timestamp": wire.now_ms}).items())
        url = f"{wire.server.url}/api.binance.com/api/v3/order"
        headers = {"X-MBX-APIKEY": wire.credentials.api_key, "Content-Type": "application/x-www-form-urlencoded"}
        data = f"{body}&signature={sign(wire.credentials.secret, body)}"
        async with wire.session.post(url, data=data, headers=headers) as response:
            assert (response.status, await response.text()) == (status, text)
        assert len(await orders_on_exchange(wire)) == 1


@pytest.mark.parametrize(("after", "placed"), [(False, []), (True, ["mine"])])
async def test_errors_before_and_after_taking_effect(after, placed):
    async with market() as wire:
        await wire.control.fault("error", on="order.place", status=504, code=-1007, message="Timeout.", after=after)
        answer = await place(wire, newClientOrderId="mine")
        assert (answer.status, answer.body) == (504, {"code": -1007, "msg": "Timeout."})
        assert await orders_on_exchange(wire) == placed


@pytest.mark.parametrize(("after", "placed"), [(False, []), (True, ["mine"])])
async def test_delayed_answers(delays, after, placed):
    async with market() as wire:
        await wire.control.fault("delay", on="order.place", delay=0.2, after=after)
        waiting = asyncio.ensure_future(place(wire, newClientOrderId="mine"))
        await until(lambda: delays.asked == [0.2])
        assert await orders_on_exchange(wire) == placed
        assert not waiting.done()
        delays.end()
        assert (await waiting).status == 200
        assert await orders_on_exchange(wire) == ["mine"]


async def test_a_client_that_gives_up_waiting_does_not_undo_its_request(delays):
    async with market() as wire:
        await wire.control.fault("delay", on="order.place", delay=0.1)
        waiting = asyncio.ensure_future(place(wire, newClientOrderId="mine"))
        await until(lambda: delays.asked)
        await given_up(waiting)
        assert await orders_on_exchange(wire) == []
        delays.end()
        await until(lambda: "order.place" in wire.server.exchange.counts)
        assert await orders_on_exchange(wire) == ["mine"]


async def test_a_black_hole_swallows_requests_until_it_ends(clock):
    async with market(monotonic=clock) as wire:
        await wire.control.fault("black_hole", via="rest", seconds=5)
        waiting = asyncio.ensure_future(place(wire))
        await struck(wire, "black_hole")
        clock.now += 4.9
        assert await orders_on_exchange(wire) == []
        assert not waiting.done()
        clock.now += 0.2
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await waiting
        assert await orders_on_exchange(wire) == []
        assert (await place(wire)).status == 200


async def test_a_black_hole_for_one_request_holds_until_the_client_gives_up():
    async with market() as wire:
        await wire.control.fault("black_hole", via="rest", on="time", count=1)
        waiting = asyncio.ensure_future(wire.get("time"))
        await struck(wire, "black_hole")
        await given_up(waiting)
        assert (await wire.get("time")).status == 200


async def test_a_black_hole_lasts_until_it_is_cleared():
    async with market() as wire:
        await wire.control.fault("black_hole", via="rest")
        waiting = asyncio.ensure_future(place(wire))  # a POST: the client itself repeats a GET that was cut
        await struck(wire, "black_hole")
        assert not waiting.done()
        await wire.control.clear_faults()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await waiting


# WebSocket API answers


@pytest.mark.parametrize(
    ("kind", "options", "placed"),
    [("silent", {}, ["mine"]), ("silent", {"before": True}, []), ("black_hole", {"seconds": 5, "via": "ws_api"}, [])],
)
async def test_requests_that_are_never_answered(clock, swallowed, kind, options, placed):
    async with market(monotonic=clock) as wire, wire.ws_api() as socket:
        await wire.control.fault(kind, **options)
        number = await socket.send("order.place", **LIMIT, newClientOrderId="mine")
        if kind == "black_hole":
            await until(lambda: swallowed == ["user"])
            clock.now += 5
        await socket.request("ping", _signed=False)
        assert number not in [message.get("id") for message in socket.events]
        assert await orders_on_exchange(wire) == placed


@pytest.mark.parametrize(("kind", "placed"), [("drop_before", []), ("drop_after", ["mine"])])
async def test_dropped_sockets(kind, placed):
    async with market() as wire, wire.ws_api() as socket:
        await wire.control.fault(kind)
        await socket.send("order.place", **LIMIT, newClientOrderId="mine")
        assert await socket.closed()
        assert await orders_on_exchange(wire) == placed


@pytest.mark.parametrize(("after", "placed"), [(False, []), (True, ["mine"])])
async def test_errors_on_the_socket(after, placed):
    async with market() as wire, wire.ws_api() as socket:
        await wire.control.fault("error", on="order.*", via="ws_api", status=400, code=-1006, message="?", after=after)
        answer = await socket.request("order.place", **LIMIT, newClientOrderId="mine")
        assert (answer["status"], answer["error"]) == (400, {"code": -1006, "msg": "?"})
        assert await orders_on_exchange(wire) == placed


@pytest.mark.parametrize(("kind", "start"), [("truncate", '{"id":1,"status":200'), ("junk", "<html>")])
async def test_broken_answers_on_the_socket(kind, start):
    async with market() as wire, wire.ws_api() as socket:
        await wire.control.fault(kind)
        await socket.send("order.place", **LIMIT, newClientOrderId="mine")
        message = await asyncio.wait_for(socket.raw.receive(), PATIENCE)
        assert message.data.startswith(start)
        with pytest.raises(ValueError, match=r".*"):
            message.json()
        assert await orders_on_exchange(wire) == ["mine"]


@pytest.mark.parametrize("after", [False, True])
async def test_delays_on_the_socket_hold_up_nothing_else(delays, after):
    async with market() as wire, wire.ws_api() as socket:
        await wire.control.fault("delay", on="order.place", delay=0.1, after=after)
        number = await socket.send("order.place", **LIMIT, newClientOrderId="mine")
        assert (await socket.request("ping", _signed=False))["status"] == 200
        assert socket.events == []
        assert await orders_on_exchange(wire) == (["mine"] if after else [])
        assert delays.asked == [0.1]
        delays.end()
        assert (await socket.receive_until(lambda message: message["id"] == number))["status"] == 200


# streams


async def test_a_gap_leaves_out_updates():
    async with market() as wire, wire.streams("btcusdt@depth@100ms") as socket:
        wire.beat()
        first = await socket.receive()
        await wire.control.fault("gap", count=2)
        for price in range(58_000, 58_003):
            await wire.control.trade("BTC/USDT", "buy", 1, price)
            wire.beat()
        update = await socket.receive()
        assert update["U"] == first["u"] + 3
        assert update["b"] == [["58002.00000000", "1.00000000"]]
        assert (await wire.control.stats())["depth_updates_skipped"] == 2


@pytest.mark.parametrize(("on", "silenced"), [(None, True), ("btcusdt@*", True), ("ethusdt@*", False)])
async def test_a_silent_stream_keeps_its_socket(on, silenced):
    async with market() as wire, wire.streams("btcusdt@trade") as socket:
        await wire.control.fault("silent_stream", on=on)
        await wire.control.trade("BTC/USDT", "buy", "0.1")
        assert await socket.quiet() is silenced
        await wire.control.clear_faults("silent_stream")
        await wire.control.trade("BTC/USDT", "buy", "0.1")
        assert not await socket.quiet()


async def test_a_silent_user_stream():
    async with market() as wire, wire.ws_api() as socket:
        await socket.request("userDataStream.subscribe.signature")
        await wire.control.fault("silent_stream", on="user")
        assert (await socket.request("order.place", **LIMIT))["status"] == 200
        assert socket.events == []


async def test_market_sockets_are_cut_and_new_ones_refused_for_a_while(clock):
    async with market(monotonic=clock) as wire, wire.ws_api() as user:
        async with wire.streams("btcusdt@trade") as socket:
            await wire.control.fault("cut_market", seconds=5)
            assert await socket.closed()
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with wire.streams("btcusdt@trade"):
                pass
        assert caught.value.status == 503
        assert (await user.request("ping", _signed=False))["status"] == 200
        clock.now += 5
        async with wire.streams("btcusdt@trade") as socket:
            assert await socket.quiet()


async def test_user_sockets_are_cut_and_may_come_back_at_once():
    async with market() as wire, wire.streams("btcusdt@trade") as stream:
        async with wire.ws_api() as socket:
            await wire.control.fault("cut_user")
            assert await socket.closed()
        async with wire.ws_api() as socket:
            assert (await socket.request("ping", _signed=False))["status"] == 200
        assert await stream.quiet()


async def test_one_broken_frame():
    async with market() as wire, wire.streams("btcusdt@trade") as socket, wire.ws_api() as user:
        await wire.control.fault("undecodable")
        message = await asyncio.wait_for(socket.raw.receive(), PATIENCE)
        with pytest.raises(ValueError, match=r".*"):
            message.json()
        assert await socket.quiet()
        await wire.control.fault("undecodable", on="user", payload='{"event": 5}')
        assert await user.receive() == {"event": 5}


async def test_a_terminated_user_stream_keeps_its_socket():
    async with market() as wire, wire.ws_api() as socket:
        await socket.request("userDataStream.subscribe.signature")
        await wire.control.fault("terminate")
        event = await socket.receive()
        assert (event["subscriptionId"], event["event"]["e"]) == (0, "eventStreamTerminated")
        assert (await socket.request("order.place", **LIMIT))["status"] == 200
        assert socket.events == []
        await socket.request("userDataStream.subscribe.signature")
        await socket.request("order.place", **LIMIT)
        assert len(socket.events) == 2


async def test_a_black_hole_answers_no_pings(clock, swallowed):
    stream = "/stream.binance.com/ws/btcusdt@trade"
    async with market(monotonic=clock) as wire, wire.socket(stream, autoping=False) as socket:
        await wire.control.fault("black_hole", seconds=5, via="stream")
        await socket.raw.ping(b"1")
        await wire.control.trade("BTC/USDT", "buy", "0.1")
        await until(lambda: swallowed == ["market"] * 2)  # the ping and the trade
        clock.now += 5
        await socket.raw.ping(b"2")
        message = await asyncio.wait_for(socket.raw.receive(), PATIENCE)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"2")


async def test_a_skew_that_ends_by_itself(clock):
    async with serve(monotonic=clock) as wire:
        await wire.control.fault("skew", offset=-60, seconds=5)
        clock.now += 4.9
        assert (await wire.control.status())["clock_skew"] == -60
        clock.now += 0.1
        assert (await wire.control.status())["clock_skew"] == 0
