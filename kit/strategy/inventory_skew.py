"""How much bigger or smaller the orders of each side become, so that the inventory goes to its target."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.market_making_params import PureMarketMakingParams


class InventorySkew(NamedTuple):
    """The factors of sizes, each within 0 to 2 and together 2; both 0 where there is nothing to measure."""

    bid_ratio: float
    ask_ratio: float


def skew_ratios(
    base_amount: float, quote_amount: float, price: float, target: float, base_range: float
) -> InventorySkew:
    """Return the factors for an inventory (formula 6).

    ``target`` is the wished share of base in the value of both (0 to 1), ``base_range`` the amount of base away from
    the target at which a side is closed; it counts for no more than half of the value. At the target both are 1.
    Beyond the range above it buys are 0 and sells 2; below it, the other way round.
    """
    value = base_amount * price + quote_amount
    if value <= 0 or base_range <= 0:
        return InventorySkew(0.0, 0.0)
    base_value = base_amount * price
    range_value = min(base_range * price, value * 0.5)
    target_value = value * target
    low = max(target_value - range_value, 0.0)
    high = target_value + range_value
    if base_value < target_value:
        bid = _interpolate(_interpolate(base_value, low, target_value, 0.0, 0.5), 0.0, 0.5, 2.0, 1.0)
    else:
        bid = _interpolate(_interpolate(base_value, target_value, high, 0.5, 1.0), 0.5, 1.0, 1.0, 0.0)
    return InventorySkew(bid, 2.0 - bid)


def _interpolate(x: float, x0: float, x1: float, y0: float, y1: float) -> float:
    """Return y on the line through two points, and the nearer y outside of them."""
    if x >= x1:
        return y1
    return y0 if x <= x0 else (y1 - y0) / (x1 - x0) * (x - x0) + y0


def total_order_size(params: PureMarketMakingParams) -> Decimal:
    """Return the base amount of all orders of both sides together, as they are set.

    For plain levels this is the reference's ``2 * (levels * amount + levels * (levels - 1) / 2 * level_amount)``. With
    split levels or an override the reference goes on counting ``order_amount`` and ``order_levels``, which place
    nothing then; here the sizes that are really placed count.
    """
    return sum((level.size for level in (*params.buy_levels, *params.sell_levels)), Decimal(0))


def current_skew(context: MarketMakingContext) -> InventorySkew:
    """Return the factors for what a context shows."""
    params = context.params
    return skew_ratios(
        float(context.base_total),
        float(context.quote_total),
        float(context.buy_reference),
        float(params.inventory_target_base_pct),
        float(total_order_size(params) * params.inventory_range_multiplier),
    )
