"""How orders pass from a strategy to the one that takes its place."""

from __future__ import annotations

from kit.strategy.own_orders import OwnOrder
from kit.strategy.strategy_base import StrategyBase


def hand_over(previous: StrategyBase, successor: StrategyBase) -> tuple[OwnOrder, ...]:
    """Make the active orders of ``previous`` those of ``successor``, with their levels; return them.

    Left with ``previous`` is what the successor cannot look after (``can_adopt``) and what is being cancelled. Call it
    between two ticks, before the successor starts; its ``on_start`` finds them among its ``active_orders``.
    """
    given = tuple(order for order in previous.active_orders if not order.is_cancelling and successor.can_adopt(order))
    for order in given:
        previous._orders.release(order)  # noqa: SLF001  # the strategies' own side of their ledgers
        successor._orders.add(order)  # noqa: SLF001
    if given:
        successor.adopted(previous, given)
    return given
