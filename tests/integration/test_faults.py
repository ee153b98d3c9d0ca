"""Faults produced for real: each is recovered from unaided, is shown in ``status``, and loses or doubles nothing."""

import asyncio
import os
import signal
import time

import pytest

from kit.connectors import ccxt_exchange, ccxt_limits, ccxt_requests, ccxt_user_stream
from kit.connectors.ccxt_market_streams import MarketStreams
from kit.connectors.connector import Connector
from kit.orders import user_stream_tracker
from kit.testnet import Testnet
from kit.types.orders import OrderState
from tests.support.stack import AMOUNT, INSIDE, PAIR, connected, fill_book

FILLED = ["BuyOrderCreated", "OrderFilled", "BuyOrderCompleted"]
CANCELLED = ["BuyOrderCreated", "OrderCancelled"]
HALF = AMOUNT / 2


async def shuffle(stack, orders):
    """Let the exchange fill the first order, fill half of the second, and cancel the third."""
    filled, halved, cancelled = orders
    await stack.hit(AMOUNT, stack.order(filled).price)
    await stack.hit(HALF, stack.order(halved).price)
    assert [order.client_order_id for order in await stack.testnet.cancel_orders(cancelled)] == [cancelled]


async def three_orders(stack):
    """Rest three orders, the first of which is the first to be hit."""
    return [await stack.rest(price) for price in (INSIDE + 2, INSIDE + 1, INSIDE)]


def shuffled(stack, orders):
    """Check that what ``shuffle`` did was heard of."""
    filled, halved, cancelled = orders
    assert stack.events_of(filled) == FILLED
    assert stack.events_of(halved) == ["BuyOrderCreated", "OrderFilled"]
    assert stack.order(halved).executed_amount_base == HALF
    assert stack.events_of(cancelled) == CANCELLED
    assert set(stack.open_orders) == {halved}


# market data


async def test_market_socket_cut(stack):
    order_id = await stack.rest()
    await stack.testnet.fault("cut_market")
    await stack.until(lambda: stack.book.lost == 1, "the loss is noticed")
    await stack.stir()
    await stack.hit(AMOUNT)
    await stack.settled()
    assert stack.events_of(order_id) == FILLED
    assert stack.told(f"books.{PAIR}.resyncs") == 1
    assert stack.told("port.reconnects") == 1
    assert stack.told(f"port.streams.book {PAIR}.losses") == 1


async def test_market_socket_cut_and_refused_for_a_while(stack):
    await stack.testnet.fault("cut_market", seconds=600)
    await stack.until(lambda: not stack.market.ready, "not ready while the book cannot be trusted")
    assert not stack.told("readiness.order_books")
    await stack.until(lambda: stack.told(f"port.streams.book {PAIR}.failures") >= 1, "it tries again in vain")
    await stack.stir()
    await stack.testnet.clear_faults()
    await stack.settled()
    assert stack.told(f"books.{PAIR}.lost") >= 1


async def test_depth_updates_missing(stack):
    await stack.stir()
    await stack.until(lambda: stack.book.diffs >= 1, "the book is streamed")
    before = stack.book.snapshots
    await stack.testnet.fault("gap", count=1)
    await stack.stir()
    await until_struck(stack, "gap")
    await stack.stir()
    await stack.until(lambda: stack.book.snapshots > before, "a fresh snapshot")
    await stack.settled()
    assert stack.told(f"books.{PAIR}.gaps") + stack.told(f"books.{PAIR}.lost") >= 1
    assert stack.told(f"books.{PAIR}.resyncs") == 1


async def until_struck(stack, kind):
    """Wait until a fault has been used up."""
    async with asyncio.timeout(60):
        while any(fault["kind"] == kind for fault in await stack.testnet.faults()):
            await asyncio.sleep(0.02)


async def test_silent_market_stream(testnet, monkeypatch):
    monkeypatch.setitem(MarketStreams.__init__.__kwdefaults__, "silence_after", 1.0)
    monkeypatch.setitem(Connector.__init__.__kwdefaults__, "stale_after", 2.0)
    async with connected(testnet) as stack:
        await stack.stir()
        await testnet.fault("silent_stream", on="btcusdt@*")
        await stack.stir()
        await stack.until(lambda: not stack.market.ready, "stale: the exchange has news, the stream has none")
        assert stack.told(f"books.{PAIR}.stale") or stack.told(f"books.{PAIR}.lost")
        await stack.until(lambda: stack.told("port.silent"), "its silence is noticed")
        await testnet.clear_faults()
        await stack.settled()
        await stack.stir()
        await stack.settled()
        assert stack.told("port.silent") >= 1
        assert stack.told("port.reconnects") >= 1


