"""The WebSocket API: requests as JSON frames, answers and private events on the same socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from kit.testnet import signing
from kit.testnet.binance_errors import ApiError, missing, unknown_operation
from kit.testnet.exchange import Call, Endpoint, Exchange
from kit.testnet.faults import ONE_ANSWER, Fault
from kit.testnet.ledger import Account
from kit.testnet.sockets import Socket
from kit.testnet.user_streams import UserStreams

_CONNECT_WEIGHT = 2
JUNK = "<html><body>502 Bad Gateway</body></html>"


class _Asked(NamedTuple):
    """A request that could be read."""

    endpoint: Endpoint
    call: Call
    request_id: Any


class WsApiSession:
    """One WebSocket API connection."""

    def __init__(self, exchange: Exchange, users: UserStreams, *, show_limits: bool = True) -> None:
        self._exchange = exchange
        self._users = users
        self._show_limits = show_limits
        self._socket: Socket | None = None
        self._subscriptions: dict[int, Account] = {}
        self._ids = itertools.count()
        self._own: dict[str, Endpoint] = {
            endpoint.name: endpoint
            for endpoint in (
                Endpoint("userDataStream.subscribe.signature", self._subscribe, 2, "SIGNED"),
                Endpoint("userDataStream.unsubscribe", self._unsubscribe, 2),
                Endpoint("session.subscriptions", self._list_subscriptions, 2),
            )
        }

    def opened(self, socket: Socket) -> None:
        """Charge the connection's weight."""
        self._socket = socket
        try:
            self._exchange.limiter.charge(socket.address, _CONNECT_WEIGHT)
        except ApiError as error:
            self._send(self._failure(None, None, error))

    def closed(self) -> None:
        """Forget the subscriptions."""
        self._socket = None
        for account in self._subscriptions.values():
            self._users.remove(account, self)
        self._subscriptions.clear()

    def describe(self) -> dict[str, Any]:
        """Return the names of the accounts whose events come here."""
        return {"accounts": [account.name for account in self._subscriptions.values()]}

    def deliver(self, account: Account, event: dict[str, Any]) -> None:
        """Send an account's event under each subscription to it."""
        for number, subscribed in self._subscriptions.items():
            if subscribed is account:
                self._send({"subscriptionId": number, "event": event})

    def terminate(self, now_ms: int) -> None:
        """End every subscription and say so."""
        for number in tuple(self._subscriptions):
            self._end(number, now_ms)

    def received(self, data: bytes) -> None:
        """Take one request and answer it, unless a fault has other plans."""
        request_id = None
        try:
            request = _parse(data)
            request_id = request.get("id")
            asked = self._read(request, request_id)
        except ApiError as error:
            self._send(self._failure(request_id, None, error))
            return
        fault = self._exchange.faults.take(ONE_ANSWER, asked.endpoint.name, "ws_api")
        if fault is None:
            self._send(self._perform(asked))
        else:
            self._disturb(fault, asked)

    def _disturb(self, fault: Fault, asked: _Asked) -> None:
        """Answer as the fault says."""
        kind, options = fault.kind, fault.options
        if kind == "delay":
            self._delay(float(options.get("delay", 1.0)), asked, after=bool(options.get("after")))
            return
        takes_effect = {
            "drop_before": False,
            "black_hole": False,
            "silent": not options.get("before"),
            "error": bool(options.get("after")),
        }.get(kind, True)
        answer = self._perform(asked) if takes_effect else {}
        if kind in ("drop_before", "drop_after") and self._socket is not None:
            self._socket.cut()
        elif kind == "error":
            self._send({"id": asked.request_id, **_error(fault)})
        elif kind == "truncate":
            whole = orjson.dumps(answer)
            self._send_raw(whole[: len(whole) // 2])
        elif kind == "junk":
            self._send_raw(str(options.get("body", JUNK)).encode())

    def _delay(self, seconds: float, asked: _Asked, *, after: bool) -> None:
        loop = asyncio.get_running_loop()
        if after:
            loop.call_later(seconds, self._send, self._perform(asked))
        else:
            loop.call_later(seconds, lambda: self._send(self._perform(asked)))

    def _read(self, request: dict[str, Any], request_id: Any) -> _Asked:
        """Return what a request wants and with which parameters."""
        method = request.get("method")
        if not isinstance(method, str):
            raise missing("method")
        name = method.removeprefix("v3/")
        endpoint = self._own.get(name) or self._exchange.endpoints.get(name)
        if endpoint is None:
            raise unknown_operation()
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise ApiError(-1135, "JSON sent for parameter 'params' is not valid")
        address = self._socket.address if self._socket else ""
        return _Asked(endpoint, Call({name: _text(value) for name, value in params.items()}, address), request_id)

    def _perform(self, asked: _Asked) -> dict[str, Any]:
        endpoint, call, request_id = asked
        exchange = self._exchange
        exchange.counts["ws_api_requests"] += 1
        call.params.ignore("returnRateLimits")
        try:
            exchange.limiter.charge(call.address, endpoint.weight_of(call.values))
            if endpoint.security == "SIGNED":
                exchange.authenticate(call, call.values.get("apiKey"), signing.ws_payload(call.values))
            result = exchange.perform(endpoint, call)
        except ApiError as error:
            return self._failure(request_id, call, error)
        return {"id": request_id, "status": 200, "result": result, **self._limits(call)}

    def _failure(self, request_id: Any, call: Call | None, error: ApiError) -> dict[str, Any]:
        self._exchange.counts[f"error {error.code}"] += 1
        body = error.body()
        if error.retry_at_ms is not None:
            body["data"] = {"serverTime": self._exchange.clock.now_ms(), "retryAfter": error.retry_at_ms}
        return {"id": request_id, "status": error.status, "error": body, **self._limits(call)}

    def _limits(self, call: Call | None) -> dict[str, Any]:
        """Return the rate limits that a request touched, unless it asked not to be told."""
        if call is None:
            return {}
        wanted = call.values.get("returnRateLimits", "true" if self._show_limits else "false")
        if wanted != "true":
            return {}
        limiter = self._exchange.limiter
        orders = limiter.order_status(call.account) if call.order_count is not None else []
        return {"rateLimits": [*orders, limiter.weight_status(call.address)]}

    # subscriptions

    def _subscribe(self, call: Call) -> dict[str, int]:
        call.params.finish()
        if call.account in self._subscriptions.values():
            raise ApiError(-2035, "User Data Stream subscription already active.")
        number = next(self._ids)
        self._subscriptions[number] = call.account
        self._users.add(call.account, self)
        return {"subscriptionId": number}

    def _unsubscribe(self, call: Call) -> dict[str, Any]:
        number = call.params.integer("subscriptionId")
        call.params.finish()
        if number is not None and number not in self._subscriptions:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        now = self._exchange.clock.now_ms()
        for each in tuple(self._subscriptions) if number is None else (number,):
            self._end(each, now)
        return {}

    def _list_subscriptions(self, call: Call) -> list[dict[str, int]]:
        call.params.finish()
        return [{"subscriptionId": number} for number in self._subscriptions]

    def _end(self, number: int, now_ms: int) -> None:
        account = self._subscriptions.pop(number)
        self._users.remove(account, self)
        self._send({"subscriptionId": number, "event": {"e": "eventStreamTerminated", "E": now_ms}})

    def _send(self, message: dict[str, Any]) -> None:
        self._send_raw(orjson.dumps(message))

    def _send_raw(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.send(data)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ApiError(-1135, "Invalid JSON Request") from error
    if not isinstance(request, dict):
        raise ApiError(-1135, "Invalid JSON Request")
    return request


def _text(value: Any) -> str:
    """Return a parameter as it counts for the signature: JSON's words for booleans, text as it is."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return orjson.dumps(value).decode()


def _error(fault: Fault) -> Mapping[str, Any]:
    options = fault.options
    code, message = options.get("code", -1000), options.get("message", "An unknown error occurred.")
    return {"status": options.get("status", 503), "error": {"code": code, "msg": message}}
