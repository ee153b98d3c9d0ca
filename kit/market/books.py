"""What a connector needs of whoever keeps its order books."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kit.market.order_book import OrderBook
from kit.market.tracked_book import BookStatus


class Books(Protocol):
    """The books of the streamed pairs; ``OrderBookTracker`` keeps them from a stream, a replay from its kernel."""

    @property
    def order_books(self) -> Mapping[str, OrderBook]:
        """Return the books by pair."""
        ...

    @property
    def ready(self) -> bool:
        """Tell whether every pair's book can be relied on; False while no pair is tracked."""
        ...

    def is_ready(self, trading_pair: str) -> bool:
        """Tell whether the pair's book can be relied on. Raises ``UnknownPair``."""
        ...

    def status(self, trading_pair: str) -> BookStatus:
        """Return how the pair's book stands. Raises ``UnknownPair``."""
        ...

    async def start(self, trading_pairs: Sequence[str] = ()) -> None:
        """Begin to keep the books of the pairs."""
        ...

    async def stop(self) -> None:
        """Keep the books no longer; their last levels stay. Idempotent."""
        ...

    async def add_trading_pair(self, trading_pair: str) -> None:
        """Keep one more pair's book."""
        ...

    async def remove_trading_pair(self, trading_pair: str) -> None:
        """Keep a pair's book no longer."""
        ...
