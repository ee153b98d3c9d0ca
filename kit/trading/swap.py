"""Puts a strategy in another one's place between two ticks, and says what becomes of the orders of the old one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Final, Literal, get_args

from kit.errors import InvalidInput
from kit.strategy.handover import hand_over
from kit.strategy.own_orders import OwnOrder
from kit.strategy.same_strategy import same_strategy
from kit.strategy.strategy_base import StrategyBase

logger = logging.getLogger(__name__)

OrdersChoice = Literal["cancel", "keep", "adopt"]


class SwappedOrders(tuple[str, ...]):
    """The client order ids that a swap dealt with; ``await`` hands them back.

    A swap is done when its call returns, so that a forgotten ``await`` leaves no strategy trading that was to go; and
    who awaits it, as most of what a core does is awaited, gets the same.
    """

    __slots__ = ()

    def __await__(self) -> Generator[None, None, SwappedOrders]:
        yield from ()
        return self


def checked_strategy(strategy: object) -> StrategyBase | None:
    """Return the strategy; raises ``InvalidInput`` for what is none."""
    if strategy is None or isinstance(strategy, StrategyBase):
        return strategy
    raise InvalidInput(
        f"strategy is {strategy!r}; assign an instance of a kit.Strategy subclass, such as "
        f"kit.PureMarketMaking(market, 'BTC/USDT', …)"
    )


def checked_choice(orders: str) -> OrdersChoice:
    """Return what to do with the orders; raises ``InvalidInput`` for what cannot be chosen."""
    for known in get_args(OrdersChoice):
        if orders == known:
            return known  # type: ignore[no-any-return]
    raise InvalidInput(
        f"orders is {orders!r}; it must be 'cancel' (cancelled), 'keep' (they stay on the exchange, and nobody looks "
        "after them) or 'adopt' (the new strategy takes them over)"
    )


class StrategySwap:
    """Deals with the orders at a swap; ``unattended`` are those that were kept and still rest."""

    def __init__(self) -> None:
        self._kept: Final[list[OwnOrder]] = []

    @property
    def unattended(self) -> tuple[str, ...]:
        """Return the client order ids of orders that rest on an exchange and that no strategy looks after."""
        return tuple(
            order.client_order_id
            for order in tuple(self._kept)
            if order.client_order_id in order.market.in_flight_orders
        )

    @staticmethod
    def choice(previous: StrategyBase | None, successor: StrategyBase | None) -> OrdersChoice:
        """Return what a plain assignment does: orders are cancelled, but for those of the very same strategy.

        A cell that is run again makes an instance of the same class with the same arguments: that one takes the orders
        over, as replacing them would lose their places in the queue for nothing.
        """
        return "adopt" if previous is not None and same_strategy(previous, successor) else "cancel"

    def carry_out(
        self,
        previous: StrategyBase | None,
        successor: StrategyBase | None,
        orders: OrdersChoice,
        exchange: Callable[[], None],
    ) -> tuple[str, ...]:
        """Exchange the strategies by ``exchange()``; return the ids of the orders that ``orders`` was carried out on.

        Orders that the successor cannot adopt are cancelled.
        """
        self._forget(successor)
        if previous is None:
            exchange()
            return ()
        held = previous.active_orders
        adopted = hand_over(previous, successor) if orders == "adopt" and successor is not None else ()
        exchange()
        if orders == "keep":
            self._keep(previous, held)
            return tuple(order.client_order_id for order in held)
        cancelled = [order for order in held if order not in adopted]
        previous.cancel_all()
        self._tell(previous, successor, adopted, cancelled)
        return tuple(order.client_order_id for order in (adopted if orders == "adopt" else held))

    def _forget(self, successor: StrategyBase | None) -> None:
        """Drop what has ended, and what comes back to the strategy that placed it."""
        active = () if successor is None else successor.active_orders
        self._kept[:] = [order for order in self._kept if order.ended_at is None and order not in active]

    def _keep(self, previous: StrategyBase, held: tuple[OwnOrder, ...]) -> None:
        self._kept.extend(held)
        if held:
            logger.warning(
                "%s was taken out; its orders stay on the exchange and nobody looks after them: %s",
                previous.name,
                _named(held),
            )

    @staticmethod
    def _tell(
        previous: StrategyBase,
        successor: StrategyBase | None,
        adopted: tuple[OwnOrder, ...],
        cancelled: list[OwnOrder],
    ) -> None:
        place = "was taken out" if successor is None else f"makes way for {successor!r}"
        fates = [f"taken over: {_named(adopted)}"] if adopted else []
        fates += [f"cancelled: {_named(cancelled)}"] if cancelled else []
        logger.info("%s %s; orders %s", previous.name, place, "; ".join(fates) or "none")


def _named(orders: tuple[OwnOrder, ...] | list[OwnOrder]) -> str:
    return ", ".join(f"{order.client_order_id} on {order.market.name}" for order in orders)
