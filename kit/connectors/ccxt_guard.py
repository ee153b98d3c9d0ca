"""What ccxt.pro's runtime lacks, mixed in front of an exchange's class.

A frame that cannot be decoded, or that crashes a handler, ends the connection, which is then opened anew: ccxt alone
would silently stop reading and find out minutes later by a missing pong. A user stream that the exchange terminated
ends the same way. Requests are stamped and signed with the exchange's time. Error answers keep their facts. Quantised
money goes out as it is. Nothing is sent anywhere but to the endpoint, if one is given.
"""

from __future__ import annotations

import asyncio
import decimal
import inspect
import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from kit.connectors.ccxt_books import BookFactory
from kit.connectors.ccxt_convert import TICK_SIZE, plain, to_decimal
from kit.connectors.ccxt_errors import ResponseFacts, facts_of, scrub
from kit.connectors.ccxt_taps import (
    ANSWER_EXPECTED,
    FLIGHT,
    WATCHER,
    Caches,
    ConnectionHealth,
    RecordingStreams,
    Taps,
    TradeCaches,
    record_deltas,
)
from kit.errors import NetworkUnavailable

logger = logging.getLogger(__name__)
# ccxt logs every request at DEBUG level, with signatures and keys: not through this logger.
_quiet = logging.getLogger(f"{__name__}.wire")
_quiet.setLevel(logging.WARNING)

_CLOSE_TIMEOUT = 1.0
_DATA_FRAMES = (1, 2)  # aiohttp's WSMsgType TEXT and BINARY; pings, pongs and closings are not data


class ExactNumbers:
    """Mixed in front of an exchange class: the exchange's time, and money that is not rounded again."""

    kit_taps: Taps

    def milliseconds(self) -> int:
        """Return the exchange's time in milliseconds."""
        return self.kit_taps.now_ms()

    def seconds(self) -> int:
        """Return the exchange's time in whole seconds."""
        return self.kit_taps.now_ms() // 1000

    def microseconds(self) -> int:
        """Return the exchange's time in microseconds."""
        return self.kit_taps.now_ms() * 1000

    @staticmethod
    def sum(*numbers: Any) -> Any:
        """Add numbers, also those kept as text, which ccxt's own version takes for none and leaves out."""
        if all(isinstance(number, int | float | None) for number in numbers):
            return sum(number for number in numbers if number is not None)
        return plain(sum((to_decimal(number) or Decimal(0) for number in numbers), Decimal(0)))

    def price_to_precision(self, symbol: str, price: Any) -> Any:
        """Return a price of ours, which is quantised already, exactly as it is."""
        if isinstance(price, Decimal) and self.precisionMode == TICK_SIZE:  # type: ignore[attr-defined]
            return plain(price)
        return super().price_to_precision(symbol, price)  # type: ignore[misc]

    def amount_to_precision(self, symbol: str, amount: Any) -> Any:
        """Return an amount of ours, which is quantised already, exactly as it is."""
        if isinstance(amount, Decimal) and self.precisionMode == TICK_SIZE:  # type: ignore[attr-defined]
            return plain(amount)
        return super().amount_to_precision(symbol, amount)  # type: ignore[misc]


