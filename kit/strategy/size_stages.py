"""Stages that change sizes or leave orders out: skew, budget, the exchange's rules, takers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from kit.strategy.inventory_skew import current_skew
from kit.strategy.market_making_context import MarketMakingContext
from kit.strategy.proposal import PriceSize, Proposal, price_size

_ZERO = Decimal(0)
_ONE = Decimal(1)
_INFINITY = Decimal("Infinity")


def inventory_skew(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Multiply sizes so that the inventory goes to its target (formula 6); sizes that become zero are left out."""
    if not context.params.inventory_skew_enabled:
        return proposal
    skew = current_skew(context)
    return Proposal(
        _scaled(proposal.buys, Decimal(skew.bid_ratio), context.quantize_amount),
        _scaled(proposal.sells, Decimal(skew.ask_ratio), context.quantize_amount),
    )


def _scaled(
    entries: tuple[PriceSize, ...], factor: Decimal, quantize: Callable[[Decimal], Decimal]
) -> tuple[PriceSize, ...]:
    scaled = [price_size((price, quantize(size * factor), level)) for price, size, level in entries]
    return tuple([entry for entry in scaled if entry.size > 0])


def budget_constraint(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Cut sizes to what the balances pay, from the nearest level on (formula 7).

    A buy needs ``size * price * (1 + maker fee)`` of quote, a sell its size of base. The first level that is too dear
    takes what is left, rounded down; those behind it get nothing.
    """
    return Proposal(
        _affordable(proposal.buys, context.quote_budget, _ONE + context.maker_fee, context.quantize_amount),
        _affordable(proposal.sells, context.base_budget, None, context.quantize_amount),
    )


def _affordable(
    entries: tuple[PriceSize, ...], budget: Decimal, cost: Decimal | None, quantize: Callable[[Decimal], Decimal]
) -> tuple[PriceSize, ...]:
    """Spend ``budget`` on the entries in order: quote at ``price * cost`` for a unit, or base itself."""
    for index, (price, size, _) in enumerate(entries):
        need = size if cost is None else size * price * cost
        if need <= budget:
            budget -= need
            continue
        unit = _ONE if cost is None else price * cost
        cut = quantize(budget / unit) if budget > 0 else _ZERO
        head = entries[:index]
        return (*head, entries[index]._replace(size=cut)) if cut > 0 else head
    return entries


def trading_rules(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Leave out what the exchange would refuse: too small, or at a price out of its range. Cut what is too big.

    The reference has no such stage: there, an order below the minimum is sent and fails.
    """
    rule = context.rule
    if rule is None:
        return proposal
    biggest = None if rule.max_order_size is None else context.quantize_amount(rule.max_order_size)

    lowest, highest = rule.min_price or _ZERO, rule.max_price or _INFINITY

    def fit(entries: tuple[PriceSize, ...]) -> tuple[PriceSize, ...]:
        cut = entries
        if biggest is not None:
            cut = tuple(entry if entry.size <= biggest else entry._replace(size=biggest) for entry in entries)
        return tuple(
            entry
            for entry in cut
            if entry.size >= rule.min_order_size
            and entry.size * entry.price >= rule.min_notional_size
            and lowest <= entry.price <= highest
        )

    return Proposal(fit(proposal.buys), fit(proposal.sells))


def filter_takers(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Leave out orders that would trade at once: buys at or above the best ask, sells at or below the best bid.

    Formula 8; an empty side filters nothing, and ``take_if_crossed`` lets them pass.
    """
    if context.params.take_if_crossed:
        return proposal
    best_bid, best_ask = context.best_bid, context.best_ask
    buys, sells = proposal.buys, proposal.sells
    if best_ask is not None and buys and max([entry.price for entry in buys]) >= best_ask:
        buys = tuple([entry for entry in buys if entry.price < best_ask])
    if best_bid is not None and sells and min([entry.price for entry in sells]) <= best_bid:
        sells = tuple([entry for entry in sells if entry.price > best_bid])
    return proposal if buys is proposal.buys and sells is proposal.sells else Proposal(buys, sells)