async def test_a_quiet_market_is_not_taken_for_a_silent_stream(testnet, monkeypatch):
    monkeypatch.setitem(Connector.__init__.__kwdefaults__, "stale_after", 0.5)
    async with connected(testnet) as stack:
        for _ in range(4):
            await asyncio.sleep(0.6)  # longer than that
            await stack.until(lambda: stack.market.ready, "the book was compared, and is right")
        await stack.settled()
        assert (stack.book.lost, stack.book.resyncs) == (0, 0)
        assert stack.told("port.reconnects") == stack.told("port.silent") == 0


async def test_undecodable_market_frame(stack):
    await stack.stir()
    await stack.testnet.fault("undecodable")
    await stack.stir()
    await stack.until(lambda: stack.port["bad_frames"] == 1, "the frame is noticed")
    await stack.settled()
    assert stack.told(f"books.{PAIR}.lost") == 1
    assert stack.told("port.bad_frames") == 1
    assert stack.told("port.last_bad_frame")
    await stack.stir()
    await stack.settled()


@pytest.mark.parametrize("payload", ["[]", "null", "1", '{"e":"depthUpdate","s":"BTCUSDT"}', '{"stream":"x","data":7}'])
async def test_market_frames_of_the_wrong_shape(stack, payload):
    await stack.stir()
    await stack.testnet.fault("undecodable", payload=payload)
    await stack.stir()
    await stack.settled()
    await stack.stir()
    await stack.settled()


# the account


async def test_user_socket_cut_while_orders_fill_and_end(stack):
    orders = await three_orders(stack)
    before = stack.user.reconciliations
    await stack.testnet.fault("cut_user", seconds=600)
    await stack.until(lambda: not stack.market.ready, "the loss is noticed")
    assert not stack.told("readiness.user_stream")
    await shuffle(stack, orders)
    placed_meanwhile = stack.buy(INSIDE - 1)
    await stack.until(lambda: stack.events_of(placed_meanwhile), "orders can be placed in the gap")
    await stack.testnet.trade(PAIR, "sell", HALF, INSIDE + 1, time_in_force="IOC")  # completes the second
    await stack.testnet.clear_faults()
    await stack.settled()
    assert stack.events_of(orders[0]) == FILLED
    assert stack.events_of(orders[1]) == ["BuyOrderCreated", "OrderFilled", "OrderFilled", "BuyOrderCompleted"]
    assert stack.events_of(orders[2]) == CANCELLED
    assert set(stack.open_orders) == {placed_meanwhile}
    assert stack.told("user_stream.losses") >= 1
    assert stack.told("user_stream.reconciliations") > before
    assert stack.told("port.reconnects") >= 1


async def test_terminated_user_stream(stack):
    orders = await three_orders(stack)
    await stack.testnet.fault("terminate")
    await shuffle(stack, orders)
    await stack.until(lambda: stack.user.losses == 1, "the loss is noticed")
    await stack.settled()
    shuffled(stack, orders)
    assert stack.told("user_stream.connections") == 2


async def test_undecodable_frame_on_the_user_socket(stack):
    orders = await three_orders(stack)
    await stack.testnet.fault("undecodable", on="user")
    await shuffle(stack, orders)
    await stack.until(lambda: stack.port["bad_frames"] == 1, "the frame is noticed")
    await stack.settled()
    shuffled(stack, orders)
    assert stack.told("user_stream.losses") == 1


async def test_silent_user_stream_is_noticed_by_the_next_request(stack):
    orders = await three_orders(stack)
    await stack.testnet.fault("silent_stream", on="user")
    await shuffle(stack, orders)
    another = stack.buy(INSIDE - 1)
    await stack.until(lambda: stack.user.losses == 1, "5 s without word of an accepted order")
    await stack.testnet.clear_faults()
    await stack.settled()
    assert stack.events_of(another) == ["BuyOrderCreated"]
    assert stack.events_of(orders[0]) == FILLED
    assert stack.events_of(orders[2]) == CANCELLED
    assert set(stack.open_orders) == {orders[1], another}


