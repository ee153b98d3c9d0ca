"""Everything that can be read from an order book."""

from __future__ import annotations

from math import inf, nan
from threading import RLock
from typing import TYPE_CHECKING

from kit.errors import InvalidInput
from kit.market.book_frames import ladder_frame, side_frame
from kit.market.book_queries import BookQueries, OrderBookQueryResult, Query
from kit.market.book_side import BookSide
from kit.types.market import Level

if TYPE_CHECKING:
    import pandas as pd


class BookView(BookQueries):
    """Hold the two sides of a book and read them.

    A subclass writes, under ``_lock``, and counts ``_version`` up with each change; any thread may read at any time
    and sees whole states only.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bids = BookSide(is_bid=True)
        self._asks = BookSide(is_bid=False)
        self._lock = RLock()
        self._version = 0
        self._frames: tuple[int, pd.DataFrame, pd.DataFrame] | None = None

    @property
    def best_bid(self) -> Level | None:
        """Return the highest bid as (price, amount), ``None`` if there is none."""
        with self._lock:
            return self._bids.best

    @property
    def best_ask(self) -> Level | None:
        """Return the lowest ask as (price, amount), ``None`` if there is none."""
        with self._lock:
            return self._asks.best

    def get_price(self, is_buy: bool) -> float:
        """Return the best price to buy at (the lowest ask) or to sell at (the highest bid), NaN if there is none."""
        with self._lock:
            top = self._asks.top if is_buy else self._bids.top
        return top if 0.0 < top < inf else nan

    @property
    def mid_price(self) -> float:
        """Return the mean of best bid and best ask, NaN if a side is empty."""
        with self._lock:
            return (self.get_price(is_buy=True) + self.get_price(is_buy=False)) / 2

    def depth(self, levels: int = 10) -> tuple[list[Level], list[Level]]:
        """Return up to ``levels`` bids and as many asks as (price, amount), best first, both of one moment."""
        if levels < 1:
            raise InvalidInput(f"levels is {levels!r}; ask for 1 or more.")
        with self._lock:
            return self._bids.first(levels), self._asks.first(levels)

    def top(self, levels: int = 10) -> pd.DataFrame:
        """Return the best levels as a ladder: bid_amount, bid_price, ask_price, ask_amount, a row per level."""
        return ladder_frame(*self.depth(levels))

    @property
    def snapshot(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return (bids, asks) of one moment, each with price, amount and cumulative (float64), best first.

        They are yours: changing them does not touch the book, and the book's next update does not touch them.
        """
        with self._lock:
            frames, version = self._frames, self._version
            if frames is None or frames[0] != version:
                frames = None
                bids, asks = self._bids.levels.copy(), self._asks.levels.copy()
        if frames is None:
            frames = (version, side_frame(bids, is_bid=True), side_frame(asks, is_bid=False))
            self._frames = frames
        return frames[1].copy(), frames[2].copy()

    @property
    def bids(self) -> pd.DataFrame:
        """Return every bid, best first: price (quote), amount and cumulative amount (base), float64."""
        return self.snapshot[0]

    @property
    def asks(self) -> pd.DataFrame:
        """Return every ask, best first: price (quote), amount and cumulative amount (base), float64."""
        return self.snapshot[1]

    def _run_query(self, query: Query, is_buy: bool, value: float) -> OrderBookQueryResult:
        with self._lock:
            return query((self._asks if is_buy else self._bids).walk(), value)
