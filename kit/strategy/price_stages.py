"""Stages that move prices: order optimization and transaction costs."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from operator import attrgetter

from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.proposal import EMPTY, PriceSize, Proposal, price_size

_ONE = Decimal(1)
_by_price = attrgetter("price")


def order_optimization(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Go no further from the price than one step before the book's nearest order (formula 5).

    The book's nearest order is what a taker meets at the optimization depth (plus the own last order of that side).
    The first level goes one price step before it, where that is farther from the reference price than proposed; the
    others follow at the level spread, unrounded. Where the book is thinner than the depth, nothing is proposed at all.
    """
    params = context.params
    if not params.order_optimization_enabled:
        return proposal
    buys, sells = proposal.buys, proposal.sells
    if (buys and context.deep_bid is None) or (sells and context.deep_ask is None):
        return EMPTY
    if buys and context.deep_bid is not None:
        buys = tuple(sorted(buys, key=_by_price, reverse=True))
        first = min(buys[0].price, _beside(context.deep_bid, 1, context))
        buys = _spaced(buys, first, -1, params.bid_order_level_spreads, context)
    if sells and context.deep_ask is not None:
        sells = tuple(sorted(sells, key=_by_price))
        first = max(sells[0].price, _beside(context.deep_ask, -1, context))
        sells = _spaced(sells, first, 1, params.ask_order_level_spreads, context)
    return Proposal(buys, sells)


def _beside(price: Decimal, steps: int, context: MarketMakingContext) -> Decimal:
    """Return the price one step above or below, on the grid."""
    step = context.price_step(price) if context.price_step is not None else None
    if not step:
        return price
    rounded = (price / step).to_integral_value(ROUND_CEILING if steps > 0 else ROUND_FLOOR)
    return (rounded + steps) * step


def _spaced(
    entries: tuple[PriceSize, ...],
    first: Decimal,
    sign: int,
    spreads: tuple[Decimal, ...] | None,
    context: MarketMakingContext,
) -> tuple[PriceSize, ...]:
    nearest = context.quantize_price(first)
    if spreads is not None and context.params.order_override is None:
        base = _ONE + sign * spreads[0]
        return tuple(
            PriceSize(nearest * (_ONE + sign * spreads[index]) / base, entry.size, entry.level)
            for index, entry in enumerate(entries)
        )
    step, factor = sign * context.params.order_level_spread, _ONE
    spaced = []
    for _, size, level in entries:
        spaced.append(price_size((nearest * factor, size, level)))
        factor += step
    return tuple(spaced)


def transaction_costs(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Widen every price by the maker fee, rounded down: ``bid * (1 - fee)``, ``ask * (1 + fee)`` (formula 5)."""
    if not context.params.add_transaction_costs:
        return proposal
    quantize, less, more = context.quantize_price, _ONE - context.maker_fee, _ONE + context.maker_fee
    return Proposal(
        tuple([price_size((quantize(price * less), size, level)) for price, size, level in proposal.buys]),
        tuple([price_size((quantize(price * more), size, level)) for price, size, level in proposal.sells]),
    )
