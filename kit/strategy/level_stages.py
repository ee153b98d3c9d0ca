"""Stages that say which levels there are: the base proposal, price bands, ping-pong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.proposal import PriceSize, Proposal

_ONE = Decimal(1)


def base_levels(proposal: Proposal, context: MarketMakingContext) -> Proposal:  # noqa: ARG001 - the first stage begins
    """Propose every level, around the reference price (formula 2).

    Level i: ``reference * (1 -/+ spread -/+ i * order_level_spread)`` and ``order_amount + i * order_level_amount``,
    or as listed one by one (split levels), or as ``order_override`` says; prices and sizes are rounded down, and a
    level whose size or price comes out as zero or less is left out.
    """
    buys, sells = configured_levels(context.params)
    return Proposal(
        _around(context.buy_reference, -1, buys, context),
        _around(context.sell_reference, 1, sells, context),
    )


def configured_levels(
    params: PureMarketMakingParams,
) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
    """Return the (spread, size) of every buy and of every sell, nearest level first, as they are set."""
    override = params.order_override
    if override is not None:
        buys, sells = (
            [(entry.spread, entry.amount) for entry in override if entry.side == side] for side in ("buy", "sell")
        )
        return buys, sells
    bid, ask, size, more = params.bid_spread, params.ask_spread, params.order_amount, params.order_level_amount
    return (
        _side(params, bid, size, more, params.bid_order_level_spreads, params.bid_order_level_amounts),
        _side(params, ask, size, more, params.ask_order_level_spreads, params.ask_order_level_amounts),
    )


def _side(
    params: PureMarketMakingParams,
    spread: Decimal,
    size: Decimal,
    more: Decimal,
    spreads: tuple[Decimal, ...] | None,
    amounts: tuple[Decimal, ...] | None,
) -> list[tuple[Decimal, Decimal]]:
    if spreads is None:
        step, levels = params.order_level_spread, range(params.order_levels)
        return [(spread + level * step, size + level * more) for level in levels]
    if amounts is None:
        amounts = tuple(size + level * more for level in range(len(spreads)))
    return list(zip(spreads, amounts, strict=True))


def _around(
    reference: Decimal | None, sign: int, levels: Iterable[tuple[Decimal, Decimal]], context: MarketMakingContext
) -> tuple[PriceSize, ...]:
    if reference is None:
        return ()
    quantize_price = context.quantize_price
    entries: list[PriceSize] = []
    wished = amount = None
    for level, (spread, size) in enumerate(levels):
        if size != wished:  # most often all levels have one size
            wished, amount = size, _quantized(size, context.quantize_amount)
        if amount is not None:
            price = quantize_price(reference * (_ONE + spread if sign > 0 else _ONE - spread))
            if price > 0:
                entries.append(PriceSize(price, amount, level))
    return tuple(entries)


def _quantized(size: Decimal, quantize: Callable[[Decimal], Decimal]) -> Decimal | None:
    amount = quantize(size)
    return amount if amount > 0 else None


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
