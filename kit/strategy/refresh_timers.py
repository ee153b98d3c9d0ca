"""When a market maker may place orders, and when it should replace them."""

from __future__ import annotations

import math


class RefreshTimers:
    """Two times, in seconds since the epoch, as the reference keeps them.

    From ``create_at`` on a proposal is built, and after it (strictly) orders are placed; from ``cancel_at`` on resting
    orders are replaced. So with a refresh time of 5 s, orders placed at t=1 are cancelled at t=6 and replaced at t=7.
    ``hold_until`` is the end of the pause after the last fill.
    """

    __slots__ = ("cancel_at", "create_at", "hold_until")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: orders may be placed at once."""
        self.create_at = -math.inf
        self.cancel_at = -math.inf
        self.hold_until = -math.inf

    def placed(self, now: float, refresh_time: float) -> None:
        """Note that orders were placed; they are due for replacement ``refresh_time`` seconds later."""
        following = now + refresh_time
        if self.create_at <= now:
            self.create_at = following
        if self.cancel_at <= now:
            self.cancel_at = min(self.create_at, following)

    def filled(self, now: float, delay: float) -> None:
        """Note that an order was filled whole: nothing new for ``delay`` seconds, and the rest goes by then."""
        self.create_at = self.hold_until = now + delay
        self.cancel_at = min(self.cancel_at, self.create_at)

    def withdrawn(self, now: float) -> None:
        """Note that orders were withdrawn out of turn: quote again as soon as possible, but keep a fill's delay."""
        self.create_at = min(self.create_at, max(now, self.hold_until))
