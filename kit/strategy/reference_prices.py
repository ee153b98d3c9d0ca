"""The price that a market maker measures its spreads from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kit.core.clock import Clock
from kit.strategy.inventory_cost import InventoryCost
from kit.strategy.market_api import Market
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.price_sources import NAN, PriceSource, as_price_source
from kit.types.market import PriceType

_MID = PriceType.MidPrice


class ReferencePrices:
    """Finds the reference price, from this market or from ``source``; remembers what only own trades tell.

    ``last_own_trade`` is the price (quote) of the last order that filled whole, ``None`` before the first.
    """

    def __init__(self, market: Market, trading_pair: str) -> None:
        self._market = market
        self._pair = trading_pair
        self.source: PriceSource | None = None
        self.last_own_trade: Decimal | None = None
        self.cost = InventoryCost()

    def use(self, source: Any, clock: Clock | None = None) -> None:
        """Change the source (see ``as_price_source``); with a clock the new one starts and the old one stops."""
        new, old = as_price_source(source), self.source
        if clock is not None and new is not old:
            if new is not None:
                new.start(clock)
            self.stop()
        self.source = new

    def start(self, clock: Clock) -> None:
        """Start the source."""
        if self.source is not None:
            self.source.start(clock)

    def stop(self) -> None:
        """Stop the source."""
        if self.source is not None:
            self.source.stop()

    def reference(self, params: PureMarketMakingParams, now: float) -> Decimal | None:
        """Return the price by ``price_type``, the mid price where that is missing; ``None`` without any (formula 1)."""
        source = self.source
        if source is not None:
            source.tick(now, params.price_source_interval, params.price_source_stale_after)
            if source.problem:
                return None
        price = self._by_type(params.price_type)
        if price.is_nan():
            price = self._ask(_MID)
        return price if price.is_finite() and price > 0 else None

    def _by_type(self, price_type: PriceType) -> Decimal:
        if price_type is PriceType.LastOwnTrade:
            return NAN if self.last_own_trade is None else self.last_own_trade
        if price_type is PriceType.InventoryCost or (price_type is PriceType.Custom and self.source is None):
            price_type = _MID
        return self._ask(price_type)

    def _ask(self, price_type: PriceType) -> Decimal:
        if self.source is not None:
            return self.source.price(price_type)
        return self._market.get_price_by_type(self._pair, price_type)

    def for_sells(self, reference: Decimal, params: PureMarketMakingParams) -> Decimal | None:
        """Return the price that sell orders are measured from; ``None`` where it is asked for and not known."""
        if params.price_type is not PriceType.InventoryCost:
            return reference
        cost = self.cost.price
        return None if cost is None else max(cost, reference)

    @property
    def problem(self) -> str:
        """Say why there is no reference price."""
        if self.source is not None:
            return self.source.problem or f"{self.source.name} has no price"
        return "a side of its book is empty"
