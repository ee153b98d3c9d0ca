"""The simplest possible order book, to compare the real one with."""

from __future__ import annotations

import math
from collections.abc import Iterable

from kit.types.market import Level, OrderBookDiff, OrderBookSnapshot

PAIR = "BTC/USDT"


class NaiveBook:
    """Two dicts; every answer is worked out from scratch."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def load(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        self.bids = {price: amount for price, amount in bids if amount}
        self.asks = {price: amount for price, amount in asks if amount}

    def update(self, bids: Iterable[Level], asks: Iterable[Level]) -> bool:
        """Apply changes; where the book would cross, change nothing and return False."""
        before = dict(self.bids), dict(self.asks)
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            for price, amount in changes:
                side[price] = amount
                if not amount:
                    del side[price]
        if self.crossed:
            self.bids, self.asks = before
            return False
        return True

    @property
    def crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(self.bids) >= min(self.asks)

    def sorted_bids(self) -> list[Level]:
        return sorted(self.bids.items(), reverse=True)

    def sorted_asks(self) -> list[Level]:
        return sorted(self.asks.items())

    # brute-force answers: (result_price, result_volume), thin books as the real book answers them

    def _side(self, is_buy: bool) -> list[Level]:
        return self.sorted_asks() if is_buy else self.sorted_bids()

    def price_for(self, is_buy: bool, volume: float, *, quote: bool) -> tuple[float, float]:
        side = self._side(is_buy)
        worth = [price * amount if quote else amount for price, amount in side]
        for count in range(1, len(side) + 1):
            if math.fsum(worth[:count]) >= volume:
                return side[count - 1][0], volume
        return math.nan, math.fsum(worth)

    def taken(self, is_buy: bool, volume: float, *, quote: bool) -> list[Level] | None:
        """Return the (price, base) pieces that a taker of ``volume`` would get, None when the book is too thin."""
        pieces, left = [], volume
        for price, amount in self._side(is_buy):
            piece = min(amount, left / price if quote else left)
            pieces.append((price, piece))
            left -= piece * price if quote else piece
            if left <= 1e-9:
                return pieces
        return None

    def volume_up_to(self, is_buy: bool, price: float, *, quote: bool) -> tuple[float, float]:
        inside = [level for level in self._side(is_buy) if (level[0] <= price if is_buy else level[0] >= price)]
        total = math.fsum(p * a if quote else a for p, a in inside)
        return (inside[-1][0] if inside else math.nan), total


def snapshot(
    update_id: int, bids: Iterable[Level], asks: Iterable[Level], pair: str = PAIR, timestamp: float = 0.0
) -> OrderBookSnapshot:
    return OrderBookSnapshot(pair, update_id, timestamp, tuple(bids), tuple(asks))


def diff(
    update_id: int,
    bids: Iterable[Level] = (),
    asks: Iterable[Level] = (),
    *,
    first: int | None = None,
    previous: int | None = None,
    pair: str = PAIR,
    timestamp: float = 0.0,
) -> OrderBookDiff:
    return OrderBookDiff(pair, update_id, timestamp, tuple(bids), tuple(asks), first, previous)