class GuardedRequests:
    """Mixed in front of an exchange class: requests that keep to the limits, answers that keep their facts."""

    kit_taps: Taps

    async def throttle(self, cost: float | None = None) -> Any:
        """Pass the kit's limiter, which knows priorities, then ccxt's own."""
        if self.kit_taps.throttle is not None:
            await self.kit_taps.throttle(cost)
        return await super().throttle(cost)  # type: ignore[misc]

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        """Note that the request in this context is handed to the network, send it, and check that it was answered."""
        self.kit_stay_inside(url)
        flight = FLIGHT.get()
        if flight is not None:
            flight.sent = True
        answer = await super().fetch(url, method, headers, body)  # type: ignore[misc]
        if ANSWER_EXPECTED.get() and (not isinstance(answer, dict | list) or answer == {}):
            # ccxt reads a page of HTML as "no orders, no balances": that would be taken for the exchange's word.
            raise self.kit_taps.network_error(f"an answer without content to {method} {scrub(url)}")
        return answer

    def on_rest_response(self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
        """Read what an answer's headers tell about used limits."""
        if self.kit_taps.on_response is not None:
            self.kit_taps.on_response(headers)
        return super().on_rest_response(code, reason, url, method, headers, *rest)  # type: ignore[misc]

    def handle_errors(
        self, code: int, reason: str, url: str, method: str, headers: Any, body: Any, response: Any, *rest: Any
    ) -> Any:
        """Let ccxt judge an answer, and leave the answer's facts on the error it raises."""
        try:
            return super().handle_errors(code, reason, url, method, headers, body, response, *rest)  # type: ignore[misc]
        except Exception as exc:
            self._kit_note(exc, facts_of(code or 0, headers or {}, response))
            raise

    def handle_http_status_code(self, code: int, reason: str, url: str, method: str, body: Any) -> Any:
        """Do the same for answers that only their HTTP status tells about."""
        try:
            return super().handle_http_status_code(code, reason, url, method, body)  # type: ignore[misc]
        except Exception as exc:
            self._kit_note(exc, ResponseFacts(status=code))
            raise

    def kit_stay_inside(self, url: str) -> None:
        """Raise ccxt's NetworkError for an address outside the endpoint, if there is one."""
        endpoint = self.kit_taps.endpoint
        if endpoint is not None and url.partition("://")[2].partition("/")[0] != endpoint:
            raise self.kit_taps.network_error(f"{scrub(url)} is not at the endpoint {endpoint}: nothing is sent there")

    def _kit_note(self, exc: Exception, facts: ResponseFacts) -> None:
        exc.kit_facts = facts  # type: ignore[attr-defined]
        if self.kit_taps.on_refusal is not None:
            self.kit_taps.on_refusal(facts)


class GuardedConnections(RecordingStreams, GuardedRequests):
    """Mixed in front of an exchange class: connections whose end nobody can overlook."""

    def client(self, url: str) -> Any:
        """Return ccxt's connection for ``url``, guarded when it is new."""
        self.kit_stay_inside(url)
        known = (self.clients or {}).get(url)  # type: ignore[attr-defined]
        client = super().client(url)  # type: ignore[misc]
        if client is not known:
            _guard_client(self, client)
        return client

    def watch(self, url: str, message_hash: str, *args: Any, **kwargs: Any) -> Any:
        """Watch, and bind the pump that asks to the connection."""
        future = super().watch(url, message_hash, *args, **kwargs)  # type: ignore[misc]
        self._kit_bind(url)
        return future

    def watch_multiple(self, url: str, message_hashes: Any, *args: Any, **kwargs: Any) -> Any:
        """Watch several streams, and bind the pump that asks to the connection."""
        future = super().watch_multiple(url, message_hashes, *args, **kwargs)  # type: ignore[misc]
        self._kit_bind(url)
        return future

    def on_error(self, client: Any, error: Any) -> None:
        """Let ccxt drop the connection, and tell that it is lost."""
        super().on_error(client, error)  # type: ignore[misc]
        self._kit_lost(client, f"{type(error).__name__}: {error}")

    def on_close(self, client: Any, code: Any) -> None:
        """Let ccxt drop the connection, and tell that it is lost."""
        super().on_close(client, code)  # type: ignore[misc]
        self._kit_lost(client, f"closed by the exchange, code {code}")

    def handle_event_stream_terminated(self, client: Any, message: Any) -> None:
        """End the connection of a private stream that the exchange terminated; ccxt alone would wait on it for ever."""
        del message
        client.on_error(self.kit_taps.network_error("the exchange terminated the user data stream"))

    def _kit_bind(self, url: str) -> None:
        watcher, client = WATCHER.get(), self.clients.get(url)  # type: ignore[attr-defined]
        if watcher is not None and client is not None and not watcher.authenticating:
            watcher.bind(client)

    def _kit_lost(self, client: Any, reason: str) -> None:
        if self.kit_taps.health.pop(id(client), None) is not None and self.kit_taps.on_lost is not None:
            self.kit_taps.on_lost(client, scrub(reason))


def _guard_client(exchange: Any, client: Any) -> None:
    """Put the guard around what one connection receives, resolves and rejects."""
    taps: Taps = exchange.kit_taps
    opened = taps.monotonic()
    health = taps.health[id(client)] = ConnectionHealth(opened, opened)
    taps.connections += 1
    handle, resolve, reject = client.handle_message, client.resolve, client.reject

    def handle_message(message: Any) -> None:
        if client.error is not None:
            return  # left over in the buffer of a connection that is given up
        if message.type in _DATA_FRAMES:
            health.last_data = taps.last_data = taps.monotonic()
            health.frames += 1
            taps.frames += 1
        try:
            handle(message)
        except Exception as exc:  # noqa: BLE001  # the boundary: nothing may end the receive loop in silence
            health.bad_frames += 1
            _give_up(exchange, client, exc)

    def tapped(result: Any, message_hash: Any) -> Any:
        exchange.kit_tap(result)
        return resolve(result, message_hash)

    def told(result: Any, message_hash: Any = None) -> Any:
        hashes = list(client.futures) if message_hash is None else [message_hash]
        for future in (client.futures[key] for key in hashes if key in client.futures):
            future.add_done_callback(_retrieve)
        answer = reject(result, message_hash)
        if taps.on_rejected is not None:
            taps.on_rejected()
        return answer

    client.handle_message, client.resolve, client.reject = handle_message, tapped, told
    _tell_once(client)


def _tell_once(client: Any) -> None:
    """Have a rejection that came while nobody awaited it told to one call, not to all until an answer comes.

    ccxt hands it over with a new future, and keeps that for the next calls. A gap would count as three, and three in a
    row as a broken connection.
    """
    await_ = client.future

    def future(message_hash: Any) -> Any:
        due = message_hash in client.rejections
        made = await_(message_hash)
        if due and client.futures.get(message_hash) is made:
            del client.futures[message_hash]
        return made

    client.future = future


async def close_client(exchange: Any, client: Any) -> None:
    """Close one connection for good, in at most a second; it does not count as lost."""
    exchange.kit_taps.health.pop(id(client), None)
    if exchange.clients.get(client.url) is client:
        del exchange.clients[client.url]
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):  # aiohttp waits ten seconds for the other side's goodbye
            await client.close()
    except TimeoutError:
        logger.info("%s: a connection did not close in time; it is left to its session", exchange.id)


