"""What the stages of market making may see."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.proposal import Proposal
from kit.types.market import PriceType, TradingRule

_ZERO = Decimal(0)


class MarketMakingContext(NamedTuple):
    """What the stages of one tick may see. Immutable, prices in quote, amounts in base unless the name says quote.

    ``buy_reference`` is the price that spreads are measured from: the one of type ``reference_type``, of the source
    named ``price_source`` (empty for the strategy's own market); ``sell_reference`` is the same, but not below the
    inventory's cost where that is asked for, and ``None`` where the cost is asked for and not known.
    ``base_budget`` and ``quote_budget`` are what is free plus what this strategy's own orders hold that will be
    replaced; ``base_total`` and ``quote_total`` count all of its orders. ``best_bid`` and ``best_ask`` are ``None``
    where the side is empty. ``deep_bid`` and ``deep_ask`` are the prices at the optimization depth, ``None`` where the
    book is thinner. ``band_floor`` and ``band_ceiling`` are the moving band; ``filled_buys`` and ``filled_sells`` what
    ping-pong counted. ``maker_fee`` is a fraction; ``rule`` is ``None`` where the market states none. The functions
    round down to what the market takes; ``price_step`` is the distance between two prices near a price.
    """

    timestamp: float
    trading_pair: str
    params: PureMarketMakingParams
    buy_reference: Decimal
    sell_reference: Decimal | None
    quantize_price: Callable[[Decimal], Decimal]
    quantize_amount: Callable[[Decimal], Decimal]
    price_step: Callable[[Decimal], Decimal] | None = None
    base_budget: Decimal = _ZERO
    quote_budget: Decimal = _ZERO
    base_total: Decimal = _ZERO
    quote_total: Decimal = _ZERO
    best_bid: Decimal | None = None
    best_ask: Decimal | None = None
    deep_bid: Decimal | None = None
    deep_ask: Decimal | None = None
    band_floor: Decimal | None = None
    band_ceiling: Decimal | None = None
    filled_buys: int = 0
    filled_sells: int = 0
    maker_fee: Decimal = _ZERO
    rule: TradingRule | None = None
    reference_type: PriceType = PriceType.MidPrice
    price_source: str = ""


Stage: TypeAlias = Callable[[Proposal, MarketMakingContext], Proposal]
"""A pure function: it returns a proposal, changes nothing and asks nothing else."""
