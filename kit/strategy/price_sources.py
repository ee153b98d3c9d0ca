"""Where a strategy's reference price may come from, if not from its own market."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import Any, Final

from kit.connectors.pairs import normalize_pair
from kit.errors import InvalidInput
from kit.strategy.market_api import Market
from kit.strategy.polled_price import AwaitedPrice, PolledPrice, UrlPrice
from kit.strategy.price_source import NAN, PriceSource
from kit.types.market import PriceType

__all__ = ["AwaitedPrice", "MarketPrice", "PolledPrice", "PriceSource", "UrlPrice", "as_price_source"]


class MarketPrice(PriceSource):
    """The prices of a pair on another market."""

    knows_types = True

    def __init__(self, market: Market, trading_pair: str | None = None) -> None:
        pairs = market.trading_pairs
        pair = normalize_pair(trading_pair) if trading_pair is not None else pairs[0] if len(pairs) == 1 else None
        if pair not in pairs:
            raise InvalidInput(
                f"the price source needs a pair that {market.name} streams: {', '.join(pairs) or 'none'}; "
                f"give price_source=(market, 'BTC/USDT')"
            )
        self.market: Final = market
        self.trading_pair: Final = pair
        self.name = f"{market.name} {pair}"

    def price(self, price_type: PriceType) -> Decimal:
        """Return that market's price of the type."""
        return self.market.get_price_by_type(self.trading_pair, price_type) if self.market.ready else NAN

    @property
    def problem(self) -> str:
        """Tell when the other market is not ready."""
        return "" if self.market.ready else f"{self.market.name} is not ready"


def as_price_source(source: Any) -> PriceSource | None:
    """Make a price source of what a user gives: a market, (market, pair), a URL, a callable, an object with ``price``.

    ``None`` is the strategy's own market. Raises ``InvalidInput`` for anything else.
    """
    if source is None or isinstance(source, PriceSource):
        return source
    if isinstance(source, str):
        return UrlPrice(source)
    market, pair = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
    if hasattr(market, "get_price_by_type") and (pair is None or isinstance(pair, str)):
        return MarketPrice(market, pair)
    fetch = getattr(source, "price", source)
    if callable(fetch):
        return AwaitedPrice(fetch) if inspect.iscoroutinefunction(fetch) else PolledPrice(fetch)
    raise InvalidInput(
        f"{source!r} is no price source; give a market, (market, 'BTC/USDT'), a URL, or a function without arguments"
    )
