import asyncio
import gzip
import logging
from decimal import Decimal

import aiohttp
import orjson
import pytest

from kit.errors import InvalidInput, NetworkUnavailable, UnknownPair
from kit.testnet.client import TestnetClient
from kit.testnet.config import TestnetConfig
from kit.testnet.rate_limits import Limits
from kit.testnet.server_clock import ActivityTime, ServerClock
from kit.types.market import TradeType
from kit.types.orders import Balance
from kit.types.ports import Endpoint
from tests.support.testnet_wire import PATIENCE, market, serve, until

D = Decimal


# addresses


@pytest.mark.parametrize("host", ["/api.binance.com", "/api1.binance.com", ""])
async def test_rest_with_and_without_a_host(host):
    async with serve() as wire:
        assert (await wire.rest("GET", "ping", host=host)).status == 200


@pytest.mark.parametrize(
    "path", ["/stream.binance.com/ws", "/stream.binance.com/ws/0", "/ws", "/stream/ws/3", "/stream.binance.com/stream"]
)
async def test_addresses_of_streams(path):
    async with serve() as wire, wire.socket(path) as socket:
        assert await socket.quiet()


@pytest.mark.parametrize("path", ["/ws-api.binance.com/ws-api/v3", "/ws-api/v3"])
async def test_addresses_of_the_ws_api(path):
    async with serve() as wire, wire.socket(path) as socket:
        assert (await socket.request("ping", _signed=False))["status"] == 200


@pytest.mark.parametrize(
    "path", ["/", "/api.binance.com/sapi/v1/capital/config/getall", "/fapi.binance.com/fapi/v1/time"]
)
async def test_other_addresses_are_not_found(path):
    async with serve() as wire, wire.session.get(wire.server.url + path) as response:
        assert (response.status, (await response.json())["code"]) == (404, -1020)


async def test_a_socket_address_wants_a_socket():
    async with serve() as wire, wire.session.get(wire.server.url + "/ws") as response:
        assert response.status == 426


async def test_it_listens_on_loopback_only():
    async with serve() as wire:
        assert wire.server.url.startswith("http://127.0.0.1:")


async def test_stopping_closes_sockets_politely_and_twice_is_fine():
    async with serve() as wire:
        async with wire.streams("btcusdt@trade") as stream, wire.ws_api() as user:
            await stream.command("LIST_SUBSCRIPTIONS")
            await user.request("ping", _signed=False)
            await wire.server.stop()
            await wire.server.stop()
            for socket in (stream, user):
                message = await asyncio.wait_for(socket.raw.receive(), PATIENCE)
                assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
        with pytest.raises(NetworkUnavailable):
            await wire.control.status()


# looking in and acting


async def test_status_and_stats():
    async with market() as wire, wire.streams("btcusdt@trade") as socket:
        await socket.command("LIST_SUBSCRIPTIONS")
        status = await wire.control.status()
        assert (status["name"], status["symbols"], status["frozen"]) == ("main", ["BTCUSDT", "ETHUSDT"], False)
        await wire.order()
        await wire.get("nothing")
        await wire.get("depth")
        stats = await wire.control.stats()
        assert (stats["order.place"], stats["rest_requests"], stats["market_sockets"], stats["error -1102"]) == (
            1,
            2,
            1,
            1,
        )
        assert stats["trades"] == {"BTCUSDT": 1, "ETHUSDT": 0}
        assert stats["messages_sent"] >= 1


async def test_open_orders_by_tag_and_account():
    async with market() as wire:
        other = await wire.control.create_account("other", {"USDT": 1000})
        await wire.order(newClientOrderId="aaa-1")
        await wire.order(newClientOrderId="bbb-1", price="58000")
        params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
        await wire.rest("POST", "order", params | {"price": "57000"}, signed=True, credentials=other)
        assert len(await wire.control.open_orders()) == 3
        (tagged,) = await wire.control.open_orders("aaa")
        assert (tagged.client_order_id, tagged.side, tagged.price, tagged.amount, tagged.account) == (
            "aaa-1",
            TradeType.BUY,
            D(59_000),
            D("0.01"),
            "main",
        )
        assert [order.price for order in await wire.control.open_orders(account="other")] == [D(57_000)]


