"""The whole stack under test: a core, its connector, the exchange, everything heard, and both sides compared."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
import pytest

import kit
from kit.connectors.client_order_ids import tag_of
from kit.connectors.connector import Connector
from kit.market.tracked_book import BookStatus
from kit.orders.in_flight_order import InFlightOrder
from kit.testnet import Testnet
from kit.types.events import Event, MarketEvent

PAIR = "BTC/USDT"
SYMBOL = "BTCUSDT"
BID, ASK = Decimal(60_000), Decimal(60_010)
INSIDE = Decimal(60_005)
"""A price inside the spread, where an order of ours is the first in the queue."""
AMOUNT = Decimal("0.01")

LENIENT = kit.DisarmRules(loop_lag=None, behind=None, book_silence=None, account_silence=None, rejections=None)

_LEVELS = 40
_ENDINGS = ("OrderCancelled", "OrderExpired", "OrderFailure", "BuyOrderCompleted", "SellOrderCompleted")
_numbers = itertools.count(1)

T = TypeVar("T")


async def until(condition: Callable[[], T], what: str, timeout: float = 60.0) -> T:
    """Wait until ``condition()`` is true and return what it returned; fail with ``what`` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout:g} s: {what}")
        await asyncio.sleep(0.005)
    return value


async def agree(
    ours: Callable[[], T], theirs: Callable[[], Awaitable[T]], what: str, timeout: float = 60.0, pause: float = 0.1
) -> T:
    """Wait until what we have equals what the exchange has, asking it anew each time; returns that."""
    end = time.monotonic() + timeout
    while True:
        there = await theirs()
        settled = min(time.monotonic() + pause, end)
        while (here := ours()) != there and time.monotonic() < settled:
            await asyncio.sleep(0.005)
        if here == there:
            return here
        if time.monotonic() >= end:
            pytest.fail(f"{what} differ after {timeout:g} s:\n  kit:      {here}\n  exchange: {there}")
        pause = min(pause * 2, 1.0)


async def fill_book(testnet: Testnet, symbol: str = PAIR, bid: Decimal = BID, ask: Decimal = ASK) -> None:
    """Put 40 levels of one unit on each side of the book."""
    await asyncio.gather(
        *(testnet.trade(symbol, "buy", 1, bid - 10 * step) for step in range(_LEVELS)),
        *(testnet.trade(symbol, "sell", 1, ask + 10 * step) for step in range(_LEVELS)),
    )


