"""A test exchange in the test's own loop, with a signing client for its REST and WebSocket APIs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
import orjson

from kit.testnet.client import TestnetClient
from kit.testnet.config import TestnetConfig
from kit.testnet.server import TestnetServer
from kit.testnet.signing import rest_payload, sign, ws_payload
from kit.types.ports import Credentials

PATIENCE = 30.0


def still() -> float:
    """Tell a time that stands still, in the middle of its second, ten seconds and minute.

    So no count of a minute begins anew and no signature grows old while a busy machine lets a test wait.
    """
    return 1_700_000_065.5


async def until(condition: Callable[[], object]) -> None:
    """Wait in real time until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> int:
        return int(self.body["code"])


class WireSocket:
    """A WebSocket of the client's side; every wait is bounded."""

    def __init__(self, wire: Wire, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._wire = wire
        self.raw = socket
        self._ids = 0
        self.events: list[dict[str, Any]] = []

    async def receive(self) -> Any:
        message = await asyncio.wait_for(self.raw.receive(), PATIENCE)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return orjson.loads(message.data)

    async def receive_until(self, wanted: Callable[[Any], bool]) -> Any:
        while not wanted(message := await self.receive()):
            self.events.append(message)
        return message

    async def quiet(self) -> bool:
        """Tell whether nothing was sent but the answer to a question asked now: a stream socket's frames keep order."""
        before = len(self.events)
        await self.command("LIST_SUBSCRIPTIONS")
        return len(self.events) == before

    async def closed(self) -> bool:
        """Wait for the end of the connection."""
        while True:
            message = await asyncio.wait_for(self.raw.receive(), PATIENCE)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
                return True
            if message.type is aiohttp.WSMsgType.ERROR:
                return True

    async def command(self, method: str, *params: Any) -> Any:
        """Send a command to a stream socket and return its answer."""
        self._ids += 1
        await self.raw.send_json({"method": method, "params": list(params), "id": self._ids})
        return await self.receive_until(lambda message: message.get("id") == self._ids)

    async def request(
        self, method: str, /, _signed: bool = True, _credentials: Credentials | None = None, **params: Any
    ) -> dict[str, Any]:
        """Send a WebSocket API request and return its answer; events that come before it are kept."""
        number = await self.send(method, _signed=_signed, _credentials=_credentials, **params)
        return await self.receive_until(lambda message: message.get("id") == number)

    async def send(
        self, method: str, /, _signed: bool = True, _credentials: Credentials | None = None, **params: Any
    ) -> int:
        self._ids += 1
        if _signed:
            params = self._wire.sign_ws(params, _credentials)
        await self.raw.send_bytes(b"")  # a binary frame is ignored
        await self.raw.send_str(orjson.dumps({"id": self._ids, "method": method, "params": params}).decode())
        return self._ids


class Wire:
    """A client of one server."""

    def __init__(self, server: TestnetServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        account = server.account
        self.credentials = Credentials(account.api_key, account.secret)
        self.control = TestnetClient(server.url, self.credentials)

    @property
    def now_ms(self) -> int:
        return self.server.exchange.clock.now_ms()

    async def rest(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        signed: bool = False,
        credentials: Credentials | None = None,
        headers: Mapping[str, str] | None = None,
        host: str = "/api.binance.com",
    ) -> Answer:
        """Send a REST request; signed ones as clients send them: GET and DELETE by query, POST by body."""
        credentials = credentials or self.credentials
        text = urlencode({"timestamp": self.now_ms} | dict(params or {}) if signed else params or {})
        sent = dict(headers or {})
        if signed:
            text += "&signature=" + sign(credentials.secret, rest_payload(text, ""))
            sent = {"X-MBX-APIKEY": credentials.api_key} | sent
        return await self.raw(method, path, text, sent, host=host)

    async def raw(
        self, method: str, path: str, text: str, headers: Mapping[str, str], *, host: str = "/api.binance.com"
    ) -> Answer:
        url = f"{self.server.url}{host}/api/v3/{path}"
        body = method in ("POST", "PUT")
        if text and not body:
            url += "?" + text
        more = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        async with self.session.request(
            method, aiohttp.client.URL(url, encoded=True), data=text if body else None, headers={**headers, **more}
        ) as response:
            raw = await response.read()
            return Answer(response.status, orjson.loads(raw) if raw else None, dict(response.headers))

    async def get(self, path: str, **params: Any) -> Answer:
        return await self.rest("GET", path, params)

    async def ok(self, method: str, path: str, **params: Any) -> Any:
        """Send a signed request that must work and return its body."""
        answer = await self.rest(method, path, params, signed=True)
        assert answer.status == 200, answer.body
        return answer.body

    async def order(self, side: str = "BUY", price: Any = "59000", quantity: Any = "0.01", **more: Any) -> Any:
        params = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": quantity}
        return await self.ok("POST", "order", **(params | {"price": price} | more))

    def sign_ws(self, params: Mapping[str, Any], credentials: Credentials | None = None) -> dict[str, Any]:
        credentials = credentials or self.credentials
        whole = {"timestamp": self.now_ms, "apiKey": credentials.api_key} | dict(params)
        texts = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in whole.items()}
        return whole | {"signature": sign(credentials.secret, ws_payload(texts))}

    @asynccontextmanager
    async def socket(self, path: str, **options: Any) -> AsyncIterator[WireSocket]:
        url = self.server.url.replace("http", "ws", 1) + path
        async with self.session.ws_connect(url, **options) as socket:
            yield WireSocket(self, socket)

    def streams(self, *names: str) -> Any:
        return self.socket("/stream.binance.com/ws" + "".join(f"/{name}" for name in names))

    def ws_api(self) -> Any:
        return self.socket("/ws-api.binance.com/ws-api/v3")

    def beat(self, times: int = 1) -> None:
        """Publish as the clock would at so many tenths of a second."""
        for _ in range(times):
            self.server.publishers.beat()


@asynccontextmanager
async def serve(
    *,
    beating: bool = False,
    frozen: bool = False,
    wall: Callable[[], float] = still,
    monotonic: Callable[[], float] = time.monotonic,
    **config: Any,
) -> AsyncIterator[Wire]:
    """Serve an exchange without market activity; it publishes depth only when the test says so, unless ``beating``.

    Its time stands still, save that of faults and activity; ``frozen``: what acts by itself waits to be resumed.
    """
    values = {"flow": False, "deposits": {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}} | config
    server = TestnetServer(TestnetConfig(**values), wall=wall, monotonic=monotonic)
    if frozen:
        server.activities.time.freeze()
    await server.start()
    if not beating and server._beat is not None:
        server._beat.cancel()
    try:
        async with aiohttp.ClientSession() as session:
            yield Wire(server, session)
    finally:
        await server.stop()


@asynccontextmanager
async def market(**config: Any) -> AsyncIterator[Wire]:
    """Serve an exchange whose book has 5 BTC on each side: bids at 59,990, asks at 60,010, and one trade at 60,010."""
    async with serve(**config) as wire:
        await wire.control.trade("BTC/USDT", "sell", 5, 60_010)
        await wire.control.trade("BTC/USDT", "buy", 5, 59_990)
        await wire.control.trade("BTC/USDT", "buy", "0.5")
        yield wire
