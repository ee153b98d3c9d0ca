"""The list of orders about which the exchange should be asked, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kit.orders.in_flight_order import InFlightOrder
from kit.types.orders import OrderState


class AttentionList:
    """Keep the orders in doubt, with the reason, and those whose stated executed amount exceeds their fills.

    ``on_attention(client_order_id)`` is called when an order enters the list and when it ends with fills missing.
    """

    def __init__(self) -> None:
        self.on_attention: Callable[[str], None] | None = None
        self._doubts: dict[str, str] = {}
        self._missing: dict[str, InFlightOrder] = {}
        self.doubts: Mapping[str, str] = MappingProxyType(self._doubts)

    @property
    def missing_fills(self) -> tuple[InFlightOrder, ...]:
        """Return the orders with missing fills."""
        return tuple(self._missing.values())

    def misses_fills(self, order: InFlightOrder) -> bool:
        """Tell whether the order was last seen with fills missing."""
        return order.client_order_id in self._missing

    def doubt(self, order: InFlightOrder, reason: str) -> None:
        """Enter an open order as in doubt; the first reason stays."""
        if order.is_open and order.client_order_id not in self._doubts:
            self._doubts[order.client_order_id] = reason
            self._call(order)

    def clear(self, order: InFlightOrder) -> None:
        """End the doubt, unless the order's state itself is the doubt."""
        if order.progress is not OrderState.UNKNOWN:
            self._doubts.pop(order.client_order_id, None)

    def update(self, order: InFlightOrder) -> None:
        """Enter or strike out the order according to its state and its missing amount."""
        if order.is_done:
            self._doubts.pop(order.client_order_id, None)
        elif order.progress is OrderState.UNKNOWN:
            self.doubt(order, order.reason or "the answer to the placement was lost")
        if not order.missing_amount:
            self._missing.pop(order.client_order_id, None)
        elif order.client_order_id not in self._missing or order.is_done:
            self._missing[order.client_order_id] = order
            self._call(order)

    def _call(self, order: InFlightOrder) -> None:
        if self.on_attention is not None:
            self.on_attention(order.client_order_id)
