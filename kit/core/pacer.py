"""The waiting of a real-time clock: for the next tick, past blocked loops and clocks that are set."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from kit.core.ticks import TickGrid
from kit.core.time_source import TimeSource

logger = logging.getLogger(__name__)

# Sleeping in pieces finds a wall clock that was set, or a machine that slept, within a second.
_LONGEST_SLEEP = 1.0


class SteadyTime:
    """The wall clock without its steps back, which would freeze a clock that waits for its next tick.

    A step back of more than ``tolerance`` seconds is held by a shift, so that time goes on at its pace; a later step
    forward gives the shift back first. Other steps forward, such as a machine's sleep, show as they are.
    """

    def __init__(self, source: TimeSource, tolerance: float) -> None:
        self._source = source
        self._tolerance = tolerance
        self._shift = 0.0
        # One tuple, so that a reader on another thread cannot see halves of two.
        self._mark = (source.time(), source.monotonic())

    def now(self) -> float:
        """Return the time, seconds since the epoch."""
        monotonic = self._source.monotonic()
        last, last_monotonic = self._mark
        expected = last + (monotonic - last_monotonic)
        now = self._source.time() + self._shift
        if expected - now > self._tolerance:
            logger.warning("the wall clock was set back by %.3f s; ticks go on at their pace", expected - now)
            self._shift += expected - now
            now = expected
        elif self._shift > 0.0 and now - expected > self._tolerance:
            given_back = min(self._shift, now - expected)
            self._shift -= given_back
            now -= given_back
        self._mark = (now, monotonic)
        return now


@dataclass(frozen=True, slots=True)
class DueTick:
    """A tick to run now: its time, how many seconds ago that was, and how many ticks before it were skipped."""

    timestamp: float
    lateness: float
    skipped: int


class Pacer:
    """Wait for one tick after the other; those that pass meanwhile are skipped and counted."""

    def __init__(self, source: TimeSource, grid: TickGrid) -> None:
        self._source = source
        self._grid = grid
        self._steady = SteadyTime(source, tolerance=max(grid.tick_size, 1.0))
        self._index = 0

    def now(self) -> float:
        """Return the time, seconds since the epoch."""
        return self._steady.now()

    def begin(self) -> float:
        """Begin at the last tick before now and return its time."""
        self._index = self._grid.index_at(self.now())
        return self._grid.time_of(self._index)

    async def next(self, end: float) -> DueTick | None:
        """Wait for the next tick; ``None``, at once, when none is left up to ``end``."""
        # What came due while the children worked is skipped, and the next one is waited for: ticks in a hurry would
        # help nobody, and the loop's other tasks need the time.
        due = max(self._index, self._grid.index_at(self.now())) + 1
        if self._grid.time_of(due) > end:
            return None
        await self._sleep_until(self._grid.time_of(due))
        # The loop may have been blocked meanwhile: the latest tick that is due runs, those before it are skipped.
        now = self.now()
        latest = max(due, self._grid.index_at(min(now, end)))
        tick = DueTick(
            timestamp=self._grid.time_of(latest),
            lateness=max(now - self._grid.time_of(latest), 0.0),
            skipped=latest - self._index - 1,
        )
        self._index = latest
        return tick

    async def finish(self, end: float) -> int:
        """Wait for ``end`` and return how many ticks were missed before it, too late to run any of them."""
        missed = max(self._grid.index_at(end) - self._index, 0)
        await self._sleep_until(end)
        return missed

    async def _sleep_until(self, timestamp: float) -> None:
        while (wait := timestamp - self.now()) > 0:
            await self._source.sleep(min(wait, _LONGEST_SLEEP))
