from __future__ import annotations

import random

from kit.market.book_side import LOW_WATER, WINDOW, BookSide


def test_only_the_prices_near_the_top_are_kept_sorted() -> None:
    """A price that wanders for long must leave neither a growing window (slow diffs) nor an empty one (no best)."""
    rng = random.Random(1)
    for is_bid in (True, False):
        side = BookSide(is_bid=is_bid)
        prices: set[float] = set()
        middle = 10_000
        for _ in range(3_000):
            middle += rng.randint(-30, 30)
            changes = [(float(rng.randint(middle - 200, middle + 200)), float(rng.randint(0, 2))) for _ in range(10)]
            side.apply(changes)
            for price, amount in changes:
                (prices.add if amount else prices.discard)(price)
            window = side._window
            assert len(window) <= 2 * WINDOW
            assert len(window) >= min(LOW_WATER, len(prices))
            assert window == sorted(window)
            assert side.top == (max if is_bid else min)(prices)
        assert len(side) == len(prices) > 2 * WINDOW
        assert [price for price, _ in side.walk()] == sorted(prices, reverse=is_bid)
        assert side.first(10_000) == list(side.walk())
