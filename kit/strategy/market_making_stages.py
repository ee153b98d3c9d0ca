"""The stages of market making: pure functions from a proposal to a proposal.

A stage sees a ``Proposal`` and a ``MarketMakingContext``, and returns a ``Proposal``; it changes nothing and asks
nothing else, so it can be read, tested and replaced by itself::

    def no_sells(proposal, context):
        return Proposal(proposal.buys, ())

    class BuyOnly(kit.PureMarketMaking):
        stages = (*kit.PureMarketMaking.stages, no_sells)

Formulas follow §2.3 of the reference's description; its numbers are in the functions' docstrings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.proposal import PriceSize, Proposal
from kit.types.market import TradingRule

_ZERO = Decimal(0)
_ONE = Decimal(1)
_INFINITY = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class MarketMakingContext:
    """What the stages of one tick may see.

    ``buy_reference`` and ``sell_reference`` are the prices (quote) that spreads are measured from. ``base_budget`` and
    ``quote_budget`` are what is free plus what this strategy's own resting orders hold, as these are replaced.
    ``best_bid`` and ``best_ask`` are ``None`` where the side is empty; ``maker_fee`` is a fraction; ``rule`` is
    ``None`` where the market states none. The two functions round down to what the market takes.
    """

    timestamp: float
    trading_pair: str
    params: PureMarketMakingParams
    buy_reference: Decimal
    sell_reference: Decimal
    quantize_price: Callable[[Decimal], Decimal]
    quantize_amount: Callable[[Decimal], Decimal]
    base_budget: Decimal = _ZERO
    quote_budget: Decimal = _ZERO
    best_bid: Decimal | None = None
    best_ask: Decimal | None = None
    maker_fee: Decimal = _ZERO
    rule: TradingRule | None = None


Stage: TypeAlias = Callable[[Proposal, MarketMakingContext], Proposal]


def base_levels(proposal: Proposal, context: MarketMakingContext) -> Proposal:  # noqa: ARG001 - the first stage begins
    """Propose every level, around the reference price (formula 2).

    Level i: ``reference * (1 -/+ spread -/+ i * order_level_spread)`` and ``order_amount + i * order_level_amount``,
    both rounded down; a level whose size or price comes out as zero or less is left out.
    """
    params = context.params
    buys: list[PriceSize] = []
    sells: list[PriceSize] = []
    bid, ask, size = _ONE - params.bid_spread, _ONE + params.ask_spread, params.order_amount
    for level in range(params.order_levels):
        amount = context.quantize_amount(size)
        if amount > 0:
            buy_price = context.quantize_price(context.buy_reference * bid)
            if buy_price > 0:
                buys.append(PriceSize(buy_price, amount, level))
            sell_price = context.quantize_price(context.sell_reference * ask)
            if sell_price > 0:
                sells.append(PriceSize(sell_price, amount, level))
        bid -= params.order_level_spread
        ask += params.order_level_spread
        size += params.order_level_amount
    return Proposal(tuple(buys), tuple(sells))


def budget_constraint(proposal: Proposal, context: MarketMakingContext) -> Proposal:
    """Cut sizes to what the balances pay, from the nearest level on (formula 7).

    A buy needs ``size * price * (1 + maker fee)`` of quote, a sell its size of base. The first level that is too dear
    takes what is left, rounded down; those behind it get nothing.
    """
    buy_cost = _ONE + context.maker_fee
    return Proposal(
        _affordable(proposal.buys, context.quote_budget, buy_cost, context.quantize_amount),
        _affordable(proposal.sells, context.base_budget, None, context.quantize_amount),
    )


def _affordable(
    entries: tuple[PriceSize, ...], budget: Decimal, cost: Decimal | None, quantize: Callable[[Decimal], Decimal]
) -> tuple[PriceSize, ...]:
    """Spend ``budget`` on the entries in order: quote at ``price * cost`` for a unit, or base itself."""
    for index, entry in enumerate(entries):
        unit = _ONE if cost is None else entry.price * cost
        need = entry.size * unit
        if need <= budget:
            budget -= need
            continue
        size = quantize(budget / unit) if budget > 0 else _ZERO
        head = entries[:index]
        return (*head, entry._replace(size=size)) if size > 0 else head
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

    Formula 8; an empty side filters nothing.
    """
    best_bid, best_ask = context.best_bid, context.best_ask
    buys, sells = proposal.buys, proposal.sells
    if best_ask is not None and any(entry.price >= best_ask for entry in buys):
        buys = tuple(entry for entry in buys if entry.price < best_ask)
    if best_bid is not None and any(entry.price <= best_bid for entry in sells):
        sells = tuple(entry for entry in sells if entry.price > best_bid)
    return proposal if buys is proposal.buys and sells is proposal.sells else Proposal(buys, sells)


STAGES: tuple[Stage, ...] = (base_levels, budget_constraint, trading_rules, filter_takers)
"""The pipeline of ``PureMarketMaking``, in order."""


def within_tolerance(current: list[Decimal], proposed: list[Decimal], tolerance: Decimal) -> bool:
    """Tell whether resting prices may stay: as many as proposed, each off by at most ``tolerance`` (fraction).

    Formula 9; prices are compared in sorted order, sizes not at all.
    """
    if len(current) != len(proposed):
        return False
    pairs = zip(sorted(current), sorted(proposed), strict=True)
    return all(abs(new - old) <= tolerance * old for old, new in pairs)