class Stack:
    """One core with one connector on a testnet that has no activity of its own."""

    def __init__(self, testnet: Testnet, core: kit.TradingCore, market: Connector) -> None:
        self.testnet, self.core, self.market = testnet, core, market
        self.events: list[tuple[str, Event]] = []
        for tag in MarketEvent:
            market.pubsub.add_listener(tag, lambda event, name=tag.name: self.events.append((name, event)))

    # what kit has

    @property
    def tag(self) -> str:
        return tag_of(self.core.name)

    @property
    def book(self) -> BookStatus:
        return self.market.order_book_tracker.status(PAIR)

    @property
    def user(self) -> Any:
        tracker = self.market.user_stream_tracker
        assert tracker is not None
        return tracker.status

    def told(self, item: str) -> Any:
        """Return what ``core.status``, the table that users see, tells of the connector."""
        status = self.core.status
        (value,) = status[(status["part"] == self.market.name) & (status["item"] == item)]["value"]
        return value

    @property
    def port(self) -> dict[str, Any]:
        port = self.market.status["port"]
        assert isinstance(port, dict)
        return port

    def order(self, order_id: str) -> InFlightOrder:
        order = self.market.order_tracker.fetch_order(order_id)
        assert order is not None
        return order

    def events_of(self, order_id: str) -> list[str]:
        """Return the names of an order's lifecycle events, in order."""
        return [name for name, event in self.events if getattr(event, "order_id", None) == order_id]

    @property
    def fills(self) -> list[tuple[str, str, Decimal, Decimal]]:
        return sorted(
            (event.order_id, event.exchange_trade_id, event.price, event.amount)
            for name, event in self.events
            if name == "OrderFilled"
        )

    @property
    def open_orders(self) -> dict[str, tuple[Decimal | None, Decimal, Decimal]]:
        return {
            key: (order.price, order.amount, order.executed_amount_base)
            for key, order in self.market.in_flight_orders.items()
        }

    # acting

    def buy(self, price: Decimal = INSIDE, amount: Decimal = AMOUNT, kind: kit.OrderType = kit.OrderType.LIMIT) -> str:
        return self.market.buy(PAIR, amount, kind, None if kind is kit.OrderType.MARKET else price)

    def sell(self, price: Decimal = INSIDE, amount: Decimal = AMOUNT, kind: kit.OrderType = kit.OrderType.LIMIT) -> str:
        return self.market.sell(PAIR, amount, kind, None if kind is kit.OrderType.MARKET else price)

    async def rest(self, price: Decimal = INSIDE, amount: Decimal = AMOUNT) -> str:
        """Place a buy order and wait until it rests and the private stream told so."""
        order_id = self.buy(price, amount)
        await self.until(lambda: "BuyOrderCreated" in self.events_of(order_id), f"order {order_id} rests")
        return order_id

    async def hit(self, amount: Decimal, price: Decimal = INSIDE) -> None:
        """Let a participant sell into a resting order of ours."""
        order = await self.testnet.trade(PAIR, "sell", amount, price, time_in_force="IOC")
        assert order.filled == amount

    async def stir(self) -> None:
        """Change the book and the tape, as a live market does all the time."""
        await self.testnet.trade(PAIR, "buy", Decimal("0.001"), ASK, time_in_force="IOC")
        await self.testnet.trade(PAIR, "buy", Decimal("0.001"), BID)

    async def until(self, condition: Callable[[], T], what: str, timeout: float = 60.0) -> T:
        return await until(condition, what, timeout)

    # both sides compared

    async def exchange_book(self, levels: int = 1000) -> tuple[int, dict[float, float], dict[float, float]]:
        address = f"{self.testnet.url}/api/v3/depth?symbol={SYMBOL}&limit=1000"
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            answer = await response.json()
        sides = ({float(price): float(amount) for price, amount in answer[side][:levels]} for side in ("bids", "asks"))
        return (answer["lastUpdateId"], *sides)

    def kit_book(self, levels: int = 1000) -> tuple[int, dict[float, float], dict[float, float]]:
        book = self.market.get_order_book(PAIR)
        bids, asks = book.depth(levels)
        return book.update_id, dict(bids), dict(asks)

    async def exchange_fills(self) -> list[tuple[str, str, Decimal, Decimal]]:
        return sorted(
            (fill.client_order_id, fill.trade_id, fill.price, fill.amount)
            for fill in await self.testnet.fills()
            if fill.client_order_id.startswith(self.tag)
        )

    async def exchange_orders(self) -> dict[str, tuple[Decimal | None, Decimal, Decimal]]:
        orders = await self.testnet.open_orders(self.tag)
        assert len({order.client_order_id for order in orders}) == len(orders), "one client order id, two orders"
        return {order.client_order_id: (order.price, order.amount, order.filled) for order in orders}

    async def exchange_balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        ledger = await self.testnet.ledger()
        assert ledger.balanced, ledger.imbalance
        (own,) = ledger.balances.values()
        return {asset: (balance.total, balance.available) for asset, balance in own.items()}

    def kit_balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        balances = self.market.balances
        return {asset: (balances.total(asset), balances.available(asset)) for asset in balances.assets}

    async def settled(self, timeout: float = 60.0, *, levels: int = 1000) -> None:
        """Demand that kit has recovered by itself and knows exactly what the exchange knows.

        Of the books ``levels`` a side are compared.
        """
        await self.until(lambda: self.market.ready, f"ready: {self.market.readiness}", timeout)
        await self.until(lambda: not self.user.resolving and not self.user.queued, "no order in doubt", timeout)
        await agree(lambda: self.open_orders, self.exchange_orders, "open orders", timeout)
        await agree(lambda: self.fills, self.exchange_fills, "fills", timeout)
        await agree(self.kit_balances, self.exchange_balances, "balances", timeout)
        await agree(lambda: self.kit_book(levels), lambda: self.exchange_book(levels), "books", timeout)
        self.check_events()
        assert self.market.pubsub.error_count == 0
        assert self.port["sink_errors"] == 0
        assert not self.market.order_tracker.orders_in_doubt

    def check_events(self) -> None:
        """Demand each order's events in order and at most once."""
        for order_id in {event.order_id for _, event in self.events if hasattr(event, "order_id")}:
            names = self.events_of(order_id)
            order = self.order(order_id)
            created = [name for name in names if name.endswith("Created")]
            ends = [name for name in names if name in _ENDINGS]
            fills = names.count("OrderFilled")
            assert len(created) <= 1, names
            assert len(ends) == (0 if order.is_open else 1), names
            assert fills == len(order.order_fills), names
            assert names == [*created, *["OrderFilled"] * fills, *ends], names
            assert created or ends == ["OrderFailure"], names


@asynccontextmanager
async def connected(
    testnet: Testnet, *, tick_size: float = 0.1, name: str | None = None, guard: bool = False, **options: Any
):
    """Give a core with a clock that ticks and a live connector; afterwards nothing may be left of it.

    Live trading does not end by itself for what these tests do to it; integration/test_live_switch.py is about that.
    A ``guard`` costs two seconds of processor time a core; tests/guard has the tests of it.
    """
    await testnet.clear_faults()
    await testnet.set_limits(weight=6000, orders_10s=100, ban_after=10, ban_seconds=120)
    tasks_before = _running()
    core = kit.TradingCore(name or f"integration {next(_numbers)}", tick_size=tick_size, guard=guard)
    core.disarm_rules = LENIENT
    market = await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet, **options)
    stack = Stack(testnet, core, market)
    await core.start()
    try:
        yield stack
    finally:
        if testnet.running:
            await testnet.clear_faults()
        report = await core.stop(20)  # an answer that a fault has just taken is asked for again for a while
    if testnet.running:
        assert report.clean, report
        assert await testnet.open_orders(stack.tag) == []
    if not _other_cores_live():
        left = _running() - tasks_before - {asyncio.current_task()}
        await until(lambda: all(task.done() for task in left), f"the end of {left}")


def _other_cores_live() -> bool:
    return any(core.in_use for core in kit.TradingCore._cores.values())


def _running() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if not task.done()}
