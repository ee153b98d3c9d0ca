"""When a market maker may place orders, and when it should replace them."""

from __future__ import annotations

import math


class RefreshTimers:
    """Two times, in seconds since the epoch, as the reference keeps them.

    From ``create_at`` on a proposal is built, and after it (strictly) orders are placed; from ``cancel_at`` on resting
    orders are replaced. So with a refresh time of 5 s, orders placed at t=1 are cancelled at t=6 and replaced at t=7.
    ``hold_until`` is the end of the pause after the last fill.
    """

    __slots__ = ("_filled_at", "_placed_at", "cancel_at", "create_at", "hold_until")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: orders may be placed at once."""
        self.create_at = -math.inf
        self.cancel_at = -math.inf
        self.hold_until = -math.inf
        self._placed_at = -math.inf
        self._filled_at = -math.inf

    def placed(self, now: float, refresh_time: float) -> None:
        """Note that orders were placed; they are due for replacement ``refresh_time`` seconds later."""
        self._placed_at = now
        following = now + refresh_time
        if self.create_at <= now:
            self.create_at = following
        if self.cancel_at <= now:
            self.cancel_at = min(self.create_at, following)

    def filled(self, now: float, delay: float) -> None:
        """Note that an order was filled whole: nothing new for ``delay`` seconds, and the rest goes by then."""
        self._filled_at = now
        self.create_at = self.hold_until = now + delay
        self.cancel_at = min(self.cancel_at, self.create_at)

    def withdrawn(self, now: float) -> None:
        """Note that orders were withdrawn out of turn: quote again as soon as possible, but keep a fill's delay."""
        self._placed_at = -math.inf
        if self.hold_until <= now:
            self._filled_at = -math.inf
        self.create_at = min(self.create_at, max(now, self.hold_until))
        # What is placed next rests for its whole time, not for what was left of the withdrawn orders' time.
        self.cancel_at = min(self.cancel_at, self.create_at)

    def reschedule(self, refresh_time: float, delay: float) -> None:
        """Set the times anew, as if the last placement and the last fill had known these seconds."""
        due = self._placed_at + refresh_time
        self.create_at = due
        if self._filled_at >= self._placed_at:  # else its pause is over: orders were placed since
            self.create_at = self.hold_until = self._filled_at + delay
        self.cancel_at = min(due, self.create_at)
