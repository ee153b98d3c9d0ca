"""A price band that is set anew around the price from time to time."""

from __future__ import annotations

import math
from decimal import Decimal

from kit.strategy.market_making_params import PureMarketMakingParams

_ONE = Decimal(1)


class MovingPriceBand:
    """``floor`` and ``ceiling`` in quote, ``None`` where there is none.

    The price that they are measured from is fixed for ``price_band_refresh_time`` s; changed distances count at once.
    """

    __slots__ = ("_anchor", "_distances", "_set_at", "ceiling", "floor")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the band; the next update sets it anew."""
        self._set_at = -math.inf
        self._anchor = Decimal(0)
        self._distances: tuple[Decimal | None, Decimal | None] | None = None
        self.floor: Decimal | None = None
        self.ceiling: Decimal | None = None

    def update(self, now: float, price: Decimal, params: PureMarketMakingParams) -> None:
        """Set the band around ``price`` where its time is over (formula 3)."""
        distances = low, high = params.price_floor_pct, params.price_ceiling_pct
        if now - self._set_at >= params.price_band_refresh_time:
            self._set_at, self._anchor = now, price
        elif distances == self._distances:
            return
        self._distances = distances
        self.floor = None if low is None else self._anchor * (_ONE + low)
        self.ceiling = None if high is None else self._anchor * (_ONE + high)
