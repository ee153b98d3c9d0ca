"""Which resting quotes should go: pure functions over orders."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from kit.core.naming import counted
from kit.strategy.market_making_stages import within_tolerance
from kit.strategy.own_orders import OwnOrder
from kit.strategy.proposal import Proposal
from kit.strategy.tables import cell_text


def over_age(orders: Sequence[OwnOrder], now: float, limit: float | None) -> Sequence[OwnOrder]:
    """Return all orders when one is older than ``limit`` seconds, else none."""
    if limit is None:
        return ()
    for order in orders:
        if now - order.creation_timestamp > limit:
            return orders
    return ()


def too_near(orders: Sequence[OwnOrder], reference: Decimal, limit: Decimal | None) -> Sequence[OwnOrder]:
    """Return the orders whose distance from the reference price is below the fraction ``limit`` (formula 10)."""
    if limit is None:
        return ()
    return [
        order
        for order in orders
        if ((reference - order.price) if order.is_buy else (order.price - reference)) / reference < limit
    ]


def short_lived(proposal: Proposal, reference: Decimal, limit: Decimal) -> str:
    """Tell how many quotes of a proposal ``too_near`` takes back on the next tick; an empty text where none."""
    away = [(reference - entry.price) / reference for entry in proposal.buys]
    away += [(entry.price - reference) / reference for entry in proposal.sells]
    near = sum(distance < limit for distance in away)
    if not near:
        return ""
    return (
        f"minimum_spread {cell_text(limit, is_fraction=True)} takes back {near} of "
        f"{counted(len(away), 'proposed quote')} on the tick after they were placed, as they are nearer to the price; "
        "lower it or widen the spreads"
    )


def may_stay(orders: Sequence[OwnOrder], proposal: Proposal | None, tolerance: Decimal | None) -> bool:
    """Tell whether resting orders are near enough to what is proposed instead of them (formula 9)."""
    if proposal is None or tolerance is None:
        return False
    if len(orders) != len(proposal.buys) + len(proposal.sells):
        return False
    buys = [order.price for order in orders if order.is_buy]
    sells = [order.price for order in orders if not order.is_buy]
    return within_tolerance(buys, [entry.price for entry in proposal.buys], tolerance) and within_tolerance(
        sells, [entry.price for entry in proposal.sells], tolerance
    )
