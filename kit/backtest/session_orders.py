"""The orders of a recorded session and what became of them on the exchange, by the exchange's own times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kit.backtest.session_events import nanoseconds
from kit.storage.session_codec import build, untagged
from kit.storage.session_files import Frame, SessionLog
from kit.types.orders import OrderRequest, OrderState, OrderUpdate, TradeUpdate

_RESTED = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.FILLED})
_TAKEN_OFF = frozenset({OrderState.CANCELED, OrderState.EXPIRED})


@dataclass(slots=True)
class RealFill:
    """A fill that happened: exchange time in ns, price in quote, amount in base."""

    ns: int
    price: Decimal
    amount: Decimal


@dataclass(slots=True)
class RealOrder:
    """An order of a session: when it reached the exchange and left it (ns, exchange's time), and its fills.

    ``arrived`` is ``None`` for an order that the exchange never took, ``ended`` for one that was filled whole or still
    rested at the end.
    """

    connector: str
    request: OrderRequest
    sent: int
    arrived: int | None = None
    ended: int | None = None
    fills: list[RealFill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        """Return the base amount that was filled."""
        return sum((fill.amount for fill in self.fills), Decimal(0))


def session_orders(log: SessionLog) -> list[RealOrder]:
    """Return the orders that a session placed, in order. Fills are booked once, however often they were told."""
    orders: dict[str, RealOrder] = {}
    ids: dict[tuple[str, str], str] = {}
    seen: set[tuple[str, str, str]] = set()
    for frame in log.frames:
        for act in frame.acts:
            if act["a"] == "place":
                request = build(OrderRequest, act["order"])
                orders[request.client_order_id] = RealOrder(act["w"], request, nanoseconds(act["created"] or frame.at))
        for who, message in _told(frame):
            order = orders.get(message.client_order_id or ids.get((who, message.exchange_order_id or ""), ""))
            if order is None:
                continue
            if message.exchange_order_id:
                ids[who, message.exchange_order_id] = order.request.client_order_id
            if isinstance(message, OrderUpdate):
                _update(order, message, frame.at)
            elif (key := (who, message.trading_pair, message.trade_id)) not in seen:
                seen.add(key)
                order.fills.append(RealFill(nanoseconds(message.timestamp or frame.at), message.price, message.amount))
    for order in orders.values():
        _finish(order)
    return list(orders.values())


def _told(frame: Frame) -> Iterator[tuple[str, OrderUpdate | TradeUpdate]]:
    answers: Iterable[dict[str, Any]] = (answer for act in frame.acts for answer in act.get("answers", ()))
    for kind, who, data in [
        (frame.kind, frame.who, frame.data),
        *((answer["k"], answer["w"], answer["d"]) for answer in answers),
    ]:
        if kind in ("account", "order update", "trade update") and data[0] in ("OrderUpdate", "TradeUpdate"):
            yield who, untagged(data)


def _update(order: RealOrder, update: OrderUpdate, heard: float) -> None:
    ns = nanoseconds(update.timestamp or heard)
    if update.state in _RESTED:
        order.arrived = ns if order.arrived is None else min(order.arrived, ns)
    elif update.state in _TAKEN_OFF:
        order.ended = ns if order.ended is None else min(order.ended, ns)


def _finish(order: RealOrder) -> None:
    order.fills.sort(key=lambda fill: fill.ns)
    if order.arrived is None and (order.fills or order.ended is not None):
        order.arrived = order.sent
    if order.arrived is not None and order.fills:
        order.arrived = min(order.arrived, order.fills[0].ns)