async def close_clients(exchange: Any) -> None:
    """Close all connections of an exchange."""
    clients = list((exchange.clients or {}).values())
    await asyncio.gather(*(close_client(exchange, client) for client in clients))


def _give_up(exchange: Any, client: Any, exc: Exception) -> None:
    taps: Taps = exchange.kit_taps
    taps.bad_frames += 1
    secrets = [str(getattr(exchange, name, None) or "") for name in ("apiKey", "secret", "password")]
    taps.last_bad_frame = scrub(f"{type(exc).__name__}: {exc}", secrets)
    # The error itself may quote the frame, and a private frame may hold what is no business of a log's.
    told = NetworkUnavailable(taps.last_bad_frame).with_traceback(exc.__traceback__)
    logger.warning("%s: a frame could not be handled; its connection is opened anew", exchange.id, exc_info=told)
    client.on_error(taps.network_error(f"a frame could not be handled ({taps.last_bad_frame})"))


def _retrieve(future: Any) -> None:
    """Look at a rejection that nobody may be awaiting, lest asyncio reports it as forgotten."""
    if not future.cancelled():
        future.exception()


class GuardedExchange(ExactNumbers, GuardedConnections):
    """All of the above, in the order in which they stand in front of the exchange's class."""

    logger = _quiet


async def _authenticate(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Authenticate; meanwhile the pump is not bound, for what it asks for has not been subscribed yet."""
    watcher = WATCHER.get()
    if watcher is not None:
        watcher.authenticating = True
    try:
        return await super(GuardedConnections, self).authenticate(*args, **kwargs)
    finally:
        if watcher is not None:
            watcher.authenticating = False


def _no_text(timestamp: Any = None) -> None:
    """Leave the text form of a time out: nobody here reads it, and it costs as much as decoding the frame."""
    del timestamp


def guard(base: type, books: BookFactory, caches: Caches, *, thin: bool) -> type:
    """Return ``base``, a ccxt.pro exchange class, with ``GuardedExchange`` in front.

    ``thin`` tells that ``books`` only log; such an exchange was also seen to put no text form of a time in a request.
    """
    members: dict[str, Any] = {"kit_books": books, "kit_caches": caches}
    if inspect.iscoroutinefunction(getattr(base, "authenticate", None)):
        members["authenticate"] = _authenticate
    if thin:
        members["handle_deltas"] = record_deltas
        members["iso8601"] = staticmethod(_no_text)
    return type(f"Guarded{base.__name__.title()}", (GuardedExchange, base), members)


def build(guarded: type, config: Mapping[str, Any], taps: Taps) -> Any:
    """Return an instance of a guarded class, reporting to ``taps`` from its first moment on."""
    instance: Any = object.__new__(guarded)
    instance.kit_taps = taps
    instance.__init__(dict(config))
    instance.logger = _quiet
    instance.trades = TradeCaches(instance.kit_caches, taps.trade)
    round_number = instance.decimal_to_precision

    def decimal_to_precision(*args: Any, **kwargs: Any) -> Any:
        # ccxt sets traps and rounding in the thread's decimal context, and with it changes everybody's arithmetic.
        with decimal.localcontext():
            return round_number(*args, **kwargs)

    instance.decimal_to_precision = decimal_to_precision
    return instance
