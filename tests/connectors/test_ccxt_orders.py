"""The way of an order, against an exchange that accepts, refuses, cuts and forgets on command."""

import asyncio
import importlib
from decimal import Decimal

import pytest

from kit.connectors import ccxt_lazy
from kit.connectors.ccxt_cancels import CancelSender
from kit.connectors.ccxt_errors import ResponseFacts, judge, translate
from kit.connectors.ccxt_limits import RequestLimits
from kit.connectors.ccxt_order_finder import OrderFinder
from kit.connectors.ccxt_orders import OrderDesk, OrderSender
from kit.connectors.ccxt_profiles import ORDERS, PROFILES, ClientIdCodec, LimitPlan, Profile
from kit.connectors.ccxt_requests import PRIORITY, Courier
from kit.connectors.ccxt_taps import FLIGHT
from kit.core.clock import ManualTime
from kit.core.tasks import TaskSupervisor
from kit.core.throttler import Priority
from kit.errors import AuthenticationFailed, NetworkUnavailable, NotReady
from kit.types.market import TradeType
from kit.types.orders import (
    CancelFailed,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TimeInForce,
    TradeUpdate,
)
from tests.support.ccxt_frames import PAIR

ccxt_lazy.install()
ccxt = importlib.import_module("ccxt.base.errors")
aiohttp = importlib.import_module("aiohttp")


def failed(kind, *, cause=None, **facts):
    exc = getattr(ccxt, kind)("failed")
    exc.__cause__ = cause
    exc.kit_facts = ResponseFacts(**facts)
    return exc


DUPLICATE = failed("InvalidOrder", status=400, code="-2010", message="Duplicate order sent.")
SLOW_DOWN = failed("DDoSProtection", status=429, code="-1003")
CUT = failed("ExchangeNotAvailable", cause=aiohttp.ServerDisconnectedError())
REFUSED = failed("ExchangeNotAvailable", cause=aiohttp.ClientConnectorError(None, OSError()))
MISSING = failed("OrderNotFound", status=400, code="-2013")


def answer(status="open", **changes):
    order = {"id": "7", "clientOrderId": "theirs", "symbol": PAIR, "status": status, "filled": "0", "timestamp": 1000}
    return order | changes


class Exchange:
    """ccxt's calls, whose outcomes a test queues; every call is noted."""

    id = "binance"
    has = {"fetchOpenOrders": True, "fetchClosedOrders": True}  # noqa: RUF012

    def __init__(self):
        self.calls = []
        self.outcomes = []
        self.ranks = []
        self.unsent = False
        self.gate = None

    def queue(self, *outcomes):
        self.outcomes.extend(outcomes)

    async def _do(self, name, *arguments):
        self.calls.append((name, *arguments))
        self.ranks.append(PRIORITY.get())
        flight = FLIGHT.get()
        if flight is not None and not self.unsent:
            flight.sent = True
        if self.gate is not None:
            await self.gate
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def create_order(self, *arguments):
        return await self._do("create", *arguments)

    async def cancel_order(self, *arguments):
        return await self._do("cancel", *arguments)

    async def fetch_order(self, *arguments):
        return await self._do("fetch", *arguments)

    async def fetch_open_orders(self, *arguments):
        return await self._do("open", *arguments)

    async def fetch_closed_orders(self, *arguments):
        return await self._do("closed", *arguments)

    fetchClosedOrders = fetch_closed_orders


