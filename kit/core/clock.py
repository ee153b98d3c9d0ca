"""The heartbeat: time sources, and the clock that ticks its children on the multiples of its tick size."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Protocol

from kit.core.clock_children import ChildErrorHandler, ClockChild, ClockChildren
from kit.core.manual_time import ManualTime
from kit.core.pubsub import PubSub
from kit.core.ticks import ClockStats, TickGrid, TickMeter
from kit.errors import InvalidInput, NotReady
from kit.types.events import ClockLateEvent, MarketEvent

__all__ = [
    "SYSTEM_TIME",
    "Clock",
    "ClockChild",
    "ClockMode",
    "ClockStats",
    "ManualTime",
    "SystemTime",
    "TimeSource",
    "Timer",
]

logger = logging.getLogger(__name__)

MIN_TICK_SIZE = 0.01
# Sleeping in pieces finds a wall clock that was set, or a machine that slept, within a second.
_LONGEST_SLEEP = 1.0
_LOG_PAUSE = 10.0


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Take the call back; harmless when it was made already."""
        ...


class TimeSource(Protocol):
    """Where time comes from; handed to everything that waits, so that tests and simulations can move it."""

    def time(self) -> float:
        """Return the wall clock, seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return a clock in seconds that is never set; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less lets other tasks run once."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` after ``seconds`` on the loop that runs on this thread."""
        ...


