"""The heartbeat: time sources, and the clock that ticks its children on the multiples of its tick size."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum

from kit.core.clock_children import ChildErrorHandler, ClockChild, ClockChildren
from kit.core.manual_time import ManualTime
from kit.core.pacer import Pacer
from kit.core.pubsub import PubSub
from kit.core.ticks import ClockStats, TickGrid, TickMeter
from kit.core.time_source import Timer, TimeSource
from kit.errors import InvalidInput, NotReady
from kit.types.drawn import Drawn
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
_LOG_PAUSE = 10.0


class SystemTime:
    """The machine's own time."""

    def __repr__(self) -> str:
        return "<SystemTime>"

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


class Clock(Drawn):
    """Tick children on the multiples of ``tick_size`` (seconds, at least 0.01) since the epoch.

    REALTIME: ``run`` waits for each tick's time; its lateness is measured. Ticks that pass while children work, or
    while a cell blocks the loop, are skipped, counted and told by a ``ClockLate`` event on ``pubsub``, which also
    tells of a tick that began more than ``late_threshold`` seconds late; then ticks go on aligned. BACKTEST:
    ``backtest_til`` ticks without waiting, from ``start_time`` (which only that mode uses) on.

    A run starts the children at its begin, ticks at the times t with begin < t <= end, and stops the children at its
    end, however it ends; then the clock can run again. An exception of a child is isolated, logged, counted in
    ``stats`` and given to ``on_child_error(child, error, timestamp)``; a ``StopTrading`` error that this handler
    raises ends the run. A ``StopIteration`` from a tick ends the run quietly. Methods belong on the loop's thread;
    properties may be read anywhere.

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
        self._pacer = Pacer(time_source, self._grid)
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

    @property
    def around(self) -> AbstractContextManager[object] | None:
        """The context in which children are started, ticked and stopped, or ``None``."""
        return self._children.around

    @around.setter
    def around(self, context: AbstractContextManager[object] | None) -> None:
        self._children.around = context

    def time(self) -> float:
        """Return the finest current time, seconds since the epoch.

        In a backtest it is that of the time source it was given, which moves between ticks, else of the last tick.
        """
        if self.mode is ClockMode.REALTIME:
            return self._pacer.now()
        return self._current_timestamp if self._source is SYSTEM_TIME else self._source.time()

    def add_iterator(self, child: ClockChild) -> None:
        """Add ``child``; while a run is open it is started at once and first ticks with the next tick.

        Adding it twice changes nothing. Raises ``InvalidInput`` for an object without plain start, tick and stop.
        """
        if self._children.add(child) and self._running:
            self._children.start(child, self, self._current_timestamp)

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
                self._begin(self._pacer.begin())
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

    def __repr__(self) -> str:
        state = "running" if self._running else "stopped"
        return f"<Clock {self.mode.value}, each {self.tick_size:g} s, {state}: {self.stats.ticks} ticks>"

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
        first, last = self._grid.index_at(self._current_timestamp) + 1, self._grid.index_at(end)
        time_of, tick_all, done = self._grid.time_of, self._children.tick_all, 0
        try:
            for index in range(first, last + 1):
                self._current_timestamp = timestamp = time_of(index)
                done += 1
                if not tick_all(timestamp):
                    return False
            return True
        finally:
            self._meter.record_punctual(done)

    async def _tick_until(self, end: float) -> None:
        while (due := await self._pacer.next(end)) is not None:
            if not self._tick(due.timestamp, due.lateness, due.skipped):
                return
        missed = await self._pacer.finish(end)
        if missed:
            lateness = max(self.time() - end, 0.0)
            self._meter.skip(lateness, missed)
            self._tell_late(end, lateness, missed)

    def _tick(self, timestamp: float, lateness: float, skipped: int) -> bool:
        """Run one tick; ``False`` when a child ended the run."""
        self._current_timestamp = timestamp
        if self._meter.record(lateness, skipped):
            self._tell_late(timestamp, lateness, skipped)
        return self._children.tick_all(timestamp)

    def _tell_late(self, timestamp: float, lateness: float, skipped: int) -> None:
        now = self._source.monotonic()
        if now >= self._next_log:
            self._next_log = now + _LOG_PAUSE
            logger.warning("tick %s came %.3f s late, %d ticks before it were skipped", timestamp, lateness, skipped)
        self.pubsub.trigger_event(MarketEvent.ClockLate, ClockLateEvent(timestamp, lateness, skipped))
