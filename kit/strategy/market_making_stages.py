"""The stages of market making: pure functions from a proposal to a proposal.

A stage sees a ``Proposal`` and a ``MarketMakingContext``, and returns a ``Proposal``; it changes nothing and asks
nothing else, so it can be read, tested and replaced by itself::

    def no_sells(proposal, context):
        return Proposal(proposal.buys, ())

    class BuyOnly(kit.PureMarketMaking):
        stages = (*kit.PureMarketMaking.stages, no_sells)

Formulas follow §2.3 of the reference's description; its numbers are in the functions' docstrings. A stage whose
feature is off hands on what it got.
"""

from __future__ import annotations

from decimal import Decimal

from kit.strategy.level_stages import base_levels, moving_price_band, ping_pong, price_band
from kit.strategy.market_making_context import MarketMakingContext, Stage
from kit.strategy.price_stages import order_optimization, transaction_costs
from kit.strategy.size_stages import budget_constraint, filter_takers, inventory_skew, trading_rules

__all__ = [
    "STAGES",
    "MarketMakingContext",
    "Stage",
    "base_levels",
    "budget_constraint",
    "filter_takers",
    "inventory_skew",
    "moving_price_band",
    "order_optimization",
    "ping_pong",
    "price_band",
    "trading_rules",
    "transaction_costs",
    "within_tolerance",
]

STAGES: tuple[Stage, ...] = (
    base_levels,
    price_band,
    moving_price_band,
    ping_pong,
    order_optimization,
    transaction_costs,
    inventory_skew,
    budget_constraint,
    trading_rules,
    filter_takers,
)
"""The pipeline of ``PureMarketMaking``, in order (§2.2)."""


def within_tolerance(current: list[Decimal], proposed: list[Decimal], tolerance: Decimal) -> bool:
    """Tell whether resting prices may stay: as many as proposed, each off by at most ``tolerance`` (fraction).

    Formula 9; prices are compared in sorted order, sizes not at all.
    """
    if len(current) != len(proposed):
        return False
    for old, new in zip(sorted(current), sorted(proposed), strict=True):
        if old != new and abs(new - old) > tolerance * old:
            return False
    return True
