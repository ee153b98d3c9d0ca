"""The exchange's own clock, which can be set wrong on purpose, and the time that market activity runs by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class ServerClock:
    """Tells the exchange's time in milliseconds since the epoch, with a skew that may end by itself.

    ``wall`` and ``monotonic`` tell the time in seconds.
    """

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self.monotonic = monotonic
        self._skew_ms = 0
        self._skewed_until: float | None = None

    def now_ms(self) -> int:
        """Return the exchange's time."""
        return int(self._wall() * 1000) + (self.skew_ms if self._skew_ms else 0)

    @property
    def skew_ms(self) -> int:
        """How far the clock is ahead of the machine's, in ms."""
        if self._skewed_until is not None and self.monotonic() >= self._skewed_until:
            self._skew_ms, self._skewed_until = 0, None
        return self._skew_ms

    def skew(self, offset: float, seconds: float | None = None) -> None:
        """Run ``offset`` seconds ahead (negative: behind), for ``seconds`` or until set again."""
        self._skew_ms = round(offset * 1000)
        self._skewed_until = None if seconds is None else self.monotonic() + seconds


class ActivityTime:
    """Seconds that market activity runs by: they stand still while frozen."""

    def __init__(
        self, monotonic: Callable[[], float], sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._lost = monotonic()
        self._frozen_at: float | None = None
        self._thawed = asyncio.Event()
        self._thawed.set()

    @property
    def frozen(self) -> bool:
        """Tell whether time stands still."""
        return self._frozen_at is not None

    def time(self) -> float:
        """Return the seconds since the start that were not frozen."""
        now = self._monotonic() if self._frozen_at is None else self._frozen_at
        return now - self._lost

    def freeze(self) -> None:
        """Stop time."""
        if self._frozen_at is None:
            self._frozen_at = self._monotonic()
            self._thawed.clear()

    def thaw(self) -> None:
        """Let time go on from where it stopped."""
        if self._frozen_at is not None:
            self._lost += self._monotonic() - self._frozen_at
            self._frozen_at = None
            self._thawed.set()

    async def sleep(self, seconds: float) -> None:
        """Wait until so many unfrozen seconds have passed; lets other tasks run even for zero."""
        deadline = self.time() + seconds
        await self._sleep(max(0.0, seconds))
        while True:
            await self._thawed.wait()
            left = deadline - self.time()
            if left <= 0:
                return
            await self._sleep(left)
