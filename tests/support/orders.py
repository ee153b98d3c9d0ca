"""Makers of orders and messages, a recorder of events, and a venue that answers as a test scripts it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kit.core.clock import ManualTime
from kit.core.pubsub import PubSub
from kit.core.tasks import TaskSupervisor
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.user_stream_tracker import UserStreamTracker
from kit.types.events import MarketEvent
from kit.types.market import TradeType
from kit.types.orders import (
    AccountMessage,
    Balance,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TradeUpdate,
)

PAIR = "BTC/USDT"
NOW = 1_700_000_000.0

_SHORT = {
    "BuyOrderCreatedEvent": "Created",
    "SellOrderCreatedEvent": "Created",
    "OrderFilledEvent": "Filled",
    "BuyOrderCompletedEvent": "Completed",
    "SellOrderCompletedEvent": "Completed",
    "OrderCancelledEvent": "Cancelled",
    "OrderExpiredEvent": "Expired",
    "MarketOrderFailureEvent": "Failure",
}


def make_order(client_order_id: str = "A", **changes: Any) -> InFlightOrder:
    values: dict[str, Any] = {
        "client_order_id": client_order_id,
        "trading_pair": PAIR,
        "trade_type": TradeType.BUY,
        "order_type": OrderType.LIMIT,
        "amount": Decimal(1),
        "price": Decimal(100),
        "creation_timestamp": NOW,
    }
    return InFlightOrder(**(values | changes))


def make_update(state: OrderState, client_order_id: str | None = "A", **changes: Any) -> OrderUpdate:
    values: dict[str, Any] = {"trading_pair": PAIR, "timestamp": NOW + 1, "exchange_order_id": "X-A"}
    return OrderUpdate(state=state, client_order_id=client_order_id, **(values | changes))


def make_trade(
    trade_id: str = "1", amount: str = "1", client_order_id: str | None = "A", price: str = "100", **changes: Any
) -> TradeUpdate:
    values: dict[str, Any] = {"trading_pair": PAIR, "timestamp": NOW + 2, "exchange_order_id": "X-A"}
    quote = Decimal(price) * Decimal(amount)
    return TradeUpdate(
        trade_id=trade_id,
        price=Decimal(price),
        amount=Decimal(amount),
        quote_amount=quote,
        client_order_id=client_order_id,
        **(values | changes),
    )


class Recorder:
    """Listens to every event of orders; ``names`` are short, ``events`` whole."""

    def __init__(self, pubsub: PubSub) -> None:
        self.events: list[Any] = []
        for tag in MarketEvent:
            pubsub.add_listener(tag, self.events.append)

    def names(self, order_id: str = "A") -> list[str]:
        return [
            _SHORT[type(event).__name__]
            for event in self.events
            if type(event).__name__ in _SHORT and event.order_id == order_id
        ]

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if _SHORT.get(type(event).__name__) == name]


Answer = Any
"""A value to return, or an exception to raise."""


@dataclass
class ScriptedVenue:
    """Account and order port: each query takes the next answer of its script, the last one stays."""

    open_orders: dict[str, list[OrderUpdate]] = field(default_factory=dict)
    fills: list[TradeUpdate] = field(default_factory=list)
    balances: dict[str, Balance] = field(default_factory=dict)
    answers: dict[str, deque[Answer]] = field(default_factory=dict)
    failing: dict[str, list[Exception]] = field(default_factory=dict)
    queries: list[tuple[float, str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    submitted: list[OrderRequest] = field(default_factory=list)
    time: Callable[[], float] = lambda: 0.0
    on_call: Callable[[str], None] = lambda _: None
    page_size: int = 1000
    stream_error: Exception | None = None

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        self.send = sink

    async def open_user_stream(self) -> None:
        self._called("open_user_stream")
        if self.stream_error is not None:
            raise self.stream_error

    async def close_user_stream(self) -> None:
        self._called("close_user_stream")

    async def fetch_balances(self) -> Mapping[str, Balance]:
        self._called("fetch_balances")
        return dict(self.balances)

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        self._called("fetch_open_orders")
        return list(self.open_orders.get(trading_pair, []))

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        self._called("fetch_fills")
        fills = [fill for fill in self.fills if fill.trading_pair == trading_pair and fill.timestamp >= since]
        return sorted(fills, key=lambda fill: fill.timestamp)[: self.page_size]

    def submit(self, request: OrderRequest) -> None:
        self.submitted.append(request)

    def cancel(self, request: CancelRequest) -> None:
        self.calls.append(f"cancel {request.client_order_id}")

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        self.queries.append((self.time(), request.client_order_id))
        self._called("query")
        script = self.answers.get(request.client_order_id, deque())
        answer = script.popleft() if len(script) > 1 else (script[0] if script else None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def script(self, client_order_id: str, *answers: Answer) -> None:
        self.answers[client_order_id] = deque(answers)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.on_call(name)
        if self.failing.get(name):
            raise self.failing[name].pop(0)


@dataclass
class Desk:
    """Everything that a connector wires together, on manual time, with a scripted venue."""

    time: ManualTime
    venue: ScriptedVenue
    tracker: ClientOrderTracker
    balances: Balances
    stream: UserStreamTracker
    supervisor: TaskSupervisor
    recorder: Recorder


def build_desk(**options: Any) -> Desk:
    time = ManualTime(NOW)
    venue = ScriptedVenue(time=time.monotonic)
    pubsub = PubSub()
    tracker = ClientOrderTracker(pubsub, time=time.time)
    balances, supervisor = Balances(), TaskSupervisor("test")
    stream = UserStreamTracker(
        venue, venue, tracker, balances, supervisor, trading_pairs=[PAIR], time_source=time, **options
    )
    return Desk(time, venue, tracker, balances, stream, supervisor, Recorder(pubsub))