async def test_the_market_acts_on_orders_and_fills_are_listed():
    async with market() as wire:
        await wire.order(price="60000", quantity="0.5", newClientOrderId="mine")
        taken = await wire.control.trade("BTC/USDT", TradeType.SELL, "0.2")
        assert (taken.status, taken.filled) == ("FILLED", D("0.2"))
        (fill,) = await wire.control.fills()
        assert (fill.client_order_id, fill.price, fill.amount, fill.quote_amount, fill.is_maker) == (
            "mine",
            D(60_000),
            D("0.2"),
            D(12_000),
            True,
        )
        assert (fill.fee, fill.fee_asset) == (D("0.0002"), "BTC")
        assert await wire.control.fills(wire.credentials, "BTC-USDT") == [fill]
        assert await wire.control.fills(symbol="ETH/USDT") == []


async def test_a_limit_order_of_the_market_rests_unless_it_is_immediate():
    async with serve() as wire:
        assert (await wire.control.trade("BTC/USDT", "buy", 1, 50_000)).status == "NEW"
        assert (await wire.control.trade("BTC/USDT", "buy", 1, 50_000, time_in_force="IOC")).status == "EXPIRED"
        assert (await wire.get("depth", symbol="BTCUSDT")).body["bids"] == [["50000.00000000", "1.00000000"]]
        assert await wire.control.open_orders() == []


async def test_the_ledger():
    async with market() as wire:
        await wire.order(price="50000", quantity="1")
        ledger = await wire.control.ledger()
        assert (ledger.balanced, ledger.imbalance) == (True, {})
        assert ledger.balances["main"]["USDT"] == Balance(D(1_000_000), D(950_000))
        wire.server.account.free["BTC"] += 5
        ledger = await wire.control.ledger()
        assert (ledger.balanced, ledger.imbalance) == (False, {"BTC": D("0.00000005")})


async def test_accounts_and_deposits():
    async with serve() as wire:
        first = await wire.control.create_account()
        named = await wire.control.create_account("ann", {"BTC": "0.5"})
        assert first.api_key != named.api_key
        await wire.control.deposit("BTC", "-0.25", named)
        await wire.control.deposit("ETH", 2, "ann")
        balances = (await wire.control.ledger()).balances
        assert balances["ann"] == {"BTC": Balance(D("0.25"), D("0.25")), "ETH": Balance(D(2), D(2))}
        for call in (
            wire.control.create_account("ann"),
            wire.control.deposit("BTC", 5, "nobody"),
            wire.control.deposit("BTC", "NaN"),
            wire.control.deposit("BTC", -99),
            wire.control.fills("nobody"),
            wire.control.trade("BTC/USDT", "up", 1),
            wire.control.trade("DOGE/USDT", "buy", 1),
            wire.control.set_flow(colour="red"),
            wire.control.set_limits(height=3),
        ):
            with pytest.raises(InvalidInput):
                await call


async def test_the_exchange_cancels_orders_by_itself():
    async with market() as wire, wire.ws_api() as socket:
        await socket.request("userDataStream.subscribe.signature")
        await wire.order(newClientOrderId="aaa-1")
        await wire.order(newClientOrderId="bbb-1")
        (cancelled,) = await wire.control.cancel_orders("aaa")
        assert cancelled.status == "CANCELED"
        event = await socket.receive_until(lambda message: message.get("event", {}).get("x") == "CANCELED")
        assert event["event"]["C"] == "aaa-1"
        assert len(await wire.control.open_orders()) == 1


async def test_unknown_and_malformed_control_requests():
    async with serve() as wire:
        async with wire.session.get(wire.server.url + "/testnet/secrets") as response:
            assert response.status == 404
            assert "there are GET status" in (await response.json())["error"]
        for data in (b"not json", b"[1]", b"{}"):
            async with wire.session.post(wire.server.url + "/testnet/trade", data=data) as response:
                assert response.status == 400


async def test_it_can_be_told_to_stop():
    async with serve() as wire:
        async with wire.session.post(wire.server.url + "/testnet/stop") as response:
            assert response.status == 200
        assert wire.server.stopped.is_set()


