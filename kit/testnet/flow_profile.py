"""What synthetic flow looks like: every number that it draws from, in quote amounts and basis points.

Amounts are in quote and distances in basis points of the price, so a profile serves any symbol. The presets are fitted
to the recorded BTCUSDT spot streams (``kit.testnet.stream_stats.RECORDED_SPOT``); a test compares what comes out with
them. Only the movement of the price differs on purpose: ``LIVELY`` moves several times as much as the quiet minutes
that were recorded, so that quotes a tenth of a percent away are reached within seconds.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, replace

from kit.errors import InvalidInput

BPS = 10_000


class Quantiles:
    """A distribution of positive values given by some of its quantiles; between them it is log-linear.

    ``points`` are (share of values below, value), from share 0 to share 1, both growing.
    """

    def __init__(self, *points: tuple[float, float]) -> None:
        self._shares = [share for share, _ in points]
        self._logs = [math.log(value) for _, value in points]
        if self._shares[0] != 0 or self._shares[-1] != 1 or sorted(self._shares) != self._shares:
            raise InvalidInput(f"the shares {self._shares} must grow from 0 to 1")

    def draw(self, rng: random.Random) -> float:
        """Return a random value."""
        share = rng.random()
        index = bisect_right(self._shares, share)
        low, high = self._shares[index - 1], self._shares[index]
        start, end = self._logs[index - 1], self._logs[index]
        return math.exp(start + (end - start) * (share - low) / (high - low))


@dataclass(frozen=True)
class Zone:
    """Sizes of orders that rest up to ``distance_bps`` from the best price; lognormal, median in quote."""

    distance_bps: float
    median: float
    sigma: float
    largest: float

    def draw(self, rng: random.Random) -> float:
        """Return a random order size in quote."""
        return min(self.median * math.exp(rng.gauss(0.0, self.sigma)), self.largest)


@dataclass(frozen=True)
class FlowProfile:
    """The numbers of one market's random traders.

    Price: ``fair_price`` at the start (quote); ``volatility_bps`` its random walk in one second; ``wiggle_bps`` and
    ``wiggle_seconds`` size and memory of the mean-reverting part on top; ``move_rate`` how often a second quotes
    follow it; ``heat_sigma`` and ``heat_seconds`` how unevenly in time everything happens.

    Book: levels lie ``gap_bps`` apart on average, ``range_bps`` deep; ``zones`` are the order sizes by distance,
    ``touch`` the amount that rests at the best price and ``touch_order`` that of one order there, ``touch_rate`` how
    often a second one joins or leaves. ``churn_rate`` a second, between 1 and ``churn_most`` orders further away are
    cancelled and others placed, ``churn_bps`` being how far from the best price they typically are.

    Trades: ``taker_rate`` takers a second, each with 1 to ``cluster_most`` trades (``cluster_alpha``: Pareto exponent)
    of size ``trade``; ``same_side`` how likely one trades on the side of the one before; ``whale_share`` of them trade
    ``cluster_most`` times or down to a quarter of that; ``walk_share`` of them accept prices up to ``walk_bps`` beyond
    the best; an emptied best price stays empty for ``refill_seconds``; ``gap_share`` of price moves leave a gap between
    bid and ask for a moment.
    """

    fair_price: float
    volatility_bps: float
    wiggle_bps: float
    wiggle_seconds: float
    move_rate: float
    heat_sigma: float
    heat_seconds: float
    gap_bps: float
    range_bps: float
    zones: tuple[Zone, ...]
    touch: Quantiles
    touch_order: Quantiles
    touch_rate: float
    churn_rate: float
    churn_most: int
    churn_alpha: float
    churn_bps: float
    taker_rate: float
    cluster_alpha: float
    cluster_most: int
    trade: Quantiles
    same_side: float
    walk_share: float
    walk_bps: float
    refill_seconds: float
    whale_share: float
    gap_share: float

    def level_size(self, distance_bps: float, rng: random.Random) -> float:
        """Return a random size in quote for an order at a distance from the best price."""
        for zone in self.zones:
            if distance_bps <= zone.distance_bps:
                return zone.draw(rng)
        return self.zones[-1].draw(rng)


_BTC = 61_800.0
"""The price at which the recorded amounts were turned into quote."""

RECORDED = FlowProfile(
    fair_price=_BTC,
    volatility_bps=1.05,
    wiggle_bps=0.0,
    wiggle_seconds=3.0,
    move_rate=0.75,
    heat_sigma=0.75,
    heat_seconds=8.0,
    gap_bps=0.0437,
    range_bps=44.0,
    zones=(
        Zone(0.9, 0.077 * _BTC, 1.1, 3 * _BTC),
        Zone(8.7, 0.040 * _BTC, 1.8, 3 * _BTC),
        Zone(math.inf, 0.0025 * _BTC, 3.0, 6 * _BTC),
    ),
    touch=Quantiles(
        (0, 0.005 * _BTC),
        (0.1, 0.5 * _BTC),
        (0.25, 1.6 * _BTC),
        (0.5, 3.6 * _BTC),
        (0.75, 5.0 * _BTC),
        (0.9, 5.8 * _BTC),
        (1, 8.0 * _BTC),
    ),
    touch_order=Quantiles((0, 10.0), (0.25, 0.002 * _BTC), (0.5, 0.05 * _BTC), (0.9, 0.4 * _BTC), (1, 1.5 * _BTC)),
    touch_rate=92.0,
    churn_rate=50.0,
    churn_most=300,
    churn_alpha=1.2,
    churn_bps=6.0,
    taker_rate=9.0,
    cluster_alpha=1.6,
    cluster_most=400,
    trade=Quantiles(
        (0, 0.00001 * _BTC),
        (0.1, 0.00009 * _BTC),
        (0.25, 0.0001 * _BTC),
        (0.5, 0.0005 * _BTC),
        (0.75, 0.014 * _BTC),
        (0.9, 0.058 * _BTC),
        (0.99, 0.324 * _BTC),
        (1, 1.0 * _BTC),
    ),
    same_side=0.7,
    walk_share=0.2,
    walk_bps=0.2,
    refill_seconds=0.06,
    whale_share=0.003,
    gap_share=1.0,
)
"""BTCUSDT as it was recorded, the movement of its price included."""

LIVELY = replace(
    RECORDED, wiggle_bps=10.0, wiggle_seconds=2.0, move_rate=2.5, churn_rate=32.0, taker_rate=1.5, gap_share=0.25
)
"""BTCUSDT with a price that moves several times as much."""


def quieter(profile: FlowProfile, *, fair_price: float, rate: float, size: float, levels: float) -> FlowProfile:
    """Return a profile with less of everything: rates, sizes and the number of levels, as shares of the original's."""
    return replace(
        profile,
        fair_price=fair_price,
        gap_bps=profile.gap_bps / levels,
        zones=tuple(
            Zone(zone.distance_bps, zone.median * size, zone.sigma, zone.largest * size) for zone in profile.zones
        ),
        touch_rate=profile.touch_rate * rate,
        churn_rate=profile.churn_rate * rate,
        taker_rate=profile.taker_rate * rate,
    )


PROFILES: dict[str, FlowProfile] = {
    "BTCUSDT": LIVELY,
    "ETHUSDT": quieter(LIVELY, fair_price=2_650.0, rate=0.3, size=0.5, levels=0.4),
}
"""The profile of each default symbol."""
