"""The REST API: paths and methods, raw bodies and queries, headers, and answers spoilt on demand."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote_plus

import orjson
from aiohttp import web

from kit.testnet import signing
from kit.testnet.binance_errors import ApiError, unknown_operation
from kit.testnet.binance_ws_api import JUNK
from kit.testnet.exchange import Call, Endpoint, Exchange
from kit.testnet.faults import ONE_ANSWER, Fault

_JSON = "application/json;charset=UTF-8"
_LOOK_EVERY_S = 0.05
ROUTES = {
    ("GET", "ping"): "ping",
    ("GET", "time"): "time",
    ("GET", "exchangeInfo"): "exchangeInfo",
    ("GET", "depth"): "depth",
    ("GET", "trades"): "trades.recent",
    ("GET", "historicalTrades"): "trades.historical",
    ("GET", "aggTrades"): "trades.aggregate",
    ("GET", "klines"): "klines",
    ("GET", "uiKlines"): "uiKlines",
    ("GET", "avgPrice"): "avgPrice",
    ("GET", "ticker/24hr"): "ticker.24hr",
    ("GET", "ticker/price"): "ticker.price",
    ("GET", "ticker/bookTicker"): "ticker.book",
    ("POST", "order"): "order.place",
    ("POST", "order/test"): "order.test",
    ("POST", "order/cancelReplace"): "order.cancelReplace",
    ("GET", "order"): "order.status",
    ("DELETE", "order"): "order.cancel",
    ("GET", "openOrders"): "openOrders.status",
    ("DELETE", "openOrders"): "openOrders.cancelAll",
    ("GET", "allOrders"): "allOrders",
    ("GET", "myTrades"): "myTrades",
    ("GET", "account"): "account.status",
    ("GET", "rateLimit/order"): "account.rateLimits.orders",
}
"""Operation names by method and path below ``/api/v3/``."""


class RestApi:
    """Answers HTTP requests."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def handle(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        """Answer one request to ``path`` (below ``/api/v3/``) with its raw query."""
        exchange = self._exchange
        body = (await request.read()).decode(errors="surrogateescape") if request.can_read_body else ""
        name = ROUTES.get((request.method, path))
        if name is None:
            return _response(unknown_operation(), {})
        endpoint = exchange.endpoints[name]
        fault = exchange.faults.take(ONE_ANSWER, name, "rest")
        if fault is not None:
            return await self._disturbed(fault, endpoint, request, query, body)
        return self._answer(endpoint, request, query, body)

    def _answer(self, endpoint: Endpoint, request: web.BaseRequest, query: str, body: str) -> web.Response:
        exchange = self._exchange
        exchange.counts["rest_requests"] += 1
        address = request.remote or ""
        headers: dict[str, str] = {}
        try:
            call = Call(_values(query, body), address)
            used = exchange.limiter.charge(address, endpoint.weight_of(call.values))
            headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = str(used)
            if endpoint.security == "SIGNED":
                payload = signing.rest_payload(query, body)
                exchange.authenticate(call, request.headers.get("X-MBX-APIKEY"), payload)
            result = exchange.perform(endpoint, call)
        except ApiError as error:
            return self._refusal(error, address, headers)
        if call.order_count is not None:
            headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1D"] = map(str, call.order_count)
        return _response(result, headers)

    def _refusal(self, error: ApiError, address: str, headers: dict[str, str]) -> web.Response:
        exchange = self._exchange
        exchange.counts[f"error {error.code}"] += 1
        used = str(exchange.limiter.used_weight(address))
        headers["X-MBX-USED-WEIGHT"] = headers["X-MBX-USED-WEIGHT-1M"] = used
        if error.retry_at_ms is not None:
            left_ms = max(0, error.retry_at_ms - exchange.clock.now_ms())
            headers["Retry-After"] = str(-(-left_ms // 1000))
        return _response(error, headers)

    async def _disturbed(
        self, fault: Fault, endpoint: Endpoint, request: web.BaseRequest, query: str, body: str
    ) -> web.StreamResponse:
        """Answer as the fault says."""
        kind, options = fault.kind, fault.options
        after = bool(options.get("after"))
        if kind == "drop_before":
            return _cut(request)
        if kind == "black_hole":
            await self._swallow(fault, request)
            return _cut(request)
        if kind == "error" and not after:
            return _fault_response(fault)
        delay = float(options.get("delay", 1.0)) if kind == "delay" else 0.0
        if delay and not after:
            await asyncio.sleep(delay)
        answer = self._answer(endpoint, request, query, body)
        if delay and after:
            await asyncio.sleep(delay)
        return await _spoilt(fault, request, answer)

    async def _swallow(self, fault: Fault, request: web.BaseRequest) -> None:
        """Wait until the fault is over or the client gives up; one that strikes a count of times is not over."""
        faults = self._exchange.faults
        # no event tells of the end of a fault's time, of its being cleared and of the client's going alike
        while request.transport is not None and (fault.left == 0 or fault in faults.active()):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)


async def _spoilt(fault: Fault, request: web.BaseRequest, answer: web.Response) -> web.StreamResponse:
    """Do to a ready answer what the fault says."""
    kind, options = fault.kind, fault.options
    if kind in ("drop_after", "silent"):
        return _cut(request)
    if kind == "truncate":
        return await _truncated(request, answer)
    if kind == "junk":
        body, status = str(options.get("body", JUNK)), int(options.get("status", 200))
        return web.Response(body=body.encode(), status=status, content_type="text/html")
    return _fault_response(fault) if kind == "error" else answer


def _values(query: str, body: str) -> dict[str, str]:
    """Return the parameters of query and body; the query counts where both have one. Raises -1101 for duplicates."""
    values = _fields(body) if body else {}
    return values | _fields(query) if query else values


def _fields(text: str) -> dict[str, str]:
    """Return URL-encoded fields; several times faster than ``urllib`` where nothing is escaped."""
    values: dict[str, str] = {}
    pairs = 0
    for field in text.split("&"):
        if field:
            pairs += 1
            name, _, value = field.partition("=")
            values[_plain(name)] = _plain(value)
    if len(values) != pairs:
        raise ApiError(-1101, "Duplicate values for a parameter detected.")
    return values


def _plain(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _response(result: Any, headers: dict[str, str]) -> web.Response:
    headers["Content-Type"] = _JSON
    if isinstance(result, ApiError):
        return web.Response(body=orjson.dumps(result.body()), status=result.status, headers=headers)
    return web.Response(body=orjson.dumps(result), headers=headers)


def _fault_response(fault: Fault) -> web.Response:
    options = fault.options
    error = ApiError(
        int(options.get("code", -1000)),
        str(options.get("message", "An unknown error occurred while processing the request.")),
        status=int(options.get("status", 503)),
    )
    return _response(error, {})


def _cut(request: web.BaseRequest) -> web.Response:
    """Cut the connection; the returned response goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _truncated(request: web.BaseRequest, answer: web.Response) -> web.StreamResponse:
    """Send the header and half of the body, then close the connection."""
    body = answer.body
    assert isinstance(body, bytes)
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": _JSON})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