async def test_secrets_stay_out_of_logs_and_looks(caplog):
    with caplog.at_level(logging.DEBUG):
        async with market() as wire, wire.ws_api() as socket:
            await socket.request("userDataStream.subscribe.signature")
            await socket.request("order.place", symbol="BTCUSDT")
            await wire.order()
            shown = [await wire.control.status(), await wire.control.stats(), await wire.control.connections()]
            secret, key = wire.credentials.secret, wire.credentials.api_key
            assert secret not in caplog.text
            assert key not in caplog.text
            assert secret not in str(shown)
            assert secret not in repr(wire.server.account)


async def test_a_dead_address_is_a_network_error():
    async with serve() as wire:
        gone = TestnetClient("http://127.0.0.1:9", wire.credentials)
        with pytest.raises(NetworkUnavailable):
            await gone.stats()
        assert isinstance(gone, Endpoint)


# configuration


def test_a_configuration_survives_json():
    config = TestnetConfig(
        name="x",
        seed=7,
        speed=2.5,
        flow=False,
        symbols=("ETHUSDT",),
        deposits={"ETH": D("1.5")},
        limits=Limits(weight=5),
    )
    assert TestnetConfig.from_json(config.to_json()) == config
    assert TestnetConfig() == TestnetConfig.from_json(TestnetConfig().to_json())


@pytest.mark.parametrize(
    "values",
    [{"speed": 0}, {"speed": float("nan")}, {"port": 70_000}, {"symbols": ()}, {"replay": ("no such file",)}],
)
def test_bad_configurations(values):
    with pytest.raises(InvalidInput):
        TestnetConfig(**values)


def test_pairs_that_are_not_listed():
    with pytest.raises(UnknownPair, match="it lists BTC/USDT, ETH/USDT"):
        TestnetConfig(symbols=("DOGEUSDT",))


# time


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_clock_can_be_set_wrong_for_a_while():
    wall, monotonic = Clock(), Clock()
    clock = ServerClock(wall, monotonic)
    assert clock.now_ms() == 1_000_000
    clock.skew(2.5)
    assert clock.now_ms() == 1_002_500
    clock.skew(-1, seconds=5)
    assert clock.now_ms() == 999_000
    monotonic.now += 5
    assert clock.now_ms() == 1_000_000


async def test_frozen_time_stands_still_and_goes_on_from_there():
    now = Clock()
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        now.now += seconds
        await asyncio.sleep(0)

    time = ActivityTime(now, sleep)
    await time.sleep(2)
    assert time.time() == 2
    time.freeze()
    time.freeze()
    now.now += 100
    assert (time.time(), time.frozen) == (2, True)
    waiting = asyncio.ensure_future(time.sleep(3))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    time.thaw()
    time.thaw()
    await waiting
    assert time.time() == 5
    assert slept == [2, 3, 3]  # what was slept while frozen does not count


# activity


class Stub:
    """An activity that places one bid a second, and fails when asked to."""

    def __init__(self, venue, symbol, *, fail=False):
        self.on_publish = None
        self.settings = {}
        self._venue, self._symbol, self._fail = venue, symbol, fail

    def prepare(self):
        account = self._venue.create_account("crowd", unlimited=True)
        self._venue.place_fast(self._venue.markets[self._symbol], account, "BUY", 5_000_000, 100)

    def configure(self, **settings):
        self.settings |= settings

    async def run(self, *, time, sleep):
        market = self._venue.markets[self._symbol]
        while True:
            await sleep(0.01)
            if self._fail:
                raise RuntimeError("the trader tripped")
            self._venue.place_fast(market, self._venue.accounts["crowd"], "BUY", 5_000_001 + int(time() * 100), 1)


@pytest.fixture
def stub(monkeypatch):
    made = []

    def make(fail):
        def factory(venue, config):
            made.append(Stub(venue, "BTCUSDT", fail=fail))
            return {"BTCUSDT": made[-1]}

        monkeypatch.setattr("kit.testnet.activity._make", factory)
        return made

    return make


