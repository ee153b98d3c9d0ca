"""Lost answers: an order ends as what the exchange has, found by client order id; never two; its events once.

The scenarios all run at the same time, since it takes the better part of 20 s to be sure that an order does not exist:
once while the private stream tells of the orders, and once while it is silent and only questions can help.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from kit.testnet import Testnet
from kit.types.orders import OrderState
from tests.support.stack import AMOUNT, ASK, BID, INSIDE, PAIR, SYMBOL, Stack, connected, fill_book, until

RESTS = ["BuyOrderCreated"]
FILLED = ["BuyOrderCreated", "OrderFilled", "BuyOrderCompleted"]
CANCELLED = ["BuyOrderCreated", "OrderCancelled"]
FAILED = ["OrderFailure"]


@dataclass(frozen=True)
class Placement:
    """What happens to the answer to a placement, and how the order must end."""

    kind: str
    ends: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    takes: bool = False
    cancel: bool = False
    sent_again: bool = False


HTML = "<html><body>502 Bad Gateway</body></html>"
LATE = {"delay": 6.0, "after": True}
ERROR_AFTER = {"status": 503, "after": True}

PLACEMENTS = {
    "cut before matching": Placement("drop_before", FAILED),
    "cut after matching": Placement("drop_after", RESTS),
    "cut after matching and filling": Placement("drop_after", FILLED, takes=True),
    "cut after matching, cancelled meanwhile": Placement("drop_after", CANCELLED, cancel=True),
    "cut before matching, cancelled meanwhile": Placement("drop_before", FAILED, cancel=True),
    "answer after the time-out": Placement("delay", RESTS, LATE),
    "answer after the time-out, filled": Placement("delay", FILLED, LATE, takes=True),
    "taken up too late": Placement("delay", FAILED, {"delay": 6.0}),
    "taken up late but in time": Placement("delay", RESTS, {"delay": 1.0}),
    "black hole": Placement("black_hole", FAILED),
    "200 with a page": Placement("junk", RESTS, {"body": HTML}),
    "200 with a page, filled": Placement("junk", FILLED, {"body": HTML}, takes=True),
    "200 with nothing": Placement("junk", RESTS, {"body": ""}),
    "200 with {}": Placement("junk", RESTS, {"body": "{}"}),
    "200 with {}, filled": Placement("junk", FILLED, {"body": "{}"}, takes=True),
    "200 with null": Placement("junk", RESTS, {"body": "null"}),
    "200 with []": Placement("junk", RESTS, {"body": "[]"}),
    "200 without an id": Placement("junk", RESTS, {"body": '{"orderId":null,"status":"NEW"}'}),
    "200 with another's order": Placement("junk", RESTS, {"body": '{"symbol":"BTCUSDT","clientOrderId":"x"}'}),
    "half an answer": Placement("truncate", RESTS),
    "half an answer, filled": Placement("truncate", FILLED, takes=True),
    "503 before matching": Placement("error", FAILED, {"status": 503}),
    "503 after matching": Placement("error", RESTS, ERROR_AFTER),
    "503 after filling": Placement("error", FILLED, ERROR_AFTER, takes=True),
    "504 with -1007": Placement("error", RESTS, {"status": 504, "code": -1007, "after": True}),
    "400 with -1006": Placement("error", RESTS, {"status": 400, "code": -1006, "after": True}),
    "-1021 although matched": Placement("error", RESTS, {"status": 400, "code": -1021, "after": True}),
    "-1008 before matching": Placement("error", RESTS, {"status": 503, "code": -1008}, sent_again=True),
    "refused for good": Placement("error", FAILED, {"status": 400, "code": -2010, "message": "Not today."}),
}


@dataclass(frozen=True)
class Cancel:
    """What happens to the answers to a cancel, and how the order must end."""

    kind: str
    ends: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    always: bool = False
    filled: bool = False


CANCELS = {
    "cut before": Cancel("drop_before", CANCELLED),
    "cut before, until it ends": Cancel("drop_before", CANCELLED, always=True),
    "cut after": Cancel("drop_after", CANCELLED),
    "cut after, always": Cancel("drop_after", CANCELLED, always=True),
    "answer after the time-out": Cancel("delay", CANCELLED, LATE),
    "black hole": Cancel("black_hole", CANCELLED),
    "200 with a page": Cancel("junk", CANCELLED, {"body": HTML}),
    "200 with nothing": Cancel("junk", CANCELLED, {"body": ""}),
    "200 with {}": Cancel("junk", CANCELLED, {"body": "{}"}),
    "half an answer": Cancel("truncate", CANCELLED),
    "503 before": Cancel("error", CANCELLED, {"status": 503}),
    "503 after": Cancel("error", CANCELLED, ERROR_AFTER),
    "503 after, always": Cancel("error", CANCELLED, ERROR_AFTER, always=True),
    "-2011 although cancelled": Cancel("error", CANCELLED, {"status": 400, "code": -2011, "after": True}),
    "-2011 although it rests": Cancel("error", CANCELLED, {"status": 400, "code": -2011}),
    "filled meanwhile": Cancel("drop_before", FILLED, always=True, filled=True),
}


class Outcome(NamedTuple):
    """How an order ended on both sides; ``on_exchange`` are the ids of the orders there."""

    state: OrderState
    events: list[str]
    error: str
    on_exchange: set[str]
    open_on_exchange: bool
    filled_on_exchange: bool


class Run(NamedTuple):
    """Everything that one core went through."""

    placements: dict[str, Outcome]
    cancels: dict[str, Outcome]
    orders_made: int
    orders_meant: int
    ambiguous: int


async def struck(stack: Stack, fault_id: int) -> None:
    """Wait until a fault has been used up."""
    async with asyncio.timeout(60):
        while any(fault["id"] == fault_id for fault in await stack.testnet.faults() if fault["left"] != 0):
            await asyncio.sleep(0.01)


async def place_all(stack: Stack) -> dict[str, str]:
    """Place an order under each fault, one after the other; return their ids."""
    order_ids = {}
    for number, (name, case) in enumerate(PLACEMENTS.items()):
        await stack.testnet.clear_faults(case.kind)
        fault_id = await stack.testnet.fault(case.kind, on="order.place", count=1, **case.options)
        order_ids[name] = order_id = stack.buy(ASK if case.takes else BID - 1000 - number)
        if case.cancel:
            stack.market.cancel(PAIR, order_id)
        await struck(stack, fault_id)
        if case.ends == CANCELLED:
            await stack.until(lambda order_id=order_id: stack.order(order_id).is_done, f"the end of: {name}")
        if case.sent_again:  # before the next fault is there, which is not for this order
            await stack.until(lambda order_id=order_id: stack.order(order_id).exchange_order_id, f"the end of: {name}")
    return order_ids


async def cancel_all(stack: Stack) -> dict[str, str]:
    """Cancel an order under each fault, one after the other; return their ids."""
    order_ids = {}
    # Where every try meets a fault, no try of another cancel may meet it; so these come first, one by one.
    for number, (name, case) in enumerate(sorted(CANCELS.items(), key=lambda item: not item[1].always)):
        order_ids[name] = order_id = await stack.rest(INSIDE if case.filled else BID - 10 - number)
        count = 100 if case.always else 1
        fault_id = await stack.testnet.fault(case.kind, on="order.cancel", count=count, **case.options)
        stack.market.cancel(PAIR, order_id)
        if case.filled:
            await stack.hit(AMOUNT)
        if case.always:
            await stack.until(lambda order_id=order_id: settled(stack, [order_id]), f"the end of: {name}")
            await stack.testnet.clear_faults(case.kind)
        else:
            await struck(stack, fault_id)
    return order_ids


async def outcome(stack: Stack, order_id: str) -> Outcome:
    order = stack.order(order_id)
    open_orders = await stack.testnet.open_orders(order_id)
    fills = [fill for fill in await stack.testnet.fills() if fill.client_order_id == order_id]
    return Outcome(
        order.current_state,
        stack.events_of(order_id),
        order.error,
        {one.order_id for one in open_orders} | {fill.order_id for fill in fills},
        bool(open_orders),
        sum(fill.amount for fill in fills) == AMOUNT,
    )


async def run(stack: Stack, *, silent: bool) -> Run:
    """Go through all scenarios with one core."""
    before = (await stack.testnet.stats())["orders"][SYMBOL]
    if silent:
        await stack.testnet.fault("silent_stream", on="user")
    placed = await place_all(stack)
    to_cancel = await cancel_all(stack)
    ids = [*to_cancel.values(), *placed.values()]
    await stack.until(lambda: settled(stack, ids), "every order's end", 120)
    await stack.testnet.clear_faults()
    # A cancel is wanted until the order has ended: what failed is asked for again.
    await stack.until(lambda: all(stack.order(one).is_done for one in to_cancel.values()), "every cancel's end")
    assert stack.market.user_stream_tracker is not None
    await stack.market.user_stream_tracker.poll()  # due every two minutes; balances were told by nobody
    await stack.settled()
    made = (await stack.testnet.stats())["orders"][SYMBOL] - before
    placements = {name: await outcome(stack, order_id) for name, order_id in placed.items()}
    cancels = {name: await outcome(stack, order_id) for name, order_id in to_cancel.items()}
    meant = sum(case.ends != FAILED for case in PLACEMENTS.values()) + len(CANCELS) + 1  # and who hits one
    return Run(placements, cancels, made, meant, stack.port["orders"]["ambiguous"])


def settled(stack: Stack, order_ids: list[str]) -> bool:
    """Tell whether nothing is pending or in doubt."""
    pending = (OrderState.PENDING_CREATE, OrderState.UNKNOWN, OrderState.PENDING_CANCEL)
    states = [stack.order(order_id).current_state for order_id in order_ids]
    doubted = stack.market.order_tracker.orders_in_doubt
    return not any(state in pending for state in states) and not set(order_ids) & set(doubted)


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    """Go through all scenarios on two exchanges at once."""

    async def one(silent: bool) -> Run:
        async with await Testnet.start(f"ambiguous {silent}", flow=False) as testnet:
            await fill_book(testnet)
            async with connected(testnet) as stack:
                return await run(stack, silent=silent)

    async def both() -> dict[str, Run]:
        told, silent = await asyncio.gather(one(False), one(True))
        return {"told": told, "silent": silent}

    return asyncio.run(both())


def as_meant(outcome: Outcome, ends: list[str]) -> bool:
    """Tell whether both sides say that an order ended with these events, once."""
    states = {"BuyOrderCreated": "OPEN", "BuyOrderCompleted": "FILLED", "OrderCancelled": "CANCELED"}
    return (
        outcome.events == ends
        and outcome.state.name == states.get(ends[-1], "FAILED")
        and bool(outcome.error) == (ends == FAILED)
        and len(outcome.on_exchange) == (ends in (RESTS, FILLED))
        and outcome.open_on_exchange == (ends == RESTS)
        and outcome.filled_on_exchange == (ends == FILLED)
    )


@pytest.mark.parametrize("stream", ["told", "silent"])
def test_placements_whose_answer_is_lost(runs, stream):
    outcomes = runs[stream].placements
    assert {name: outcomes[name] for name, case in PLACEMENTS.items() if not as_meant(outcomes[name], case.ends)} == {}


@pytest.mark.parametrize("stream", ["told", "silent"])
def test_cancels_whose_answer_is_lost(runs, stream):
    outcomes = runs[stream].cancels
    assert {name: outcomes[name] for name, case in CANCELS.items() if not as_meant(outcomes[name], case.ends)} == {}


@pytest.mark.parametrize("stream", ["told", "silent"])
def test_no_order_was_sent_twice(runs, stream):
    assert runs[stream].orders_made == runs[stream].orders_meant
    assert runs[stream].ambiguous >= 20


async def test_stop_finds_and_cancels_the_order_whose_answer_was_lost():
    async with AsyncExitStack() as exits:
        testnet = await exits.enter_async_context(await Testnet.start("ambiguous stop", flow=False))
        await fill_book(testnet)
        stack = await exits.enter_async_context(connected(testnet))
        await testnet.fault("silent_stream", on="user")
        await testnet.fault("drop_after")
        order_id = stack.buy()
        await until(lambda: stack.order(order_id).current_state is OrderState.UNKNOWN, "the answer is lost")
        report = await stack.core.stop()
        assert report.clean
        assert stack.events_of(order_id) == CANCELLED
        assert await testnet.open_orders() == []
