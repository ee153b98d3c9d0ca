"""Orders that stay when their partner of the other side has filled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from kit.strategy.own_orders import OwnOrder
from kit.strategy.tables import cell_text
from kit.types.orders import OrderState


class HangingOrders:
    """Knows which orders hang, which would, and which are being renewed; places and cancels nothing itself.

    Buy i and sell i of one placement are a pair. Where exactly one of them has filled when the quotes are replaced,
    the other one hangs from then on: it is not replaced and not counted, until it fills, is too far from the price, or
    too old; then it is placed anew at the same price (formula 12).
    """

    def __init__(self) -> None:
        self._hanging: dict[str, OwnOrder] = {}
        self._pairs: list[tuple[OwnOrder, OwnOrder]] = []
        self._renewals: list[OwnOrder] = []
        self.given_up = ""
        """The last order that could not be renewed, and why, as a clause."""

    def __bool__(self) -> bool:
        """Tell whether there is anything to tend: a pair, a hanging order, a renewal."""
        return bool(self._hanging or self._pairs or self._renewals)

    @property
    def orders(self) -> tuple[OwnOrder, ...]:
        """Return the orders that hang."""
        return tuple(order for order in self._hanging.values() if order.ended_at is None)

    def holds(self, order: OwnOrder) -> bool:
        """Tell whether an order hangs, or hung when it ended."""
        return order.client_order_id in self._hanging

    def others(self, orders: tuple[OwnOrder, ...]) -> tuple[OwnOrder, ...]:
        """Return those of ``orders`` that do not hang."""
        hanging = self._hanging
        return tuple([order for order in orders if order.client_order_id not in hanging]) if hanging else orders

    def add(self, order: OwnOrder) -> None:
        """Let an order hang."""
        self._hanging[order.client_order_id] = order

    def release(self) -> None:
        """Let nothing hang any more: all orders are ordinary quotes again."""
        self._hanging.clear()
        self._pairs.clear()
        self._renewals.clear()
        self.given_up = ""

    def pair(self, buys: Sequence[OwnOrder], sells: Sequence[OwnOrder]) -> None:
        """Note what was placed together; earlier pairs of which nothing rests any more are forgotten."""
        self._pairs = [pair for pair in self._pairs if any(order.ended_at is None for order in pair)]
        self._pairs += zip(buys, sells, strict=False)

    @property
    def candidates(self) -> tuple[OwnOrder, ...]:
        """Return the orders that will hang when the quotes are replaced: their partner has filled whole."""
        return tuple(
            mine
            for pair in self._pairs
            for mine, other in (pair, pair[::-1])
            if mine.ended_at is None and other.state is OrderState.FILLED
        )

    def convert(self) -> None:
        """Let the candidates hang; what was placed together so far no longer counts."""
        for order in self.candidates:
            self.add(order)
        self._pairs.clear()

    def prune(self) -> None:
        """Forget what has ended."""
        ended = [order for order in self._hanging.values() if order.ended_at is not None]
        for order in ended:
            del self._hanging[order.client_order_id]
            if order.state is OrderState.FAILED:
                self.given_up = f"the hanging order {_named(order)} was rejected: {order.ending or 'without a reason'}"

    def far_from(self, price: Decimal, limit: Decimal | None) -> list[OwnOrder]:
        """Return the hanging orders farther from ``price`` than the fraction ``limit``."""
        if limit is None:
            return []
        return [order for order in self.orders if abs(order.price - price) / price > limit]

    def over_age(self, now: float, limit: float | None) -> list[OwnOrder]:
        """Return the hanging orders older than ``limit`` seconds."""
        if limit is None:
            return []
        return [order for order in self.orders if now - order.creation_timestamp > limit]

    def renew(self, orders: Iterable[OwnOrder]) -> None:
        """Note orders that will be placed anew once their cancel is confirmed; say so before asking for it."""
        self._renewals += [order for order in orders if order not in self._renewals]

    def take_renewals(self) -> list[OwnOrder]:
        """Return, once, the orders to be placed anew now: cancelled, with something left unfilled.

        One that the market refuses for now is given back with ``renew``, one that it can never take to ``give_up``.
        """
        ended = [order for order in self._renewals if order.ended_at is not None]
        self._renewals = [order for order in self._renewals if order.ended_at is None]
        return [order for order in ended if order.state is OrderState.CANCELED and order.remaining > 0]

    def give_up(self, order: OwnOrder, error: Exception) -> str:
        """Note that an order will not be renewed after all; return that as a clause."""
        self.given_up = f"the renewal of {_named(order)} was given up: {error}"
        return self.given_up


def _named(order: OwnOrder) -> str:
    side = "buy" if order.is_buy else "sell"
    return f"{order.client_order_id} ({side} {cell_text(order.remaining)} at {cell_text(order.price)})"
