"""Whatever clients send is answered, and never breaks the exchange."""

import json
import time
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from kit.testnet.audit import audit
from kit.testnet.binance_streams import StreamSession
from kit.testnet.binance_ws_api import WsApiSession, _text
from kit.testnet.config import TestnetConfig
from kit.testnet.filters import NewOrder
from kit.testnet.parts import Parts
from kit.testnet.rate_limits import Limits
from kit.testnet.signing import sign, ws_payload

NO_LIMITS = Limits(weight=10**9, orders_10s=10**9, orders_day=10**9)
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "price": "59995",
}
ORDER_MORE = ("quoteOrderQty", "newClientOrderId", "newOrderRespType", "selfTradePreventionMode", "icebergQty")
REPLACE = {"cancelReplaceMode": "ALLOW_FAILURE", "cancelOrderId": 3}
REPLACE_MORE = ("cancelOrigClientOrderId", "cancelNewClientOrderId", "cancelRestrictions")
SYMBOL, TIMES = {"symbol": "BTCUSDT"}, ("startTime", "endTime", "limit", "fromId")
ID = SYMBOL | {"orderId": 3}
METHODS = {
    "order.place": (ORDER, ORDER_MORE),
    "order.test": (ORDER, ORDER_MORE),
    "order.cancelReplace": (ORDER | REPLACE, ORDER_MORE + REPLACE_MORE),
    "order.cancel": (ID, ("origClientOrderId", "newClientOrderId", "cancelRestrictions")),
    "order.status": (ID, ("origClientOrderId",)),
    "openOrders.status": (SYMBOL, ()),
    "openOrders.cancelAll": (SYMBOL, ()),
    "allOrders": (SYMBOL, (*TIMES, "orderId")),
    "myTrades": (SYMBOL, (*TIMES, "orderId")),
    "account.status": ({}, ("omitZeroBalances",)),
    "userDataStream.subscribe.signature": ({}, ()),
    "depth": (SYMBOL, ("limit",)),
    "klines": (SYMBOL | {"interval": "1m"}, (*TIMES, "timeZone")),
    "trades.aggregate": (SYMBOL, TIMES),
    "trades.historical": (SYMBOL, TIMES),
    "ticker.24hr": (SYMBOL, ("symbols", "type")),
}
LIKELY = {
    "symbol": ["BTCUSDT", "ETHUSDT"],
    "side": ["BUY", "SELL"],
    "type": ["LIMIT", "MARKET", "LIMIT_MAKER"],
    "timeInForce": ["GTC", "IOC", "FOK"],
    "quantity": ["0.01", "1", "3", "0.00001", "60"],
    "price": ["59990", "59995.5", "60010", "60020", "1"],
    "newOrderRespType": ["ACK", "RESULT", "FULL"],
    "selfTradePreventionMode": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    "cancelReplaceMode": ["STOP_ON_FAILURE", "ALLOW_FAILURE"],
    "cancelRestrictions": ["ONLY_NEW", "ONLY_PARTIALLY_FILLED"],
    "newClientOrderId": ["one", "two", "three"],
    "origClientOrderId": ["one", "two", "three"],
    "cancelOrigClientOrderId": ["one", "two", "three"],
    "interval": ["1s", "1m", "1w", "1M"],
    "omitZeroBalances": [True, False],
    "symbols": [["BTCUSDT"], ["ETHUSDT", "BTCUSDT"]],
}
SIGNED = ("order", "allOrders", "myTrades", "account", "userData", "openOrders")
VALUES = st.one_of(
    st.sampled_from(
        ["BTCUSDT", "ETHUSDT", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "GTC", "IOC", "FOK", "FULL"]
    ),
    st.sampled_from(
        ["59000", "60010", "0.01", "1", "5.5", "0", "1m", "1M", "STOP_ON_FAILURE", "ALLOW_FAILURE", "true"]
    ),
    st.sampled_from(
        ["EXPIRE_MAKER", "NONE", "ONLY_NEW", "99999999999999999999", "0.000000001", "-1", "", '["BTCUSDT"]']
    ),
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40),
    st.lists(st.text(max_size=5), max_size=3),
)
JSON = st.recursive(VALUES, lambda inner: st.dictionaries(st.text(max_size=9), inner, max_size=4), max_leaves=8)
FUZZ = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Sink:
    """Stands for a socket."""

    address = "127.0.0.1"

    def __init__(self):
        self.frames = []

    def send(self, frame):
        self.frames.append(json.loads(frame))

    def cut(self):
        raise AssertionError("no fault is switched on")