async def test_silent_user_stream_is_backed_up_by_polling(stack, monkeypatch):
    monkeypatch.setattr(user_stream_tracker, "SILENT_AFTER", 0.2)
    monkeypatch.setattr(user_stream_tracker, "SHORT_POLL_INTERVAL", 0.5)
    orders = await three_orders(stack)
    await stack.testnet.fault("silent_stream", on="user")
    await shuffle(stack, orders)
    await stack.settled()
    shuffled(stack, orders)
    assert stack.told("user_stream.losses") == 0


# requests


async def test_reconciliation_is_repeated_until_the_exchange_answers(stack):
    orders = await three_orders(stack)
    for operation in ("openOrders.status", "myTrades", "account.status"):
        await stack.testnet.fault("error", on=operation, status=503, seconds=600)
    await stack.testnet.fault("cut_user")
    await stack.until(lambda: stack.user.losses == 1, "the loss is noticed")
    await shuffle(stack, orders)
    await stack.until(lambda: "reconciliation" in stack.user.last_error, "the failure is shown")
    assert not stack.market.ready
    await stack.testnet.clear_faults()
    await stack.settled()
    shuffled(stack, orders)
    assert stack.told("user_stream.last_error") == ""


@pytest.fixture
def orders_wait(monkeypatch):
    """Let new orders wait for the limits for longer than the 5 s after which they fail."""
    for module in (ccxt_limits, ccxt_requests):
        monkeypatch.setattr(module, "LONGEST_WAIT", 60.0)


async def test_429_on_an_order_is_waited_for_and_the_order_placed_once(stack, orders_wait):
    await stack.testnet.fault("error", on="order.place", status=429, code=-1003, message="Too many requests.")
    sent = time.monotonic()
    order_id = stack.buy()
    await stack.until(lambda: stack.events_of(order_id), "the order's fate")
    assert time.monotonic() - sent > 1.5
    await stack.settled()
    assert stack.events_of(order_id) == ["BuyOrderCreated"]
    assert stack.told("port.limits.refusals") == 1
    assert stack.told("port.orders.retried") == 1


async def test_order_limit_of_the_exchange_loses_no_order(stack):
    await stack.testnet.set_limits(orders_10s=1)
    order_ids = [stack.buy(INSIDE - step) for step in range(6)]
    await stack.until(lambda: all(stack.events_of(order_id) for order_id in order_ids), "every order's fate")
    await stack.testnet.set_limits(orders_10s=100)
    assert stack.port["limits"]["refusals"] >= 1
    refused = [order_id for order_id in order_ids if stack.events_of(order_id) == ["OrderFailure"]]
    assert {stack.order(order_id).error for order_id in refused} <= {"RateLimited"}
    assert set(stack.open_orders) == set(order_ids) - set(refused)
    await stack.settled()


async def test_418_is_obeyed(stack, orders_wait):
    await stack.until(lambda: stack.market.ready, "ready")
    await stack.testnet.set_limits(weight=1, ban_after=0, ban_seconds=6)
    banned = time.monotonic()  # or later
    order_id = stack.buy()
    await stack.until(lambda: stack.port["limits"]["refusals"] >= 1, "the ban is noticed")
    await stack.testnet.set_limits(weight=6000, ban_after=10, ban_seconds=120)
    seen = {(await stack.testnet.stats())["rest_requests"]}  # before the order that has to wait
    other = stack.buy(INSIDE - 1)
    while time.monotonic() - banned < 6.0:
        requests = (await stack.testnet.stats())["rest_requests"]
        if time.monotonic() - banned < 6.0:
            seen.add(requests)
        await asyncio.sleep(0.05)
    assert len(seen) <= 1, "it went on asking"
    await stack.until(lambda: stack.events_of(order_id) and stack.events_of(other), "both orders' fate")
    assert stack.events_of(order_id) == stack.events_of(other) == ["BuyOrderCreated"]
    await stack.settled()


async def test_rest_black_hole(stack, monkeypatch):
    orders = await three_orders(stack)
    monkeypatch.setattr(stack.market, "check_timeout", 0.5)
    await stack.testnet.fault("black_hole", via="rest", seconds=600)
    await stack.testnet.fault("cut_user")
    stack.market.request_check()
    await stack.until(lambda: stack.market.network_status.name == "NOT_CONNECTED", "the failed check is noticed")
    assert stack.told("network") == "NOT_CONNECTED"
    assert stack.told("last_error")
    await shuffle(stack, orders)
    await stack.testnet.clear_faults()
    monkeypatch.setattr(stack.market, "check_timeout", 30.0)
    await stack.settled()
    shuffled(stack, orders)
    await stack.until(lambda: stack.told("network") == "CONNECTED", "the check is made again")


