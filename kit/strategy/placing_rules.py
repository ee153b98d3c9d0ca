"""Whether a proposal may be placed now: a pure function over orders and timers."""

from __future__ import annotations

from kit.strategy.hanging_orders import HangingOrders
from kit.strategy.own_orders import OwnOrder
from kit.strategy.proposal import Proposal
from kit.strategy.refresh_timers import RefreshTimers
from kit.strategy.tick_record import Outcome


def may_place(
    proposal: Proposal | None,
    timers: RefreshTimers,
    orders: tuple[OwnOrder, ...],
    hanging: HangingOrders,
    now: float,
    waits: bool,
) -> Outcome:
    """Return why ``proposal`` may not be placed at ``now``, or ``PLACED``.

    ``orders`` are the active ones; ``waits`` tells whether every cancel must be confirmed first.
    """
    if proposal is None:
        return Outcome.PAUSE_AFTER_FILL if timers.hold_until >= timers.create_at else Outcome.RESTING
    if orders:
        passing = [order for order in orders if order.cancel_requested_at is not None]
        if passing and waits:
            return Outcome.CANCELS_UNCONFIRMED
        if hanging:
            passing += [*hanging.orders, *hanging.candidates]
        if not passing or not set(passing).issuperset(orders):
            return Outcome.KEPT if timers.cancel_at <= now else Outcome.QUOTES_REST
    if timers.create_at >= now:
        return Outcome.JUST_DUE
    return Outcome.NOTHING_LEFT if proposal.is_empty else Outcome.PLACED
