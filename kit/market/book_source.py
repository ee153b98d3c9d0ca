"""What an ``OrderBookTracker`` needs of a venue: the public streams and two questions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from kit.errors import NetworkUnavailable
from kit.types.market import MarketMessage, OrderBookSnapshot


class BookSource(Protocol):
    """The part of ``MarketDataPort`` that books are kept from; every such port is one. See there for the meanings."""

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        """Set the one function that receives every market message."""
        ...

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        """Start streaming the pairs."""
        ...

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        """Stop streaming the pairs."""
        ...

    def is_streaming(self, trading_pair: str) -> bool:
        """Tell whether the stream of the pair's book stands."""
        ...

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        """Fetch a snapshot whose ids are comparable with those of the stream."""
        ...

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        """Fetch the price of each pair's last trade."""
        ...


async def fetch_snapshot(source: BookSource, trading_pair: str, timeout: float) -> OrderBookSnapshot:
    """Fetch a snapshot within ``timeout`` seconds of the event loop; raises ``NetworkUnavailable`` when it is late."""
    try:
        async with asyncio.timeout(timeout):
            return await source.fetch_order_book(trading_pair)
    except TimeoutError:
        raise NetworkUnavailable(f"The order book of {trading_pair} did not come within {timeout:g} s.") from None