class Desk:
    """A sender with everything around it; ``heard`` is what it told."""

    def __init__(self, profile=PROFILES["binance"]):
        self.time = ManualTime(1_700_000_000)
        self.exchange = Exchange()
        self.supervisor = TaskSupervisor("desk")
        self.heard = []
        self.accepted = []
        self.resyncs = 0
        self.unready = None
        codec = ClientIdCodec(profile)
        self.limits = RequestLimits(LimitPlan(orders=(11, 10.0)), 50, 60_000, self.time)
        self.finder = OrderFinder(self.exchange, profile, codec, lambda exc: translate(exc, "binance"), self.time.time)
        self.courier = Courier(
            self.limits.admit_order, self.time, lambda exc, sent: judge(exc, "binance", sent=sent), self.resync
        )
        self.desk = OrderDesk(
            self.supervisor,
            self.heard.append,
            self.courier,
            self.finder,
            now=self.time.time,
            ready=self.ready,
            accepted=self.accepted.append,
        )
        self.orders = OrderSender(self.exchange, self.desk, profile, codec)
        self.cancels = CancelSender(self.desk)

    async def ready(self):
        if self.unready is not None:
            raise self.unready

    async def resync(self):
        self.resyncs += 1

    async def submit(self, request=None, seconds=0.0):
        self.orders.submit(request or order())
        await self.time.advance(seconds)
        return self.heard

    async def cancel(self, request=None, seconds=0.0):
        self.cancels.cancel(request or CancelRequest("ours", PAIR))
        await self.time.advance(seconds)
        return self.heard


def order(**changes):
    fields = {
        "client_order_id": "ours",
        "trading_pair": PAIR,
        "trade_type": TradeType.BUY,
        "order_type": OrderType.LIMIT,
        "amount": Decimal("0.10"),
        "price": Decimal("100.50"),
    }
    return OrderRequest(**fields | changes)


@pytest.fixture
async def desk():
    desk = Desk()
    yield desk
    assert await desk.supervisor.close() == []


# create


async def test_an_accepted_order(desk):
    desk.exchange.queue(answer())
    (update,) = await desk.submit()
    assert isinstance(update, OrderUpdate)
    assert (update.state, update.client_order_id, update.exchange_order_id) == (OrderState.OPEN, "ours", "7")
    assert (update.trade_type, update.order_type, update.amount, update.price) == (
        TradeType.BUY,
        OrderType.LIMIT,
        Decimal("0.10"),
        Decimal("100.50"),
    )
    arguments = (PAIR, "limit", "buy", Decimal("0.10"), Decimal("100.50"), {"newClientOrderId": "ours"})
    assert desk.exchange.calls == [("create", *arguments)]
    assert desk.exchange.ranks == [Priority.CREATE]
    assert desk.accepted == [0.0]
    assert desk.desk.counts["created"] == 1


@pytest.mark.parametrize(
    ("request_", "kind", "price", "params"),
    [
        (order(order_type=OrderType.LIMIT_MAKER), "limit", Decimal("100.50"), {"postOnly": True}),
        (order(time_in_force=TimeInForce.IOC), "limit", Decimal("100.50"), {"timeInForce": "IOC"}),
        (order(time_in_force=TimeInForce.FOK), "limit", Decimal("100.50"), {"timeInForce": "FOK"}),
        (order(order_type=OrderType.MARKET, price=None), "market", None, {}),
        (order(order_type=OrderType.MARKET), "market", None, {}),
    ],
)
async def test_kinds_of_orders(desk, request_, kind, price, params):
    desk.exchange.queue(answer())
    await desk.submit(request_)
    call = desk.exchange.calls[0]
    assert (call[2], call[5], call[6]) == (kind, price, {"newClientOrderId": "ours"} | params)


async def test_fills_in_the_answer_are_told(desk):
    fee = {"cost": "0.0001", "currency": "BTC"}
    trades = [
        {"id": "1", "price": "100", "amount": "0.04", "fee": fee},
        {"id": "2", "price": "101", "amount": "0.06", "fee": fee},
        {"id": "3"},  # nothing that could be a fill: the stream tells it
    ]
    desk.exchange.queue(answer("closed", filled="0.1", trades=trades))
    update, *fills = await desk.submit()
    assert update.state is OrderState.FILLED
    assert all(isinstance(fill, TradeUpdate) for fill in fills)
    assert [(fill.trade_id, fill.amount, fill.is_maker) for fill in fills] == [
        ("1", Decimal("0.04"), False),
        ("2", Decimal("0.06"), False),
    ]
    assert all((fill.client_order_id, fill.exchange_order_id) == ("ours", "7") for fill in fills)
    assert fills[0].trade_type is TradeType.BUY
    assert fills[0].fee.amount_of("BTC") == Decimal("0.0001")