async def test_everything_is_a_black_hole(testnet, monkeypatch):
    monkeypatch.setattr(ccxt_exchange, "KEEP_ALIVE_MS", 300)
    monkeypatch.setattr(ccxt_user_stream, "_ANSWER_TIMEOUT", 1.0)
    monkeypatch.setitem(MarketStreams.__init__.__kwdefaults__, "silence_after", 1.0)
    async with connected(testnet) as stack:
        orders = await three_orders(stack)
        await testnet.fault("black_hole", seconds=600)
        await shuffle(stack, orders)
        await stack.stir()
        await stack.until(lambda: stack.user.losses and stack.book.lost, "half-open connections are noticed")
        await testnet.clear_faults()
        await stack.settled()
        shuffled(stack, orders)


@pytest.mark.parametrize("offset", [60, -60, -600])
async def test_clock_skew(stack, offset):
    first = await stack.rest()
    await stack.testnet.fault("skew", offset=offset)
    second = stack.buy(INSIDE - 1)
    await stack.until(lambda: stack.events_of(second), "an order after the exchange's clock was set")
    assert stack.told("port.clock_offset") == pytest.approx(offset, abs=20)  # half of what an answer takes
    await stack.testnet.fault("cut_user")
    await stack.until(lambda: stack.user.losses == 1, "the loss is noticed")
    await stack.hit(AMOUNT)
    await stack.settled()
    assert stack.events_of(first) == FILLED
    assert not any("inferred" in fill[1] for fill in stack.fills)
    await stack.testnet.clear_faults("skew")
    third = stack.buy(INSIDE - 2)
    await stack.until(lambda: stack.events_of(third), "an order after the clock was set right")
    await stack.settled()
    assert stack.events_of(second) == stack.events_of(third) == ["BuyOrderCreated"]


# the exchange itself


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
async def test_exchange_stands_still_for_a_while():
    async with await Testnet.start("frozen", flow=False) as testnet:
        await fill_book(testnet)
        async with connected(testnet) as stack:
            orders = await three_orders(stack)
            os.kill(testnet.pid, signal.SIGSTOP)
            try:
                placed_meanwhile = stack.buy(INSIDE - 1)
                stack.market.cancel(PAIR, orders[2])
                await asyncio.sleep(3)
            finally:
                os.kill(testnet.pid, signal.SIGCONT)
            await stack.hit(AMOUNT, stack.order(orders[0]).price)
            await stack.until(lambda: stack.order(orders[2]).is_done and stack.events_of(placed_meanwhile), "both ends")
            await stack.settled()
            assert stack.events_of(orders[0]) == FILLED
            assert stack.events_of(orders[1]) == ["BuyOrderCreated"]
            assert stack.events_of(orders[2]) == CANCELLED
            # It was sent more than the 2.5 s ago for which the exchange may take it, so it was sent again.
            assert stack.events_of(placed_meanwhile) == ["BuyOrderCreated"]


async def test_stop_in_a_black_hole_is_bounded_and_says_what_may_be_left(testnet):
    async with connected(testnet) as stack:
        order_id = await stack.rest()
        await testnet.fault("black_hole", seconds=600)
        async with asyncio.timeout(60):
            report = await stack.core.stop(timeout=1.0)
        assert report.orders_left == {stack.market.name: [order_id]}
        assert report.tasks_left == []
        await testnet.clear_faults()
        assert [order.client_order_id for order in await testnet.cancel_orders(stack.tag)] == [order_id]


async def test_exchange_killed(monkeypatch):
    testnet = await Testnet.start("killed", flow=False)
    await fill_book(testnet)
    async with connected(testnet) as stack:
        order_id = await stack.rest()
        os.kill(testnet.pid, signal.SIGKILL)
        await stack.until(lambda: not stack.market.ready, "not ready at once")
        stack.market.request_check()
        await stack.until(lambda: stack.market.last_error, "the error is shown")
        await stack.until(lambda: stack.told("network") == "NOT_CONNECTED", "it shows as not connected")
        lost = stack.buy(INSIDE - 1)
        async with asyncio.timeout(60):
            report = await stack.core.stop(timeout=2.0)
        assert not report.clean
        assert report.tasks_left == []
        # What the exchange never confirmed is told as left, and so is nothing else.
        assert report.orders_left["binance"][0] == order_id
        assert set(report.orders_left["binance"]) <= {order_id, lost}
        assert stack.order(order_id).current_state in (OrderState.OPEN, OrderState.PENDING_CANCEL)
    await testnet.stop()
