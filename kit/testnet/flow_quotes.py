"""The orders that synthetic flow keeps on one side of a book."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from kit.testnet.flow_profile import BPS, FlowProfile
from kit.testnet.ladder import queue
from kit.testnet.symbols import Side
from kit.testnet.venue import Account, Market, Order, Venue

MOST_AT_TOUCH = 40
FAR_CHURN = 0.1
"""How likely an order far away is changed, compared with one near the touch."""


class FlowSide:
    """One side: a touch (the best price it wants to show) and levels behind it.

    Prices are in ticks; a *depth* is a number of ticks behind the touch. Orders of users are never moved, only met.
    """

    def __init__(
        self, venue: Venue, market: Market, account: Account, side: Side, profile: FlowProfile, rng: random.Random
    ) -> None:
        self.side: Side = side
        self.sign = 1 if side == "BUY" else -1
        self.ladder = market.ladder(side)
        self.profile = profile
        self.touch = 0
        self.target = 0
        self.refilling = False
        self._venue = venue
        self._market = market
        self._account = account
        self._rng = rng
        self._stock: list[Order] = []

    def open_at(self, touch: int) -> None:
        """Fill the side from a touch to its full depth."""
        self.touch = touch
        self.restock()
        self.tend()

    def place(self, price: int, lots: int) -> None:
        """Place an order; what meets a user's order on the other side trades."""
        if price > 0 and lots > 0:
            order = self._venue.place_fast(self._market, self._account, self.side, price, lots)
            if order.resting:
                self._stock.append(order)

    def lots(self, quote: float, price: int) -> int:
        """Return an amount of quote in lots at a price, at least one."""
        info = self._market.info
        return max(round(quote * 1e8 / (price * info.quote_units)), 1)

    def pull(self, touch: int) -> None:
        """Cancel every order of ours that is better than a price."""
        for order in list(self._better_than(touch)):
            self._venue.cancel_fast(order)

    def advance(self, touch: int) -> None:
        """Move the touch towards the other side: lay levels up to it, and thin what stood at the old one."""
        distance = (touch - self.touch) * self.sign
        level = self.ladder.level(self.touch)
        for order in list(queue(level)) if level else ():
            if order.account is self._account and self._rng.random() < 0.7:
                self._venue.cancel_fast(order)
        self.touch = touch
        if distance > 0:
            self._lay(0, min(distance, self._ticks(self.profile.range_bps)))
        self.restock()

    def tend(self) -> None:
        """Cancel what lies beyond the range, lay levels where it is not reached or thin, and forget done orders."""
        wanted = self._ticks(self.profile.range_bps)
        count = deepest = 0
        beyond: list[Order] = []
        for level in self.ladder.levels():
            depth = self._depth_of(level.price_ticks)
            if depth > wanted * 1.3:
                beyond.extend(order for order in queue(level) if order.account is self._account)
            else:
                deepest = max(depth, deepest)
                count += depth <= wanted
        for order in beyond:
            self._venue.cancel_fast(order)
        expected = wanted / self._gap
        if deepest < wanted:
            self._lay(deepest, wanted)
            expected *= deepest / wanted
        for _ in range(round((0.95 * expected - count) * 0.2)):
            self._place_level(self._rng.randint(1, wanted))
        self._stock = [order for order in self._stock if order.resting]

    def restock(self) -> None:
        """Choose how much shall rest at the touch and place it, in a few orders."""
        self.target = self.lots(self.profile.touch.draw(self._rng), self.touch)
        missing = self.target - self.ladder.lots_at(self.touch)
        for _ in range(2):
            if missing <= 1:
                break
            part = self._rng.randint(1, missing)
            self.place(self.touch, part)
            missing -= part
        self.place(self.touch, missing)

    @property
    def empty(self) -> bool:
        """Tell whether nothing rests at the touch."""
        return not self.ladder.lots_at(self.touch)

    def refill(self) -> None:
        """Stock the touch again after takers emptied it."""
        self.refilling = False
        if self.empty:
            self.restock()

    def join_or_leave(self) -> None:
        """Let one order join the touch or leave it, whichever brings it nearer to the chosen amount."""
        rng = self._rng
        level = self.ladder.level(self.touch)
        here = level.lots if level else 0
        if rng.random() < 0.01:
            self.target = self.lots(self.profile.touch.draw(rng), self.touch)
        join = rng.random() < (0.7 if here < self.target else 0.3)
        crowded = level is not None and level.count > MOST_AT_TOUCH
        if level is None or (join and not crowded):
            self.place(self.touch, self.lots(self.profile.touch_order.draw(rng), self.touch))
            return
        order = level.tail
        for _ in range(rng.randrange(min(level.count, 6))):
            if order is not None and order.before is not None:
                order = order.before
        if order is not None and order.account is self._account:
            self._venue.cancel_fast(order)

    def churn(self, count: int) -> None:
        """Cancel some orders behind the touch, more of them near it, and place as many others."""
        rng = self._rng
        near = self._ticks(self.profile.churn_bps)
        everywhere = self._ticks(self.profile.range_bps)
        near_share = (1 - FAR_CHURN) * near / ((1 - FAR_CHURN) * near + FAR_CHURN * everywhere)
        for _ in range(count):
            order = self._pick(near)
            if order is None:
                continue
            self._venue.cancel_fast(order)
            same_price = rng.random() < 0.12
            if same_price:
                depth = self._depth_of(order.price_ticks)
            else:
                depth = int(rng.expovariate(1 / near) if rng.random() < near_share else rng.uniform(1, everywhere)) + 1
            if depth <= everywhere:
                self._place_level(depth)

    def _pick(self, near: int) -> Order | None:
        """Return a random order of ours behind the touch, ``None`` when a few tries find none."""
        rng, stock = self._rng, self._stock
        for _ in range(12):
            if not stock:
                return None
            index = rng.randrange(len(stock))
            order = stock[index]
            if not order.resting:
                stock[index] = stock[-1]
                stock.pop()
                continue
            depth = self._depth_of(order.price_ticks)
            if depth > 0 and rng.random() < FAR_CHURN + (1 - FAR_CHURN) * math.exp(-depth / near):
                return order
        return None

    def _lay(self, start: int, end: int) -> None:
        """Place levels at random depths from ``start`` to ``end``, both exclusive."""
        depth, gap = start, self._gap
        while True:
            depth += max(round(self._rng.expovariate(1 / gap)), 1)
            if depth >= end:
                return
            self._place_level(depth)

    def _place_level(self, depth: int) -> None:
        price = self.touch - self.sign * depth
        distance = depth / abs(self.touch) * BPS
        if price > 0:
            self.place(price, self.lots(self.profile.level_size(distance, self._rng), price))

    def _better_than(self, touch: int) -> Iterator[Order]:
        for level in self.ladder.levels():
            if (level.price_ticks - touch) * self.sign <= 0:
                return
            for order in queue(level):
                if order.account is self._account:
                    yield order

    def _depth_of(self, price: int) -> int:
        return (self.touch - price) * self.sign

    @property
    def _gap(self) -> int:
        return self._ticks(self.profile.gap_bps)

    def _ticks(self, bps: float) -> int:
        return max(round(bps / BPS * self.touch), 1)