class SystemTime:
    """The machine's own time."""

    def time(self) -> float:
        """Return the wall clock, seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return the clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running loop."""
        await asyncio.sleep(max(seconds, 0.0))

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` on the running loop; raises ``RuntimeError`` where none runs."""
        return asyncio.get_running_loop().call_later(max(seconds, 0.0), callback)


SYSTEM_TIME = SystemTime()


class ClockMode(Enum):
    """Whether ticks wait for their time or follow each other at once."""

    REALTIME = "realtime"
    BACKTEST = "backtest"


class _SteadyTime:
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


class Clock:
    """Tick children on the multiples of ``tick_size`` (seconds, at least 0.01) since the epoch.

    REALTIME: ``run`` waits for each tick's time; its lateness is measured. Ticks that pass while children work, or
    while a cell blocks the loop, are skipped, counted and told by a ``ClockLate`` event on ``pubsub``, which also
    tells of a tick that began more than ``late_threshold`` seconds late; then ticks go on aligned. BACKTEST:
    ``backtest_til`` ticks without waiting.

    A run starts the children at its begin, ticks at the times t with begin < t <= end, and stops the children at its
    end, however it ends; then the clock can run again. An exception of a child is isolated, logged, counted in
    ``stats`` and given to ``on_child_error(child, error, timestamp)``; a ``StopTrading`` error that this handler
    raises ends the run. A ``StopIteration`` from a tick ends the run quietly.

    Raises ``InvalidInput`` for arguments out of range.
    """

    def __init__(
        self,
        mode: ClockMode = ClockMode.REALTIME,
        tick_size: float = 1.0,
        start_time: float = 0.0,
        end_time: float = math.inf,
        *,
        time_source: TimeSource = SYSTEM_TIME,
        late_threshold: float = 0.25,
    ) -> None:
        if not MIN_TICK_SIZE <= tick_size < math.inf:
            raise InvalidInput(f"tick_size must be at least {MIN_TICK_SIZE} s and finite, got {tick_size!r}")
        if not (math.isfinite(start_time) and end_time >= start_time):
            raise InvalidInput(f"the times of a clock must go from start to end, got {start_time!r} to {end_time!r}")
        if not late_threshold >= 0:
            raise InvalidInput(f"late_threshold must be zero or more seconds, got {late_threshold!r}")
        self.mode = mode
        self.pubsub = PubSub()
        self._start_time, self._end_time = start_time, end_time
        self._source = time_source
        self._grid = TickGrid(tick_size)
        self._meter = TickMeter(tick_size, late_threshold)
        self._children = ClockChildren()
        self._steady = _SteadyTime(time_source, tolerance=max(tick_size, 1.0))
        self._current_timestamp = math.nan
        self._running = self._driven = False
        self._next_log = -math.inf

    @property
    def current_timestamp(self) -> float:
        """Return the time of the last tick, or of the run's begin before the first; NaN before the first run."""
        return self._current_timestamp

    @property
    def tick_size(self) -> float:
        """Return the time between ticks, seconds."""
        return self._grid.tick_size

    @property
    def children(self) -> tuple[ClockChild, ...]:
        """Return the children in the order in which they are ticked."""
        return self._children.all

    @property
    def running(self) -> bool:
        """Tell whether a run is open, that is, whether children are started."""
        return self._running

    @property
    def stats(self) -> ClockStats:
        """Return what was measured since the run began."""
        return self._meter.stats(self._children.errors)

    @property
    def on_child_error(self) -> ChildErrorHandler | None:
        """The handler ``(child, error, timestamp)`` of children's errors, or ``None``."""
        return self._children.on_error

    @on_child_error.setter
    def on_child_error(self, handler: ChildErrorHandler | None) -> None:
        self._children.on_error = handler

    def time(self) -> float:
        """Return the finest current time, seconds since the epoch: of the source, in a backtest of the last tick."""
        return self._steady.now() if self.mode is ClockMode.REALTIME else self._current_timestamp

    def add_iterator(self, child: ClockChild) -> None:
        """Add ``child``; while a run is open it is started at once and first ticks with the next tick.

        Adding it twice changes nothing. Raises ``InvalidInput`` for an object without plain start, tick and stop.
        """
        if self._children.add(child) and self._running:
            self._children.start_all(self, self._current_timestamp)

    def remove_iterator(self, child: ClockChild) -> None:
        """Stop ``child`` when it is started, and take it out; also in the middle of a tick. Unknown ones pass."""
        self._children.remove(child, self, self._current_timestamp)

    async def run(self) -> None:
        """Run in real time until ``end_time``, by default until cancelled. See ``run_til``."""
        await self.run_til(self._end_time)

    async def run_til(self, timestamp: float) -> None:
        """Run in real time until ``timestamp`` (seconds since the epoch), and no tick later.

        Cancel the task that runs this to end it sooner; the children are stopped before the cancellation goes on.
        Raises ``NotReady`` while the clock runs already, ``InvalidInput`` for a NaN or in BACKTEST mode.
        """
        self._require(ClockMode.REALTIME, timestamp)
        with self._driving():
            try:
                self._begin(self._grid.time_of(self._grid.index_at(self._steady.now())))
                await self._tick_until(timestamp)
            finally:
                self._finish()

    def backtest(self) -> None:
        """Run the backtest to ``end_time``. See ``backtest_til``."""
        self.backtest_til(self._end_time)

    def backtest_til(self, timestamp: float) -> None:
        """Tick, without waiting, all times up to ``timestamp`` (at most ``end_time``).

        May be called again with later times: the children stay started until ``end_time`` is reached, one of them ends
        the run, an error escapes, or ``stop_backtest`` is called. The call after that begins anew at ``start_time``.
        Raises ``NotReady`` when called from inside a tick, ``InvalidInput`` for an end that is not finite, or in
        REALTIME mode.
        """
        self._require(ClockMode.BACKTEST, timestamp)
        end = min(timestamp, self._end_time)
        if end == math.inf:
            raise InvalidInput(
                "a backtest to infinity never ends: give end_time to the clock or a time to backtest_til"
            )
        with self._driving():
            finished = True
            try:
                if not self._running:
                    self._begin(self._start_time)
                finished = not self._backtest_ticks(end) or end >= self._end_time
            finally:
                if finished:
                    self._finish()

    def stop_backtest(self) -> None:
        """Stop the children of a backtest that is open between two ``backtest_til``; harmless when none is."""
        self._require(ClockMode.BACKTEST, 0.0)
        with self._driving():
            self._finish()

    def _require(self, mode: ClockMode, timestamp: float) -> None:
        if self.mode is not mode:
            raise InvalidInput(
                f"this clock is in {self.mode.name} mode: REALTIME has run and run_til, BACKTEST has backtest and "
                "backtest_til; make a clock with the other mode"
            )
        if not timestamp > -math.inf:
            raise InvalidInput(f"the time to run until must be seconds since the epoch, got {timestamp!r}")

    @contextmanager
    def _driving(self) -> Iterator[None]:
        """Refuse a second driver: a run beside a run, or a tick inside a tick (possible with a patched loop)."""
        if self._driven:
            raise NotReady("this clock runs already: end that run first; a tick cannot drive its own clock")
        self._driven = True
        try:
            yield
        finally:
            self._driven = False

    def _begin(self, timestamp: float) -> None:
        self._meter.reset()
        self._children.errors.clear()
        self._current_timestamp = timestamp
        self._running = True
        self._children.start_all(self, timestamp)

    def _finish(self) -> None:
        if self._running:
            self._running = False
            self._children.stop_all(self, self._current_timestamp)

    def _backtest_ticks(self, end: float) -> bool:
        first = self._grid.index_at(self._current_timestamp) + 1
        return all(self._tick(index, 0.0, 0) for index in range(first, self._grid.index_at(end) + 1))

    async def _tick_until(self, end: float) -> None:
        index = self._grid.index_at(self._current_timestamp)
        while True:
            # What came due while the children worked is skipped: ticks in a hurry would help nobody, and the loop's
            # other tasks need the time.
            due = max(index, self._grid.index_at(self._steady.now())) + 1
            if self._grid.time_of(due) > end:
                await self._end_run(index, end)
                return
            await self._sleep_until(self._grid.time_of(due))
            # The loop may have been blocked meanwhile: the latest tick that is due runs, those before it are skipped.
            now = self._steady.now()
            latest = max(due, self._grid.index_at(min(now, end)))
            lateness = max(now - self._grid.time_of(latest), 0.0)
            if not self._tick(latest, lateness, latest - index - 1):
                return
            index = latest

    async def _end_run(self, index: int, end: float) -> None:
        missed = self._grid.index_at(end) - index
        if missed > 0:
            lateness = max(self._steady.now() - end, 0.0)
            self._meter.skip(lateness, missed)
            self._tell_late(end, lateness, missed)
        await self._sleep_until(end)

    async def _sleep_until(self, timestamp: float) -> None:
        while True:
            wait = timestamp - self._steady.now()
            # At least once, also when late: tasks must not starve beside children that always take too long.
            await self._source.sleep(min(max(wait, 0.0), _LONGEST_SLEEP))
            if self._steady.now() >= timestamp:
                return

    def _tick(self, index: int, lateness: float, skipped: int) -> bool:
        self._current_timestamp = timestamp = self._grid.time_of(index)
        if self._meter.record(lateness, skipped):
            self._tell_late(timestamp, lateness, skipped)
        return self._children.tick_all(timestamp)

    def _tell_late(self, timestamp: float, lateness: float, skipped: int) -> None:
        now = self._source.monotonic()
        if now >= self._next_log:
            self._next_log = now + _LOG_PAUSE
            logger.warning("tick %s came %.3f s late, %d ticks before it were skipped", timestamp, lateness, skipped)
        self.pubsub.trigger_event(MarketEvent.ClockLate, ClockLateEvent(timestamp, lateness, skipped))