@pytest.mark.parametrize(
    ("exc", "error"),
    [
        (failed("InsufficientFunds", status=400, code="-2010"), "InsufficientBalance"),
        (failed("InvalidOrder", status=400, code="-1013"), "InvalidOrder"),
        (failed("OrderImmediatelyFillable", status=400, code="-2010"), "PostOnlyRejected"),
        (failed("AuthenticationError", status=401, code="-2014"), "AuthenticationFailed"),
        (REFUSED, "NetworkUnavailable"),
    ],
)
async def test_what_was_refused_or_never_sent_has_failed(desk, exc, error):
    desk.exchange.queue(exc)
    (update,) = await desk.submit()
    assert (update.state, update.error) == (OrderState.FAILED, error)
    assert update.reason
    assert len(desk.exchange.calls) == 1
    assert desk.accepted == []


@pytest.mark.parametrize(
    "exc",
    [
        CUT,
        failed("RequestTimeout"),
        failed("ExchangeError", cause=aiohttp.ClientPayloadError()),
        failed("ExchangeNotAvailable", status=503),
        failed("OperationFailed", status=400, code="-1006"),
        KeyError("orderId"),
        answer(id=None),
        {},
        "<html>",
        None,
    ],
)
async def test_a_lost_answer_is_unknown_and_is_not_sent_again(desk, exc):
    desk.exchange.queue(exc)
    (update,) = await desk.submit(seconds=60)
    assert (update.state, update.error) == (OrderState.UNKNOWN, "AmbiguousOutcome")
    assert (update.amount, update.price, update.client_order_id) == (Decimal("0.10"), Decimal("100.50"), "ours")
    assert len(desk.exchange.calls) == 1
    assert desk.desk.counts["ambiguous"] == 1


async def test_an_error_before_sending_is_not_ambiguous(desk):
    desk.exchange.unsent = True
    desk.exchange.queue(failed("RequestTimeout"))
    (update,) = await desk.submit()
    assert (update.state, update.error) == (OrderState.FAILED, "NetworkUnavailable")


async def test_nothing_is_sent_before_the_markets_are_known(desk):
    desk.unready = NetworkUnavailable("no markets")
    (update,) = await desk.submit()
    assert (update.state, update.error) == (OrderState.FAILED, "NetworkUnavailable")
    desk.heard.clear()
    (told,) = await desk.cancel()
    assert (told.order_not_found, told.ambiguous) == (False, False)
    assert desk.exchange.calls == []


async def test_refused_for_the_moment_is_sent_again_under_the_same_id(desk):
    desk.exchange.queue(SLOW_DOWN, SLOW_DOWN, answer())
    assert await desk.submit() == []
    await desk.time.advance(1.0)
    (update,) = desk.heard
    assert update.state is OrderState.OPEN
    assert [call[6] for call in desk.exchange.calls] == [{"newClientOrderId": "ours"}] * 3
    assert desk.courier.retried == 2


async def test_a_long_wait_fails_the_order(desk):
    desk.exchange.queue(failed("DDoSProtection", status=429, retry_after=30.0))
    (update,) = await desk.submit()
    assert (update.state, update.error) == (OrderState.FAILED, "RateLimited")
    desk.heard.clear()
    desk.exchange.queue(*[SLOW_DOWN] * 9)
    (update,) = await desk.submit(seconds=60)
    assert (update.state, update.error) == (OrderState.FAILED, "RateLimited")
    assert len(desk.exchange.calls) == 1 + 5  # 0.25 + 0.5 + 1 + 2 s fit into 5 s


async def test_a_clock_error_resyncs_and_is_sent_again_once(desk):
    skewed = failed("InvalidNonce", status=400, code="-1021")
    desk.exchange.queue(skewed, answer())
    (update,) = await desk.submit()
    assert update.state is OrderState.OPEN
    assert desk.resyncs == 1
    desk.heard.clear()
    desk.exchange.queue(skewed, skewed)
    (update,) = await desk.submit()
    assert update.state is OrderState.FAILED
    assert desk.resyncs == 2


