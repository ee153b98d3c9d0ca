"""Synthetic market activity: seeded random traders around a moving fair price.

Market makers keep about a thousand levels a side, follow the fair price and change their orders all the time; takers
come in clusters and in bursts. All of them are one market account of the exchange, and its orders meet users' orders by
the same rules as everybody's. What it draws from stands in ``kit.testnet.flow_profile``.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Awaitable, Callable

from kit.errors import InvalidInput
from kit.testnet.flow_profile import LIVELY, PROFILES, FlowProfile
from kit.testnet.flow_quotes import FlowSide
from kit.testnet.flow_traders import FairPrice, Heat, Makers, Takers
from kit.testnet.venue import Market, Venue

LATE_SECONDS = 1.0
SHORTEST_SLEEP = 0.002
STEP_SECONDS = 0.006
"""Time between the steps of one price move."""
HEAT_SECONDS = 0.5
TEND_RATE = 2.0


class SyntheticFlow:
    """Random traders on one symbol: ``prepare`` fills the book, ``run`` paces them, ``step`` acts synchronously.

    ``fair_price`` (quote) and ``profile`` default to the symbol's own; ``now`` is in seconds from 0. Equal seeds give
    equal books and trades as long as users do the same. ``on_publish`` is not called: whoever serves the market
    publishes at its own pace. Raises InvalidInput for an unknown symbol or a price below a hundred ticks.
    """

    def __init__(
        self,
        venue: Venue,
        symbol: str,
        seed: int = 1,
        *,
        fair_price: float | None = None,
        profile: FlowProfile | None = None,
    ) -> None:
        if symbol not in venue.markets:
            raise InvalidInput(f"the exchange has no symbol {symbol!r}; it has {', '.join(venue.markets)}")
        market = venue.markets[symbol]
        self.profile = profile = profile or PROFILES.get(symbol, LIVELY)
        self.on_publish: Callable[[Market], None] | None = None
        self.now = 0.0
        self.activity = 1.0
        self._least_price = 100 * float(market.info.tick_size)
        self._rng = rng = random.Random(f"{seed} {symbol}")
        price = self._checked_price(profile.fair_price if fair_price is None else float(fair_price))
        name = f"flow {symbol}"
        account = venue.accounts.get(name) or venue.create_account(name, fee_free=True, unlimited=True)
        self.fair = FairPrice(profile, price, rng)
        self._heat = Heat(profile, rng)
        self._makers = Makers(venue, market, account, profile, self.fair, rng)
        self._takers = Takers(venue, market, account, profile, rng)
        self._path: list[int] = []
        self._moved_at = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = 0

    def configure(
        self, *, volatility: float | None = None, activity: float | None = None, fair_price: float | None = None
    ) -> None:
        """Change what the traders do from now on.

        ``volatility`` and ``activity`` multiply the profile's movement and rates (0 is none, 1 the profile's own);
        ``fair_price`` (quote) is where the makers go with their next move. Raises InvalidInput for values that are
        negative or not finite.
        """
        for name, value in (("volatility", volatility), ("activity", activity)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InvalidInput(f"{name} is {value}; it must be a finite number, zero or above")
        if fair_price is not None:
            self.fair.jump(self._checked_price(float(fair_price)))
        if volatility is not None:
            self.fair.set_volatility(volatility)
        if activity is not None:
            self.activity = activity

    def prepare(self) -> None:
        """Fill the book and lay out the first events; only the first call does anything."""
        if self._agenda:
            return
        self._makers.open()
        self._at(HEAT_SECONDS, self._change_heat)
        profile = self.profile
        for rate, act in (
            (profile.touch_rate, self._makers.change_touch),
            (profile.churn_rate, self._makers.churn),
            (profile.taker_rate, self._strike),
            (profile.move_rate, self._move),
            (TEND_RATE, self._makers.tend),
        ):
            self._repeat(rate, act)

    def step(self, until: float) -> None:
        """Let everything happen that is due up to ``until`` seconds."""
        self.prepare()
        agenda = self._agenda
        while agenda[0][0] <= until:
            self.now, _, act = heapq.heappop(agenda)
            act()
        self.now = max(until, self.now)

    @property
    def next_event(self) -> float:
        """When something happens next, in seconds."""
        return self._agenda[0][0] if self._agenda else 0.0

    async def run(self, *, time: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Act until cancelled; a stall of more than a second is skipped, not made up for."""
        self.prepare()
        origin = time() - self.now
        while True:
            due = time() - origin
            if due - self.now > LATE_SECONDS:
                origin += due - self.now
                due = self.now
            self.step(due)
            await sleep(max(self.next_event - due, SHORTEST_SLEEP))

    def _at(self, time: float, act: Callable[[], None]) -> None:
        self._entries += 1  # equal times keep their order, and callables are never compared
        heapq.heappush(self._agenda, (time, self._entries, act))

    def _repeat(self, rate: float, act: Callable[[], None]) -> None:
        """Do something again and again, ``rate`` times a second while nobody is hurried or slowed."""

        def again() -> None:
            act()
            self._repeat(rate, act)

        rate_now = rate * self._heat.value * self.activity
        wait = self._rng.expovariate(rate_now) if rate_now > 0 else math.inf
        if wait < HEAT_SECONDS:
            self._at(self.now + wait, again)
        else:  # the rate may be another by then; waiting times have no memory, so asking again changes nothing
            self._at(self.now + HEAT_SECONDS, lambda: self._repeat(rate, act))

    def _change_heat(self) -> None:
        self._heat.move(HEAT_SECONDS)
        self._at(self.now + HEAT_SECONDS, self._change_heat)

    def _strike(self) -> None:
        self._takers.strike()
        for side in (self._makers.bids, self._makers.asks):
            self._refill_later(side)

    def _refill_later(self, side: FlowSide) -> None:
        if side.empty and not side.refilling:
            side.refilling = True
            self._at(self.now + self._rng.expovariate(1 / self.profile.refill_seconds), side.refill)

    def _move(self) -> None:
        if self._path:
            return
        self._path = self._makers.path(self.now - self._moved_at, self._heat.value)
        self._moved_at = self.now
        if self._path:
            self._follow()

    def _follow(self) -> None:
        """Make way for the next price on the path, and arrive there a moment later."""
        bid = self._path[0]
        self._takers.strike("BUY" if bid > self._makers.bids.touch else "SELL")
        self._makers.give_way(bid, self._takers)
        if self._rng.random() < self.profile.gap_share:
            self._at(self.now + STEP_SECONDS, self._arrive)
        else:
            self._arrive()

    def _arrive(self) -> None:
        if not self._makers.arrive(self._path.pop(0)):
            self._path.clear()
        if self._path:
            self._at(self.now + STEP_SECONDS, self._follow)

    def _checked_price(self, price: float) -> float:
        if not (math.isfinite(price) and price >= self._least_price):
            raise InvalidInput(f"fair_price is {price}; it must be finite and at least {self._least_price}, in quote")
        return price
