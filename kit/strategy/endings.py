"""What became of quotes that are missing: how the last order of each side ended, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kit.strategy.own_orders import OwnOrder
from kit.strategy.tick_record import CancelReason, Outcome, TickRecord
from kit.types.orders import OrderState

_TOLD_OTHERWISE = frozenset({Outcome.NOTHING_LEFT, Outcome.NO_PRICE, Outcome.NOT_READY, Outcome.NO_TICK})
"""Outcomes that say by themselves why nothing rests."""


def ending(order: OwnOrder, now: float) -> str:
    """Return as a clause how an order ended: ``was cancelled 3 s ago: older than max_order_age``."""
    ago = f"{now - order.ended_at:g} s ago" if order.ended_at is not None else ""
    if order.state is OrderState.FILLED:
        return f"was filled {ago}"
    if order.state is OrderState.EXPIRED:
        return f"was ended {ago} by the exchange, as expired"
    if order.state is OrderState.FAILED:
        return f"was rejected {ago}" + (f": {order.ending}" if order.ending else "")
    if order.ending:
        return f"was cancelled {ago}: {order.ending}"
    if order.cancel_requested_at is not None:
        return f"was cancelled {ago}: asked for by cancel() or cancel_all()"
    return f"was cancelled {ago}, not by the strategy"


def lost_quotes(
    record: TickRecord,
    proposed: TickRecord | None,
    quotes: Sequence[OwnOrder],
    last_ended: Callable[[bool], OwnOrder | None],
    now: float,
) -> str:
    """Return in sentences why fewer of ``quotes`` rest than the last proposal placed; empty where none are missing.

    ``record`` is the last tick, ``proposed`` the one of the last proposal; ``now`` in seconds.
    """
    if record.outcome in _TOLD_OTHERWISE or proposed is None or not proposed.trail:
        return ""
    wished = proposed.trail[-1][1]
    said, missing = "", False
    for is_buy, entries in ((True, wished.buys), (False, wished.sells)):
        if sum(order.is_buy is is_buy for order in quotes) >= len(entries):
            continue
        missing = True
        order = last_ended(is_buy)
        if order is not None and order.ended_at is not None and not _is_usual(order, record.outcome):
            said += f" The last {'buy' if is_buy else 'sell'} order {ending(order, now)}."
    if missing and proposed.problem:
        said += f" The last placing broke off: {proposed.problem}."
    return said


def _is_usual(order: OwnOrder, outcome: Outcome) -> bool:
    if order.state is OrderState.FILLED:
        return outcome is Outcome.PAUSE_AFTER_FILL
    return order.ending == CancelReason.DUE.value
