"""Time that moves only when told to: the test's clock under clocks, throttlers and network loops."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from kit.errors import InvalidInput

_MOST_TURNS = 1000


class ManualTimer:
    """A call that waits for its time; ``cancel`` it, or let it come."""

    __slots__ = ("callback", "cancelled", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Take the call back; harmless when it was made already."""
        self.cancelled = True


class ManualTime:
    """A ``TimeSource`` for tests: time stands still until ``advance``, ``jump`` or ``step_wall``.

    ``start`` is the wall clock at the beginning, in seconds since the epoch; the monotonic clock begins at 0. Sleepers
    and timers are woken in order of their time, and everything that can run runs before time moves on, so that a test
    of hours takes milliseconds and gives the same result every time.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, ManualTimer]] = []

    def __repr__(self) -> str:
        return f"<ManualTime {self.time():g}, {len(self._timers)} waiting>"

    def time(self) -> float:
        """Return the wall clock, seconds since the epoch."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Return the seconds that passed since this object was made; wall clock steps do not show."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until ``advance`` has moved time on by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> ManualTimer:
        """Call ``callback`` from inside the ``advance`` that reaches its time."""
        timer = ManualTimer(self._elapsed + max(seconds, 0.0), callback)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    @property
    def pending(self) -> int:
        """Return how many sleepers and timers wait."""
        return sum(not timer.cancelled for _, _, timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Move time on by ``seconds``, waking sleepers at their times, and let tasks settle after each.

        Raises ``InvalidInput`` for negative or NaN ``seconds``.
        """
        target = self._elapsed + _forward(seconds)
        await self.settle()
        while self._timers and self._timers[0][0] <= target:
            due, _, timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            self._elapsed = max(self._elapsed, due)
            timer.callback()
            await self.settle()
        self._elapsed = max(self._elapsed, target)
        await self.settle()

    def jump(self, seconds: float) -> None:
        """Move time on without waking anybody, as a cell that blocks the loop does; ``advance(0)`` wakes the late."""
        self._elapsed += _forward(seconds)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back by ``seconds``, as an operator or a time server does."""
        self._start += seconds

    async def settle(self) -> None:
        """Let every task run until all of them wait for something (real sockets and threads are not waited for)."""
        # asyncio has no public word for "nothing is ready"; without the queue a fixed number of turns has to do.
        ready = getattr(asyncio.get_running_loop(), "_ready", None)
        for _ in range(_MOST_TURNS):
            await asyncio.sleep(0)
            if ready is not None and not ready:
                return


def _forward(seconds: float) -> float:
    if not 0.0 <= seconds < float("inf"):
        raise InvalidInput(f"time moves forward by a finite number of seconds, got {seconds!r}")
    return seconds