async def test_a_duplicate_is_the_order_that_the_exchange_has(desk):
    desk.exchange.queue(SLOW_DOWN, DUPLICATE, answer(filled="0.05"))
    (update,) = await desk.submit(seconds=1)
    assert (update.state, update.client_order_id) == (OrderState.PARTIALLY_FILLED, "ours")
    assert desk.exchange.calls[-1] == ("fetch", "", PAIR, {"origClientOrderId": "ours"})


async def test_a_duplicate_that_cannot_be_found_is_unknown(desk):
    desk.exchange.queue(DUPLICATE, MISSING, CUT, MISSING, MISSING)
    (update,) = await desk.submit(seconds=5)
    assert (update.state, update.error) == (OrderState.UNKNOWN, "DuplicateOrder")


async def test_an_order_that_is_rejected_in_an_answer_has_failed(desk):
    desk.exchange.queue(answer("rejected"))
    (update,) = await desk.submit()
    assert (update.state, update.error) == (OrderState.FAILED, "OrderRejected")
    assert update.reason


async def test_new_orders_are_counted(desk):
    desk.exchange.queue(*[answer()] * 12)
    for _ in range(12):
        await desk.submit()
    assert len(desk.heard) == 9  # nine tenths of eleven
    await desk.time.advance(10)
    assert len(desk.heard) == 12


@pytest.mark.parametrize(("sent", "state"), [(True, OrderState.UNKNOWN), (False, OrderState.FAILED)])
async def test_closing_tells_what_is_under_way(desk, sent, state):
    desk.exchange.gate = asyncio.get_running_loop().create_future()
    desk.exchange.unsent = not sent
    assert await desk.submit() == []
    await desk.desk.drain(0.01)
    await desk.supervisor.close()
    (update,) = desk.heard
    assert update.state is state


async def test_drain_waits_for_what_is_under_way(desk):
    desk.exchange.gate = asyncio.get_running_loop().create_future()
    desk.exchange.queue(answer())
    await desk.submit()
    asyncio.get_running_loop().call_soon(desk.exchange.gate.set_result, None)
    await desk.desk.drain(60)
    assert desk.heard[0].state is OrderState.OPEN


async def test_an_error_of_ours_does_not_lose_the_order(desk, caplog):
    desk.finder.read = lambda *_: 1 / 0
    desk.exchange.queue(answer())
    (update,) = await desk.submit()
    assert update.state is OrderState.UNKNOWN
    assert desk.supervisor.error_count == 1
    assert "ZeroDivisionError" in caplog.text


# cancel


async def test_a_cancel_by_either_id(desk):
    desk.exchange.queue(answer("canceled", filled="0.05"), answer("canceled"))
    update = (await desk.cancel(CancelRequest("ours", PAIR, "7")))[0]
    assert (update.state, update.client_order_id, update.filled) == (OrderState.CANCELED, "ours", Decimal("0.05"))
    await desk.cancel(CancelRequest("ours", PAIR))
    assert desk.exchange.calls == [("cancel", "7", PAIR), ("cancel", "", PAIR, {"origClientOrderId": "ours"})]
    assert desk.exchange.ranks == [Priority.CANCEL] * 2


async def test_a_mere_acknowledgement_is_pending(desk):
    desk.exchange.queue(answer(None))
    (update,) = await desk.cancel()
    assert update.state is OrderState.PENDING_CANCEL


async def test_nothing_to_cancel(desk):
    desk.exchange.queue(failed("OrderNotFound", status=400, code="-2011"))
    (told,) = await desk.cancel()
    assert isinstance(told, CancelFailed)
    assert (told.order_not_found, told.ambiguous) == (True, False)


async def test_a_lost_cancel_is_sent_again(desk):
    desk.exchange.queue(CUT, answer("canceled"))
    (update,) = await desk.cancel(seconds=1)
    assert update.state is OrderState.CANCELED
    assert len(desk.exchange.calls) == 2


