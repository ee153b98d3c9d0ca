"""Where the tracked orders are kept and found: active, ended, lost; by client id and by exchange id."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kit.errors import DuplicateOrder
from kit.orders.in_flight_order import InFlightOrder
from kit.types.orders import OrderUpdate, TradeUpdate


@dataclass(slots=True)
class TrackedOrder:
    """An order and what listeners were told of it; ``not_found`` counts answers that the exchange does not know it."""

    order: InFlightOrder
    created_told: bool = False
    end_told: bool = False
    failure_told: bool = False
    not_found: int = 0


class OrderRegistry:
    """Keep each order under exactly one of ``active``, ``cached`` (ended) and ``lost`` (failed as not found).

    Of ended and of lost orders the last ``cached_limit`` each are kept, so that late news of them is understood.
    Active orders are never dropped.
    """

    def __init__(self, cached_limit: int) -> None:
        self._cached_limit = cached_limit
        self._tracked: dict[str, TrackedOrder] = {}
        self._by_exchange_id: dict[tuple[str, str], str] = {}
        self._unidentified: dict[str, str] = {}
        self._active: dict[str, InFlightOrder] = {}
        self._cached: dict[str, InFlightOrder] = {}
        self._lost: dict[str, InFlightOrder] = {}
        self.active: Mapping[str, InFlightOrder] = MappingProxyType(self._active)
        self.cached: Mapping[str, InFlightOrder] = MappingProxyType(self._cached)
        self.lost: Mapping[str, InFlightOrder] = MappingProxyType(self._lost)

    def add(self, order: InFlightOrder) -> TrackedOrder:
        """Keep a new order as active; raises ``DuplicateOrder`` when its client id is known."""
        if order.client_order_id in self._tracked:
            raise DuplicateOrder(f"Order id {order.client_order_id} is tracked already; make a new id for a new order.")
        tracked = TrackedOrder(order, created_told=order.acknowledged)
        self._tracked[order.client_order_id] = tracked
        self._active[order.client_order_id] = order
        self.bind(order)
        return tracked

    def bind(self, order: InFlightOrder) -> None:
        """Make the order findable by its exchange id, or note that it still has none."""
        if order.exchange_order_id is not None:
            self._by_exchange_id[order.trading_pair, order.exchange_order_id] = order.client_order_id
            self._unidentified.pop(order.client_order_id, None)
        else:
            self._unidentified[order.client_order_id] = order.trading_pair

    def get(self, client_order_id: str) -> TrackedOrder | None:
        """Return the order of that id, wherever it is kept."""
        return self._tracked.get(client_order_id)

    def find(self, message: OrderUpdate | TradeUpdate) -> TrackedOrder | None:
        """Return the order that a message is about: by client id, else by pair and exchange id."""
        tracked = self._tracked.get(message.client_order_id) if message.client_order_id else None
        if tracked is None and message.exchange_order_id is not None:
            client_order_id = self._by_exchange_id.get((message.trading_pair, message.exchange_order_id), "")
            tracked = self._tracked.get(client_order_id)
        return tracked

    def find_by_exchange_id(self, exchange_order_id: str) -> TrackedOrder | None:
        """Return the order of that exchange id on any pair; where several pairs use the same id, an active one."""
        ids = [client_id for (_, known), client_id in self._by_exchange_id.items() if known == exchange_order_id]
        ids.sort(key=lambda client_id: client_id not in self._active)
        return self._tracked[ids[0]] if ids else None

    def awaits_exchange_id(self, trading_pair: str) -> bool:
        """Tell whether an order on the pair, that exists or may exist, has no exchange id yet."""
        return trading_pair in self._unidentified.values()

    def finish(self, client_order_id: str, *, lost: bool) -> None:
        """Move an active order to the ended or the lost ones, and drop the oldest of those beyond the limit."""
        order = self._active.pop(client_order_id)
        shelf = self._lost if lost else self._cached
        shelf[client_order_id] = order
        if not order.acknowledged and not lost:
            self._unidentified.pop(client_order_id, None)
        while len(shelf) > self._cached_limit:
            self._forget(shelf, next(iter(shelf)))

    def revive(self, client_order_id: str) -> None:
        """Move an ended or lost order back to the active ones."""
        order = self._cached.pop(client_order_id, None) or self._lost.pop(client_order_id, None)
        if order is not None:
            self._active[client_order_id] = order
            self.bind(order)

    def _forget(self, shelf: dict[str, InFlightOrder], client_order_id: str) -> None:
        order = shelf.pop(client_order_id)
        del self._tracked[client_order_id]
        self._unidentified.pop(client_order_id, None)
        if order.exchange_order_id is not None:
            self._by_exchange_id.pop((order.trading_pair, order.exchange_order_id), None)


class HeldMessages:
    """Keep messages that name only an exchange id nobody has yet, at most ``limit``; the oldest are dropped first."""

    def __init__(self, limit: int) -> None:
        self._messages: deque[OrderUpdate | TradeUpdate] = deque(maxlen=limit)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._messages)

    def keep(self, message: OrderUpdate | TradeUpdate) -> None:
        """Add a message."""
        self.dropped += len(self._messages) == self._messages.maxlen
        self._messages.append(message)

    def take(self, trading_pair: str, exchange_order_id: str) -> list[OrderUpdate | TradeUpdate]:
        """Remove and return the messages about that order, in order of arrival."""
        taken: list[OrderUpdate | TradeUpdate] = []
        rest: list[OrderUpdate | TradeUpdate] = []
        for message in self._messages:
            mine = message.trading_pair == trading_pair and message.exchange_order_id == exchange_order_id
            (taken if mine else rest).append(message)
        if taken:
            self._messages.clear()
            self._messages.extend(rest)
        return taken

    def forget(self, trading_pair: str) -> None:
        """Drop the messages of a pair on which no order waits for its exchange id: they are about others' orders."""
        rest = [message for message in self._messages if message.trading_pair != trading_pair]
        if len(rest) < len(self._messages):
            self._messages.clear()
            self._messages.extend(rest)