@pytest.fixture
async def parts():
    deposits = {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}
    config = TestnetConfig(flow=False, deposits=deposits, limits=NO_LIMITS)
    parts = Parts(config, wall=time.time, monotonic=time.monotonic)
    crowd = parts.exchange.venue.create_account("crowd", fee_free=True, unlimited=True)
    for side, price in (("SELL", "60010"), ("BUY", "59990")):
        parts.exchange.venue.place(crowd, NewOrder("BTCUSDT", side, qty=Decimal(50), price=Decimal(price)))
    return parts


def answers(session_of, data):
    sink = Sink()
    session = session_of()
    session.opened(sink)
    session.received(data)
    session.closed()
    return [frame for frame in sink.frames if "event" not in frame]


@FUZZ
@given(
    data=st.one_of(
        st.binary(max_size=60), st.text(max_size=60).map(str.encode), JSON.map(lambda v: json.dumps(v).encode())
    )
)
async def test_any_frame_gets_one_answer(parts, data):
    (answer,) = answers(lambda: WsApiSession(parts.exchange, parts.users), data)
    assert "error" in answer
    (answer,) = answers(lambda: StreamSession(parts.hub, (), combined=False), data)
    assert "error" in answer


@FUZZ
@given(data=st.data())
async def test_any_parameters_get_an_answer_and_leave_the_books_in_order(parts, data):
    exchange = parts.exchange
    method = data.draw(st.sampled_from(sorted(METHODS)))
    base, more = METHODS[method]
    params = dict(base)
    for name in data.draw(st.lists(st.sampled_from([*base, *more, "recvWindow"]), max_size=4)):
        params[name] = data.draw(st.sampled_from(LIKELY.get(name, [1, 2, 5, 10])))
    if params.get("type") != "LIMIT":
        params.pop("timeInForce", None)
    if data.draw(st.integers(0, 3)) == 0:
        params[data.draw(st.sampled_from([*params, "unknown"]))] = data.draw(VALUES)
    if params and data.draw(st.integers(0, 5)) == 0:
        del params[data.draw(st.sampled_from(sorted(params)))]
    if method.startswith(SIGNED):
        params |= {"apiKey": parts.account.api_key, "timestamp": exchange.clock.now_ms()}
        texts = {name: _text(value) for name, value in json.loads(json.dumps(params)).items()}
        params["signature"] = sign(parts.account.secret, ws_payload(texts))
    request = json.dumps({"id": 7, "method": method, "params": params}).encode()
    (answer,) = answers(lambda: WsApiSession(exchange, parts.users), request)
    event(f"{method} {answer['status']}")
    assert answer["id"] == 7
    assert answer["status"] in (200, 400, 409), answer
    assert ("result" in answer) is (answer["status"] == 200)
    assert audit(exchange.venue) == []
    assert exchange.venue.taps.errors == 0


@FUZZ
@given(
    method=st.sampled_from(["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY"]),
    params=st.lists(
        st.one_of(VALUES, st.sampled_from(["btcusdt@trade", "btcusdt@depth@100ms", "combined"])), max_size=4
    ),
    number=st.one_of(VALUES, st.integers()),
)
async def test_any_stream_command_gets_an_answer_and_leaves_no_subscription(parts, method, params, number):
    data = json.dumps({"method": method, "params": params, "id": number}).encode()
    (answer,) = answers(lambda: StreamSession(parts.hub, (), combined=False), data)
    assert ("result" in answer) is not ("error" in answer)
    parts.publishers.beat()
    assert parts.hub.active("") == []
