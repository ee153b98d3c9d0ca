"""Stages that say which levels there are: the base proposal, price bands, ping-pong."""

from __future__ import annotations

from decimal import Decimal

from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.market_making_params import LevelSetting
from kit.strategy.proposal import PriceSize, Proposal, price_size

_ZERO = Decimal(0)


def base_levels(proposal: Proposal, context: MarketMakingContext) -> Proposal:  # noqa: ARG001 - the first stage begins
    """Propose every level, around the reference price (formula 2).

    Level i: ``reference * (1 -/+ spread -/+ i * order_level_spread)`` and ``order_amount + i * order_level_amount``,
    or as listed one by one (split levels), or as ``order_override`` says; prices and sizes are rounded down, and a
    level whose size or price comes out as zero or less is left out.
    """
    return Proposal(
        _around(context.buy_reference, context.params.buy_levels, context),
        _around(context.sell_reference, context.params.sell_levels, context),
    )


def _around(
    reference: Decimal | None, levels: tuple[LevelSetting, ...], context: MarketMakingContext
) -> tuple[PriceSize, ...]:
    if reference is None:
        return ()
    quantize_price, quantize_amount = context.quantize_price, context.quantize_amount
    entries: list[PriceSize] = []
    wished, amount = _ZERO, _ZERO
    for level, (factor, size) in enumerate(levels):
        if size != wished:  # most often all levels have one size
            wished, amount = size, max(quantize_amount(size), _ZERO)
        if amount:
            price = quantize_price(reference * factor)
            if price > 0:
                entries.append(price_size((price, amount, level)))
    return tuple(entries)


def price_band(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Stop buying at or above ``price_ceiling`` and selling at or below ``price_floor`` (formula 3)."""
    return _within(proposal, context.buy_reference, context.params.price_floor, context.params.price_ceiling)


def moving_price_band(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Do the same for the band that follows the price, where that is enabled."""
    return _within(proposal, context.buy_reference, context.band_floor, context.band_ceiling)


def _within(proposal: Proposal, price: Decimal, floor: Decimal | None, ceiling: Decimal | None) -> Proposal:
    if ceiling is not None and price >= ceiling:
        proposal = Proposal((), proposal.sells)
    if floor is not None and price <= floor:
        proposal = Proposal(proposal.buys, ())
    return proposal


def ping_pong(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Leave out as many of a side's nearest levels as have filled without the other side's answer (formula 4)."""
    bought, sold = context.filled_buys, context.filled_sells
    if not bought and not sold:
        return proposal
    return Proposal(proposal.buys[bought:], proposal.sells[sold:])
