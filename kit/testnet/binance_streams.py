"""Market streams: who subscribed to what, and the JSON commands by which clients say so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import orjson

from kit.testnet.aggregates import INTERVALS
from kit.testnet.faults import FaultBoard
from kit.testnet.sockets import Socket

_KLINES = "|".join(INTERVALS)
_STREAM = re.compile(
    rf"([a-z0-9]+)@(trade|aggTrade|bookTicker|miniTicker|ticker|kline_(?:{_KLINES})|depth(?:5|10|20)?(?:@100ms|@1000ms)?)"
)
_ALL_MARKETS = frozenset({"!miniTicker@arr", "!ticker@arr"})
_MAX_STREAMS = 1024
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class StreamError(Exception):
    """A command on a stream socket is refused with a small code of its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StreamHub:
    """Knows the subscribers of every stream and sends each message to them, encoded once for all.

    ``symbols`` are the lower-case names of the markets.
    """

    def __init__(self, symbols: Iterable[str], faults: FaultBoard) -> None:
        self._symbols = frozenset(symbols)
        self._faults = faults
        self._subscribers: dict[str, dict[StreamSession, None]] = {}

    def check(self, stream: str) -> None:
        """Raise ``StreamError`` unless the stream exists here."""
        match = _STREAM.fullmatch(stream)
        if stream not in _ALL_MARKETS and (match is None or match[1] not in self._symbols):
            raise StreamError(2, "Invalid request: invalid stream")

    def subscribe(self, session: StreamSession, stream: str) -> None:
        """Send a stream to a session from now on."""
        self._subscribers.setdefault(_canonical(stream), {})[session] = None

    def unsubscribe(self, session: StreamSession, stream: str) -> None:
        """Stop sending a stream to a session."""
        name = _canonical(stream)
        subscribers = self._subscribers.get(name)
        if subscribers is not None:
            subscribers.pop(session, None)
            if not subscribers:
                del self._subscribers[name]

    def wanted(self, stream: str) -> bool:
        """Tell whether anybody listens to a stream."""
        return stream in self._subscribers

    def active(self, prefix: str) -> list[str]:
        """Return the streams with subscribers whose names begin with ``prefix``."""
        return [name for name in self._subscribers if name.startswith(prefix)]

    def publish(self, stream: str, message: Any) -> None:
        """Send a message to the subscribers of a stream."""
        subscribers = self._subscribers.get(stream)
        if not subscribers or self._faults.find(("silent_stream",), stream, "stream") is not None:
            return
        raw = orjson.dumps(message)
        for session in subscribers:
            session.deliver(stream, raw)


def _canonical(stream: str) -> str:
    """Return the name that a stream is published under: a second is the default speed of depth."""
    return stream.removesuffix("@1000ms")


class StreamSession:
    """One stream socket: its subscriptions and whether messages come wrapped with their stream's name."""

    def __init__(self, hub: StreamHub, streams: Iterable[str], *, combined: bool) -> None:
        self._hub = hub
        self._combined = combined
        self._streams: dict[str, None] = dict.fromkeys(streams)
        self._socket: Socket | None = None
        self._commands: dict[str, Callable[[list[Any]], Any]] = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": lambda _: list(self._streams),
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }

    def opened(self, socket: Socket) -> None:
        """Subscribe to what the address asked for."""
        self._socket = socket
        for stream in self._streams:
            self._hub.subscribe(self, stream)

    def closed(self) -> None:
        """Unsubscribe from everything."""
        for stream in self._streams:
            self._hub.unsubscribe(self, stream)

    def describe(self) -> dict[str, Any]:
        """Return the subscriptions."""
        return {"streams": list(self._streams), "combined": self._combined}

    def deliver(self, stream: str, raw: bytes) -> None:
        """Send an encoded message."""
        if self._socket is None:
            return
        if self._combined:
            raw = b'{"stream":"%b","data":%b}' % (stream.encode(), raw)
        self._socket.send(raw)

    def received(self, data: bytes) -> None:
        """Perform a command and answer it."""
        request_id: Any = None
        answer: dict[str, Any]
        try:
            command = _parse(data)
            request_id = command.get("id")
            answer = {"result": self._perform(command), "id": request_id}
        except StreamError as error:
            answer = {"error": {"code": error.code, "msg": error.message}, "id": request_id}
        if self._socket is not None:
            self._socket.send(orjson.dumps(answer))

    def _perform(self, command: dict[str, Any]) -> Any:
        method = command.get("method")
        if method is None:
            raise StreamError(2, "Invalid request: missing field `method`")
        perform = self._commands.get(method) if isinstance(method, str) else None
        if perform is None:
            expected = ", ".join(f"`{name}`" for name in _METHODS)
            raise StreamError(2, f"Invalid request: unknown variant `{method}`, expected one of {expected}")
        request_id = command.get("id")
        if not isinstance(request_id, int | str | None) or isinstance(request_id, bool):
            raise StreamError(2, "Invalid request: request ID must be an unsigned integer")
        params = command.get("params", [])
        if not isinstance(params, list):
            raise StreamError(2, "Invalid request: params must be a list")
        return perform(params)

    def _subscribe(self, streams: list[Any]) -> None:
        names = _names(streams)
        for name in names:
            self._hub.check(name)
        if len(self._streams.keys() | set(names)) > _MAX_STREAMS:
            raise StreamError(2, f"Invalid request: a connection listens to {_MAX_STREAMS} streams at most")
        for name in names:
            self._streams[name] = None
            self._hub.subscribe(self, name)

    def _unsubscribe(self, streams: list[Any]) -> None:
        for name in _names(streams):
            self._streams.pop(name, None)
            self._hub.unsubscribe(self, name)

    def _set_property(self, params: list[Any]) -> None:
        self._get_property(params[:1])
        if len(params) != 2 or not isinstance(params[1], bool):
            raise StreamError(1, "Invalid value type: expected Boolean")
        self._combined = params[1]

    def _get_property(self, params: list[Any]) -> bool:
        if not params or not isinstance(params[0], str):
            raise StreamError(2, "Invalid request: property name must be a string")
        if params[0] != "combined":
            raise StreamError(0, "Unknown property")
        return self._combined


def _names(streams: list[Any]) -> list[str]:
    if not all(isinstance(name, str) for name in streams):
        raise StreamError(2, "Invalid request: stream names must be strings")
    return streams


def _parse(data: bytes) -> dict[str, Any]:
    try:
        command = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StreamError(3, f"Invalid JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    if not isinstance(command, dict):
        raise StreamError(2, "Invalid request: expected an object")
    return command


def session_for(hub: StreamHub, path: list[str], query: str) -> StreamSession:
    """Return the session for an address: ``/ws``, ``/ws/<stream>…`` (raw) or ``/stream?streams=a/b`` (wrapped).

    A segment after ``/ws`` that is no stream's name, such as the numbers that some clients add, is ignored.
    """
    if path[:1] == ["stream"]:
        wanted = parse_qs(query).get("streams", [""])[0].split("/")
        return StreamSession(hub, _existing(hub, wanted), combined=True)
    return StreamSession(hub, _existing(hub, path[1:]), combined=False)


def _existing(hub: StreamHub, streams: Iterable[str]) -> list[str]:
    found = []
    for stream in streams:
        try:
            hub.check(stream)
        except StreamError:
            continue
        found.append(stream)
    return found
