"""The price that a market maker measures its spreads from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from kit.core.clock import Clock
from kit.errors import InvalidInput
from kit.strategy.inventory_cost import InventoryCost
from kit.strategy.market_api import Market
from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.params import Params as BaseParams
from kit.strategy.price_source import NAN, PriceSource, is_price, read_price
from kit.strategy.price_sources import as_price_source
from kit.types.market import PriceType

_MID = PriceType.MidPrice


class ReferencePrices:
    """Finds the reference price, from this market or from ``source``; remembers what only own trades tell.

    ``last_own_trade`` is the price (quote) of the last order that filled whole, ``None`` before the first.
    """

    def __init__(self, market: Market, trading_pair: str) -> None:
        self._market = market
        self._pair = trading_pair
        self._runs = False
        self.source: PriceSource | None = None
        self._kind = _MID
        self.last_own_trade: Decimal | None = None
        self.cost = InventoryCost()

    def use(self, source: Any, price_type: PriceType, clock: Clock | None = None) -> None:
        """Change the source (see ``as_price_source``); with a clock the new one starts and the old one stops.

        Raises ``InvalidInput`` where it cannot answer ``price_type``.
        """
        new, old = as_price_source(source), self.source
        _check_type(price_type, new)
        if clock is not None and new is not old:
            if new is not None:
                new.start(clock)
            self.stop()
            self._runs = new is not None
        self.source = new

    def check(self, params: BaseParams) -> None:
        """Raise ``InvalidInput`` for a ``price_type`` that nothing answers."""
        _check_type(cast("PureMarketMakingParams", params).price_type, self.source)

    def start(self, clock: Clock) -> None:
        """Start the source."""
        if self.source is not None and not self._runs:
            self.source.start(clock)
            self._runs = True

    def stop(self) -> None:
        """Stop the source, once: others may share it and count on it."""
        if self.source is not None and self._runs:
            self._runs = False
            self.source.stop()

    def reference(self, params: PureMarketMakingParams, now: float) -> Decimal | None:
        """Return the price by ``price_type``, the mid price where that is missing; ``None`` without any (formula 1)."""
        source = self.source
        if source is not None:
            source.tick(now, params.price_source_interval, params.price_source_stale_after)
            if source.problem:
                return None
        kind = params.price_type
        if kind is PriceType.LastOwnTrade:
            price = NAN if self.last_own_trade is None else self.last_own_trade
        else:
            if kind is PriceType.InventoryCost:
                kind = _MID
            price = self._ask(kind)
        if price.is_nan():
            kind = _MID
            price = self._ask(kind)
        self._kind = kind
        return price if is_price(price) else None

    def _ask(self, price_type: PriceType) -> Decimal:
        if self.source is not None:
            return read_price(self.source, self.source.price(price_type))
        return self._market.get_price_by_type(self._pair, price_type)

    @property
    def answered(self) -> PriceType:
        """Return which price the last reference price was; ``Custom`` for a source that knows one price only."""
        kind, source = self._kind, self.source
        return kind if source is None or source.knows_types or kind is PriceType.LastOwnTrade else PriceType.Custom

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


def _check_type(price_type: PriceType, source: PriceSource | None) -> None:
    if price_type is PriceType.Custom and (source is None or source.knows_types):
        place = "the strategy's own market" if source is None else source.name
        raise InvalidInput(
            f"price_type 'custom' is the price of a function, a URL or a PriceSource of yours, but prices come from "
            f"{place}; give price_source=…, or another price_type such as 'mid_price'"
        )
