"""A price band that is set anew around the price from time to time."""

from __future__ import annotations

import math
from decimal import Decimal

from kit.strategy.market_making_params import PureMarketMakingParams

_ONE = Decimal(1)


class MovingPriceBand:
    """``floor`` and ``ceiling`` in quote, ``None`` where there is none; fixed for ``price_band_refresh_time`` s."""

    __slots__ = ("_set_at", "ceiling", "floor")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the band; the next update sets it anew."""
        self._set_at = -math.inf
        self.floor: Decimal | None = None
        self.ceiling: Decimal | None = None

    def update(self, now: float, price: Decimal, params: PureMarketMakingParams) -> None:
        """Set the band around ``price`` where its time is over (formula 3)."""
        if now - self._set_at < params.price_band_refresh_time:
            return
        self._set_at = now
        low, high = params.price_floor_pct, params.price_ceiling_pct
        self.floor = None if low is None else price * (_ONE + low)
        self.ceiling = None if high is None else price * (_ONE + high)