async def test_a_cancel_that_stays_lost_is_ambiguous(desk):
    desk.exchange.queue(CUT, CUT, CUT, CUT)
    (told,) = await desk.cancel(seconds=10)
    assert (told.order_not_found, told.ambiguous) == (False, True)
    assert len(desk.exchange.calls) == 3


@pytest.mark.parametrize("outcome", [answer(id=None), "<html>"])
async def test_an_unreadable_answer_to_a_cancel_is_ambiguous(desk, outcome):
    desk.exchange.queue(outcome)
    (told,) = await desk.cancel()
    assert told.ambiguous


async def test_a_refused_cancel_is_neither(desk):
    desk.exchange.queue(failed("AuthenticationError", status=401, code="-2015"))
    (told,) = await desk.cancel()
    assert (told.order_not_found, told.ambiguous) == (False, False)
    assert "API key" in told.reason


async def test_cancels_go_on_while_orders_wait(desk):
    desk.limits.throttler.pause(60.0, limit_id=ORDERS)
    desk.exchange.queue(answer("canceled"))
    assert await desk.submit() == []
    (update,) = await desk.cancel()
    assert update.state is OrderState.CANCELED


# query


async def test_a_query_by_either_id(desk):
    desk.exchange.queue(answer(filled="0.05"), answer("canceled"))
    by_id = await desk.finder.query(CancelRequest("ours", PAIR, "7"))
    assert (by_id.state, by_id.client_order_id) == (OrderState.PARTIALLY_FILLED, "ours")
    await desk.finder.query(CancelRequest("ours", PAIR))
    assert desk.exchange.calls == [("fetch", "7", PAIR), ("fetch", "", PAIR, {"origClientOrderId": "ours"})]
    assert desk.exchange.ranks == [Priority.QUERY] * 2


async def test_none_is_the_exchanges_own_word(desk):
    desk.exchange.queue(MISSING)
    assert await desk.finder.query(CancelRequest("ours", PAIR)) is None


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (CUT, NetworkUnavailable),
        (failed("RequestTimeout"), NetworkUnavailable),
        (answer(id=None), NotReady),
        ("<html>", NotReady),
        (KeyError("x"), NetworkUnavailable),
        (failed("AuthenticationError", status=401, code="-2015"), AuthenticationFailed),
    ],
)
async def test_a_failed_query_is_no_evidence(desk, outcome, error):
    desk.exchange.queue(outcome)
    with pytest.raises(error) as caught:
        await desk.finder.query(CancelRequest("ours", PAIR))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


async def test_an_exchange_that_cannot_find_by_our_id_is_searched():
    desk = Desk(Profile())
    desk.exchange.queue([answer()], [answer("canceled", clientOrderId="ours", id="9")])
    update = await desk.finder.query(CancelRequest("ours", PAIR))
    assert (update.exchange_order_id, update.state) == ("9", OrderState.CANCELED)
    desk.exchange.queue([], [])
    assert await desk.finder.query(CancelRequest("ours", PAIR)) is None
    desk.exchange.queue([answer(clientOrderId="ours", id="9")], answer("canceled", id="9"))
    await desk.cancel()
    assert desk.exchange.calls[-1] == ("cancel", "9", PAIR)
    desk.heard.clear()
    desk.exchange.queue([], [])
    (told,) = await desk.cancel()
    assert told.order_not_found
    assert len(desk.exchange.calls) == 8, "not there is an answer, not a reason to ask again"


async def test_an_exchange_without_a_list_of_ended_orders_gives_no_evidence():
    desk = Desk(Profile())
    desk.exchange.has = {}
    with pytest.raises(NotReady):
        await desk.finder.query(CancelRequest("ours", PAIR))


async def test_gate_takes_our_id_for_its_own():
    desk = Desk(PROFILES["gate"])
    desk.exchange.queue(answer(), answer("canceled"), answer("canceled"))
    await desk.submit()
    await desk.finder.query(CancelRequest("ours", PAIR))
    await desk.cancel()
    assert desk.exchange.calls[0][6] == {"text": "t-ours"}
    assert desk.exchange.calls[1:] == [("fetch", "t-ours", PAIR), ("cancel", "t-ours", PAIR)]
