"""One side of an order book: every level in a dict, the prices near the top also in sorted order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from heapq import nlargest, nsmallest
from math import inf

from kit.market.book_errors import BadMessage
from kit.types.market import Level

# The sorted window is refilled to WINDOW prices, cut back to it at twice that and refilled below LOW_WATER. Chosen by
# benchmarks/order_book.py on recorded streams: keeping every price sorted costs half as much again per diff, and
# searching the dict for a lost best price grows with the book (it reaches 5,000 levels within minutes).
WINDOW = 64
LOW_WATER = 8


class BookSide:
    """Hold the levels of one side, the best one at hand at any moment.

    ``levels`` maps price to amount, never zero. ``_window`` holds, ascending, every price from ``_low`` to ``_high``;
    one of the two bounds is the open end where better prices appear, so the best price is always inside.
    """

    __slots__ = ("_high", "_low", "_window", "is_bid", "levels")

    def __init__(self, levels: Iterable[Level] = (), *, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.levels: dict[float, float] = {price: amount for price, amount in levels if amount}
        self._refill()

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def top(self) -> float:
        """Return the best price; for an empty side 0.0 (bids) or infinity (asks), which cross nothing."""
        if self._window:
            return self._window[-1] if self.is_bid else self._window[0]
        return 0.0 if self.is_bid else inf

    @property
    def best(self) -> Level | None:
        """Return the best level, ``None`` if the side is empty."""
        if not self._window:
            return None
        price = self._window[-1] if self.is_bid else self._window[0]
        return price, self.levels[price]

    def apply(self, changes: Iterable[Level]) -> None:
        """Set the amounts of levels that ``best_of`` has checked; 0 removes a level. The last of duplicates counts."""
        levels, window, low, high = self.levels, self._window, self._low, self._high
        pop = levels.pop
        for price, amount in changes:
            if amount:
                if low <= price <= high and price not in levels:
                    insort(window, price)
                levels[price] = amount
            elif pop(price, None) is not None and low <= price <= high:
                del window[bisect_left(window, price)]
        if len(window) < LOW_WATER:
            if len(window) < len(levels):
                self._refill()
        elif len(window) > 2 * WINDOW:
            self._cut()

    def amounts_before(self, changes: Iterable[Level]) -> list[Level]:
        """Return the changes that would undo these ones."""
        get = self.levels.get
        return [(price, get(price, 0.0)) for price, _ in changes]

    def walk(self) -> Iterator[Level]:
        """Yield the levels, best first; sorts the far ones only when the walk gets there."""
        levels = self.levels
        for price in reversed(self._window) if self.is_bid else self._window:
            yield price, levels[price]
        for price in self._far():
            yield price, levels[price]

    def first(self, count: int) -> list[Level]:
        """Return up to ``count`` levels, best first."""
        prices = self._window[: -count - 1 : -1] if self.is_bid else self._window[:count]
        if len(prices) < count:
            prices += self._far()[: count - len(prices)]
        levels = self.levels
        return [(price, levels[price]) for price in prices]

    def _far(self) -> list[float]:
        if len(self._window) == len(self.levels):
            return []
        low, high = self._low, self._high
        return sorted((price for price in self.levels if not low <= price <= high), reverse=self.is_bid)

    def _refill(self) -> None:
        if self.is_bid:
            self._window = nlargest(WINDOW, self.levels)
            self._window.reverse()
        else:
            self._window = nsmallest(WINDOW, self.levels)
        self._bound()

    def _cut(self) -> None:
        if self.is_bid:
            del self._window[:-WINDOW]
        else:
            del self._window[WINDOW:]
        self._bound()

    def _bound(self) -> None:
        self._low, self._high = 0.0, inf
        if len(self._window) < len(self.levels):
            if self.is_bid:
                self._low = self._window[0]
            else:
                self._high = self._window[-1]


def best_of(changes: Iterable[Level], *, is_bid: bool) -> float:
    """Check every level of a message and return the best price it sets (``BookSide.top`` of nothing if none).

    A price must be a finite number above 0, an amount a finite number of 0 or more.
    Raises ``BadMessage`` otherwise, before anything was applied.
    """
    try:
        return _highest(changes) if is_bid else _lowest(changes)
    except (TypeError, ValueError) as error:
        raise BadMessage(
            f"a level of the {'bids' if is_bid else 'asks'} is no (price, amount) pair of numbers: {error}",
            "The connector must hand over floats; nothing of the message was applied.",
        ) from error


# Two loops, not one with a comparison function: they run once per level of every message.
def _highest(changes: Iterable[Level]) -> float:
    top = 0.0
    for price, amount in changes:
        if not (0.0 < price < inf and 0.0 <= amount < inf):
            raise _bad_level(price, amount, "bids")
        if price > top and amount:
            top = price
    return top


def _lowest(changes: Iterable[Level]) -> float:
    top = inf
    for price, amount in changes:
        if not (0.0 < price < inf and 0.0 <= amount < inf):
            raise _bad_level(price, amount, "asks")
        if price < top and amount:
            top = price
    return top


def _bad_level(price: float, amount: float, side: str) -> BadMessage:
    return BadMessage(
        f"a level of the {side} has price {price!r} and amount {amount!r}",
        "A price must be finite and above 0, an amount finite and 0 or more; nothing of the message was applied.",
    )
