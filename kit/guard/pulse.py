"""Heartbeats heard, and when their absence means that the core stands still."""

from __future__ import annotations

_OWN_SLEEP = 0.5


class Pulse:
    """Tells a stalled core from a guard that was itself not running.

    ``limit`` is how many seconds without a heartbeat are a stall. All times are seconds of one monotonic clock.
    """

    def __init__(self, limit: float, now: float) -> None:
        self.limit = limit
        self.stalled = False
        self._last = now
        self._looked = now

    @property
    def interval(self) -> float:
        """Return how often to look, seconds."""
        return min(max(self.limit / 40, 0.02), 0.25)

    def age(self, now: float) -> float:
        """Return the seconds since the last heartbeat."""
        return now - self._last

    def beat(self, now: float) -> float:
        """Take a heartbeat in; return the seconds since the one before."""
        gap = now - self._last
        self._last = now
        self.stalled = False
        return gap

    def look(self, now: float) -> bool:
        """Tell, once a stall, that the limit is passed.

        Where this process itself did not run (suspended, or starved), heartbeats may wait unread in the pipe: that
        time does not count.
        """
        own_gap = now - self._looked
        self._looked = now
        if own_gap > self.interval + _OWN_SLEEP:
            self._last = min(now, self._last + own_gap)
        if self.stalled or now - self._last <= self.limit:
            return False
        self.stalled = True
        return True
