"""A ``CcxtExchange`` on a testnet, everything it says, and its end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from kit.connectors.ccxt_exchange import CcxtExchange
from kit.connectors.client_order_ids import ClientOrderIds
from kit.core.tasks import TaskSupervisor
from kit.types.market import MarketMessage, OrderBookDiff, OrderBookSnapshot, TradeType
from kit.types.orders import (
    AccountMessage,
    CancelFailed,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TradeUpdate,
    UserStreamStatus,
)
from tests.support.ccxt_frames import PAIR, PlainBook

IDS = ClientOrderIds("ccxt tests")
_numbers = itertools.count(1)
_open_sides: set[CcxtExchange] = set()


async def eventually(condition: Callable[[], Any], what: str, timeout: float = 60.0) -> Any:
    """Wait until ``condition()`` is true and return what it returned; fail with ``what`` after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout} s: {what}")
        await asyncio.sleep(0.005)
    return value


@dataclass
class Side:
    """One exchange under test."""

    exchange: CcxtExchange
    testnet: Any
    market: list[MarketMessage] = field(default_factory=list)
    account: list[AccountMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exchange.attach_market_sink(self.market.append)
        self.exchange.attach_account_sink(self.account.append)

    def of(self, kind: type, pair: str | None = None) -> list[Any]:
        messages: list[Any] = [*self.market, *self.account]
        return [one for one in messages if isinstance(one, kind) and pair in (None, getattr(one, "trading_pair", None))]

    def book(self, pair: str = PAIR) -> PlainBook:
        """Return the book that the messages make."""
        book = PlainBook()
        for message in self.market:
            if isinstance(message, OrderBookSnapshot | OrderBookDiff) and message.trading_pair == pair:
                book.apply(message)
        return book

    async def streaming(self, *pairs: str) -> None:
        """Subscribe and wait for the first books."""
        pairs = pairs or (PAIR,)
        await self.exchange.subscribe(pairs)
        for pair in pairs:
            await eventually(lambda pair=pair: self.of(OrderBookSnapshot, pair), f"a snapshot of {pair}")

    async def up(self) -> None:
        """Open the private stream and wait until it is up."""
        await self.exchange.open_user_stream()
        await eventually(lambda: self.of(UserStreamStatus), "the private stream up")

    def request(self, price: str | None = "40000", amount: str = "0.01", **changes: Any) -> OrderRequest:
        """Return a buy order that rests deep in the book, unless changed."""
        fields = {
            "client_order_id": IDS.next(),
            "trading_pair": PAIR,
            "trade_type": TradeType.BUY,
            "order_type": OrderType.LIMIT,
            "amount": Decimal(amount),
            "price": None if price is None else Decimal(price),
        }
        return OrderRequest(**fields | changes)

    async def rest(self, **changes: Any) -> OrderRequest:
        """Place an order and wait for its acknowledgement."""
        request = self.request(**changes)
        self.exchange.submit(request)
        await self.update(request, OrderState.OPEN)
        return request

    def updates(self, request: OrderRequest | CancelRequest) -> list[OrderUpdate]:
        return [one for one in self.of(OrderUpdate) if one.client_order_id == request.client_order_id]

    def fills(self, request: OrderRequest) -> list[TradeUpdate]:
        return [one for one in self.of(TradeUpdate) if one.client_order_id == request.client_order_id]

    async def update(self, request: OrderRequest | CancelRequest, *states: OrderState) -> OrderUpdate:
        """Wait for an update of the order in one of the states."""
        found = await eventually(
            lambda: [one for one in self.updates(request) if one.state in states],
            f"{states} of the order; heard {[one.state for one in self.updates(request)]}",
        )
        return found[0]

    async def first_update(self, request: OrderRequest) -> OrderUpdate:
        """Wait for the first word on an order."""
        return (await eventually(lambda: self.updates(request), "a word on the order"))[0]

    async def cancel_failed(self, request: OrderRequest) -> CancelFailed:
        """Wait for the refusal of a cancel."""
        found = await eventually(
            lambda: [one for one in self.of(CancelFailed) if one.client_order_id == request.client_order_id],
            "a refused cancel",
        )
        return found[0]


@asynccontextmanager
async def side(testnet: Any, *, deposits: dict[str, str] | None = None, **options: Any) -> AsyncIterator[Side]:
    """Connect to a testnet with an account of one's own, and check at the end that nothing is left behind."""
    supervisor = TaskSupervisor("ccxt")
    if "credentials" not in options:
        deposits = deposits or {"BTC": "10", "USDT": "1000000"}
        options["credentials"] = await testnet.create_account(f"account {next(_numbers)}", deposits)
    # A busy machine takes longer than 2.5 s to deliver a request.
    options = {"trading": True, "recv_window": 60.0, **options}
    exchange = CcxtExchange("binance", supervisor, endpoint=testnet, **options)
    before = asyncio.all_tasks()
    _open_sides.add(exchange)
    try:
        yield Side(exchange, testnet)
    finally:
        await exchange.close()
        assert await supervisor.close() == []
        await testnet.clear_faults()
        _open_sides.discard(exchange)
        if not _open_sides:
            await eventually(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()}, "no task is left")
