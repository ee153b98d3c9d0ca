"""Who trades in synthetic flow: the fair price, the makers that follow it, the takers, and how busy they are."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from kit.testnet.flow_profile import BPS, FlowProfile
from kit.testnet.flow_quotes import FlowSide
from kit.testnet.symbols import Side
from kit.testnet.venue import Account, Market, Order, Venue

TICKS_A_STEP = 150
MOST_STEPS = 6


class FairPrice:
    """The price that the makers believe in: a random walk, and a part that always comes back to zero."""

    def __init__(self, profile: FlowProfile, price: float, rng: random.Random) -> None:
        self._profile = self._base = profile
        self._log = math.log(price)
        self._wiggle = 0.0
        self._rng = rng

    @property
    def value(self) -> float:
        """The price now, in quote."""
        return math.exp(self._log + self._wiggle / BPS)

    def move(self, seconds: float, heat: float) -> float:
        """Let time pass and return the new price; ``heat`` multiplies the walk's size."""
        profile, gauss = self._profile, self._rng.gauss
        self._log += profile.volatility_bps / BPS * math.sqrt(seconds) * heat * gauss(0.0, 1.0)
        kept = math.exp(-seconds / profile.wiggle_seconds)
        self._wiggle = self._wiggle * kept + profile.wiggle_bps * math.sqrt(1 - kept * kept) * gauss(0.0, 1.0)
        return self.value

    def set_volatility(self, factor: float) -> None:
        """Move ``factor`` times as much as the profile says."""
        base = self._base
        self._profile = replace(base, volatility_bps=base.volatility_bps * factor, wiggle_bps=base.wiggle_bps * factor)

    def jump(self, price: float) -> None:
        """Go to another price at once."""
        self._log = math.log(price) - self._wiggle / BPS


class Heat:
    """How busy everybody is: a factor around 1 that stays high or low for a while (log-normal, mean-reverting)."""

    def __init__(self, profile: FlowProfile, rng: random.Random) -> None:
        self.value = 1.0
        self._profile = profile
        self._log = 0.0
        self._rng = rng

    def move(self, seconds: float) -> None:
        """Let time pass."""
        sigma = self._profile.heat_sigma
        kept = math.exp(-seconds / self._profile.heat_seconds)
        self._log = self._log * kept + sigma * math.sqrt(1 - kept * kept) * self._rng.gauss(0.0, 1.0)
        self.value = math.exp(self._log - sigma * sigma / 2)


def pareto(rng: random.Random, alpha: float, most: int) -> int:
    """Return a random whole number from 1 to ``most``, a Pareto variable cut to whole numbers."""
    return min(int(rng.random() ** (-1 / alpha)), most)  # the share of 1 is 1 - 2**-alpha


class Makers:
    """Both sides of the book, one tick apart, around the fair price."""

    def __init__(
        self, venue: Venue, market: Market, account: Account, profile: FlowProfile, fair: FairPrice, rng: random.Random
    ) -> None:
        self.bids = FlowSide(venue, market, account, "BUY", profile, rng)
        self.asks = FlowSide(venue, market, account, "SELL", profile, rng)
        self.fair = fair
        self._profile = profile
        self._tick = float(market.info.tick_size)
        self._rng = rng

    def open(self) -> None:
        """Fill both sides around the fair price."""
        bid = self._fair_bid()
        self.bids.open_at(bid)
        self.asks.open_at(bid + 1)

    def path(self, seconds: float, heat: float) -> list[int]:
        """Let the fair price move and return the bids, in ticks, through which the quotes go to follow it."""
        self.fair.move(seconds, heat)
        distance = self._fair_bid() - self.bids.touch
        steps = min(1 + abs(distance) // TICKS_A_STEP, MOST_STEPS) if distance else 0
        return [self.bids.touch + distance * (step + 1) // steps for step in range(steps)]

    def give_way(self, bid: int, takers: Takers) -> None:
        """Clear the way for the best bid to move to a price and the best ask to the tick above.

        The makers on that side take their orders back, and takers trade with the users' orders that stand there.
        """
        up = bid > self.bids.touch
        (self.asks if up else self.bids).pull(bid + 1 if up else bid)
        takers.sweep("BUY" if up else "SELL", bid if up else bid + 1)

    def arrive(self, bid: int) -> bool:
        """Quote around the new price; in front of users' orders that still stand in the way, and then return False."""
        up = bid > self.bids.touch
        wall = (self.asks if up else self.bids).ladder.best
        free = wall is None or (wall.price_ticks > bid if up else wall.price_ticks <= bid)
        if wall is not None and not free:
            bid = wall.price_ticks - 1 if up else wall.price_ticks
        ahead, behind = (self.asks, self.bids) if up else (self.bids, self.asks)
        ahead.touch, touch = (bid + 1, bid) if up else (bid, bid + 1)
        behind.advance(touch)
        ahead.restock()
        return free

    def tend(self) -> None:
        """Keep both sides as deep as they shall be."""
        self.bids.tend()
        self.asks.tend()

    def change_touch(self) -> None:
        """Let an order join or leave one of the best prices."""
        self._any_side().join_or_leave()

    def churn(self) -> None:
        """Replace a few orders behind the best price, now and then many."""
        self._any_side().churn(pareto(self._rng, self._profile.churn_alpha, self._profile.churn_most))

    def _any_side(self) -> FlowSide:
        return self.bids if self._rng.random() < 0.5 else self.asks

    def _fair_bid(self) -> int:
        return max(math.floor(self.fair.value / self._tick), 2)


class Takers:
    """Orders that trade at once, in clusters, with a liking for the side of the one before."""

    def __init__(
        self, venue: Venue, market: Market, account: Account, profile: FlowProfile, rng: random.Random
    ) -> None:
        self._venue = venue
        self._market = market
        self._account = account
        self._profile = profile
        self._rng = rng
        self._side: Side = "BUY"

    def strike(self, side: Side | None = None) -> None:
        """Trade a cluster against the best price, or a little beyond."""
        rng, profile = self._rng, self._profile
        if side is not None:
            self._side = side
        elif rng.random() >= profile.same_side:
            self._side = "SELL" if self._side == "BUY" else "BUY"
        best = (self._market.asks if self._side == "BUY" else self._market.bids).best
        if best is None:
            return
        walk = round(best.price_ticks * profile.walk_bps / BPS) if rng.random() < profile.walk_share else 0
        limit = best.price_ticks + (walk if self._side == "BUY" else -walk)
        count = pareto(rng, profile.cluster_alpha, profile.cluster_most)
        if rng.random() < profile.whale_share:
            count = rng.randint(profile.cluster_most // 4, profile.cluster_most)
        for _ in range(count):
            order = self._take(self._side, limit, profile.trade.draw(rng))
            if order.status == "EXPIRED":
                return  # nothing is left up to the limit

    def sweep(self, side: Side, limit: int) -> None:
        """Take users' orders up to a limit, at most what usually rests at a best price."""
        best = (self._market.asks if side == "BUY" else self._market.bids).best
        if best is not None and (best.price_ticks <= limit if side == "BUY" else best.price_ticks >= limit):
            self._take(side, limit, self._profile.touch.draw(self._rng))

    def _take(self, side: Side, limit: int, quote: float) -> Order:
        lots = max(round(quote * 1e8 / (limit * self._market.info.quote_units)), 1)
        return self._venue.place_fast(self._market, self._account, side, limit, lots, time_in_force="IOC")