async def test_activity_fills_the_book_moves_it_and_can_be_frozen(stub):
    made = stub(fail=False)
    async with serve() as wire, wire.streams("btcusdt@bookTicker") as socket:
        assert (await wire.control.status())["activity"] == {"BTCUSDT": "running"}
        first = await socket.receive()
        assert D(first["b"]) >= 50_000
        await socket.receive_until(lambda message: D(message["b"]) > D(first["b"]))
        await wire.control.freeze_flow()
        before = (await wire.get("depth", symbol="BTCUSDT")).body
        await asyncio.sleep(0.05)
        assert (await wire.get("depth", symbol="BTCUSDT")).body == before
        await wire.control.resume_flow()
        await socket.receive_until(lambda message: message.get("u", 0) > before["lastUpdateId"])
        await wire.control.set_flow("BTC/USDT", pace=3)
        assert made[0].settings == {"pace": 3}


async def test_a_failing_activity_leaves_the_exchange_standing(stub, caplog):
    stub(fail=True)
    async with serve() as wire:
        await until(lambda: "failed" in wire.server.activities.states.get("BTCUSDT", ""))
        assert "the trader tripped" in (await wire.control.status())["activity"]["BTCUSDT"]
        assert "the activity on BTCUSDT failed" in caplog.text
        assert (await wire.get("ping")).status == 200


# replay


def recording(folder, updates=30):
    """Write a recording of a bid that grows by one each 100 ms, and return its path."""
    start = 1_700_000_000_000_000_000
    lines = [(start, {"lastUpdateId": 100, "bids": [["60000.00", "1.0"]], "asks": [["60001.00", "1.0"]]})]
    for number in range(1, updates + 1):
        at = start + number * 100_000_000
        update = {"e": "depthUpdate", "E": at // 1_000_000, "s": "BTCUSDT", "U": 100 + number, "u": 100 + number}
        data = update | {"b": [["60000.00", f"{number + 1}.0"]], "a": []}
        lines.append((at, {"stream": "btcusdt@depth@100ms", "data": data}))
    path = folder / "recorded.raw.gz"
    path.write_bytes(gzip.compress(b"".join(b"%d %b\n" % (at, orjson.dumps(message)) for at, message in lines)))
    return str(path)


async def test_a_replay_says_itself_when_depth_is_published(tmp_path):
    file = recording(tmp_path)
    async with serve(beating=True, frozen=True, replay=(file,), speed=5.0, symbols=("BTCUSDT",)) as wire:
        async with wire.streams("btcusdt@depth@100ms") as socket:
            await wire.control.freeze_flow()
            await socket.command("LIST_SUBSCRIPTIONS")
            socket.events.clear()
            await wire.control.trade("BTC/USDT", "buy", 1, 50_000)
            own = await socket.receive()  # while the replay stands still the clock publishes what others do
            assert own["b"] == [["50000.00000000", "1.00000000"]]
            await wire.control.resume_flow()
            amounts = [D(own["b"][0][1])]
            while amounts[-1] != 31:
                update = await socket.receive()
                assert update["U"] == own["u"] + 1
                own = update
                amounts.append(D(update["b"][0][1]))
        assert amounts[1:] == list(range(2, 32))  # every recorded update, each by itself
        await until(lambda: wire.server.activities.states["BTCUSDT"] == "ended")
        assert (await wire.control.status())["activity"] == {"BTCUSDT": "ended"}
        async with wire.streams("btcusdt@depth@100ms") as socket:
            await wire.control.trade("BTC/USDT", "buy", 1, 50_000)
            assert (await socket.receive())["b"] == [["50000.00000000", "2.00000000"]]
        assert (await wire.control.ledger()).balanced


async def test_settings_are_for_random_traders_only(tmp_path):
    async with serve(replay=(recording(tmp_path, 1),), symbols=("BTCUSDT",)) as wire:
        with pytest.raises(InvalidInput, match="no random traders act"):
            await wire.control.set_flow(volatility=2)


async def test_random_traders_act_and_take_settings():
    async with serve(beating=True, flow=True, symbols=("BTCUSDT",)) as wire:
        async with wire.streams("btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade") as socket:
            seen = set()
            while len(seen) < 3:
                seen.add((await socket.receive()).get("e"))
        book = (await wire.get("depth", symbol="BTCUSDT", limit=1000)).body
        assert len(book["bids"]) > 100 < len(book["asks"])
        await wire.control.set_flow("BTC/USDT", volatility=0, activity=0)
        with pytest.raises(InvalidInput, match="volatility"):
            await wire.control.set_flow(volatility=-1)
        with pytest.raises(InvalidInput, match="colour"):
            await wire.control.set_flow(colour="red")
