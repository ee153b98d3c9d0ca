"""The exchange's clock, estimated from a few questions and carried on by the monotonic clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kit.core.clock import SYSTEM_TIME
from kit.core.time_source import TimeSource
from kit.errors import InvalidInput

_SAMPLES = 10
# How fast two crystals may part, as a fraction; NTP assumes 15 ppm, cheap machines are worse.
_DRIFT = 50e-6
# Exchanges tell time in whole milliseconds.
_RESOLUTION = 0.002
# Seconds since the epoch pass this in the year 5138; milliseconds passed it in 1973.
_NOT_SECONDS = 1e11


@dataclass(frozen=True, slots=True)
class _Sample:
    offset: float  # server time less the monotonic clock at the middle of the round trip
    round_trip: float
    taken: float  # monotonic

    def error_at(self, now: float) -> float:
        """Return how wrong the offset may be: half the round trip, plus what the clocks drifted since."""
        return self.round_trip / 2 + _DRIFT * max(now - self.taken, 0.0)


class TimeSynchronizer:
    """Tell the server's time, from samples (server time, local time before and after the question).

    The server is taken to have answered in the middle of the round trip, which is wrong by at most half of it; so of
    the last 10 samples the one with the shortest round trip counts (an allowance for drift ages them; after D. Mills'
    clock filter, RFC 5905 section 10). A sample that contradicts older ones beyond their possible error shows that a
    clock was stepped, or that the machine slept: the older ones are dropped. Local time is the monotonic clock, so
    steps of the wall clock do not matter.
    """

    def __init__(self, time_source: TimeSource = SYSTEM_TIME) -> None:
        self._source = time_source
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._best: _Sample | None = None

    @property
    def offset(self) -> float:
        """Return the server's time less the local wall clock, seconds; 0 before the first sample."""
        return self.time() - self._source.time() if self._best else 0.0

    @property
    def round_trip(self) -> float:
        """Return the round trip of the sample that counts, seconds; NaN before the first."""
        return self._best.round_trip if self._best else math.nan

    @property
    def sample_count(self) -> int:
        """Return how many samples are kept."""
        return len(self._samples)

    def time(self) -> float:
        """Return the server's time, seconds since the epoch; the local wall clock before the first sample."""
        if self._best is None:
            return self._source.time()
        return self._source.monotonic() + self._best.offset

    async def update(self, fetch_server_time: Callable[[], Awaitable[float]]) -> None:
        """Ask the server for its time (seconds since the epoch) and take the answer in; its errors are raised."""
        before = self._source.monotonic()
        server_time = await fetch_server_time()
        self.add_sample(server_time, before, self._source.monotonic())

    def add_sample(self, server_time: float, before_mono: float, after_mono: float) -> None:
        """Take in that the server told ``server_time`` between two readings of the monotonic clock, all in seconds.

        Raises ``InvalidInput`` for times that cannot be: not finite, in milliseconds, or an answer before the question.
        """
        if not 0 < server_time < _NOT_SECONDS:
            raise InvalidInput(f"server time must be seconds since the epoch, got {server_time!r}: milliseconds?")
        if not 0 <= after_mono - before_mono < math.inf:
            raise InvalidInput(f"the answer cannot come before the question: {before_mono!r} to {after_mono!r}")
        sample = _Sample(server_time - (before_mono + after_mono) / 2, after_mono - before_mono, after_mono)
        agreeing = [known for known in self._samples if _agree(known, sample)]
        self._samples.clear()
        self._samples.extend([*agreeing, sample])
        self._best = min(reversed(self._samples), key=lambda known: known.error_at(after_mono))


def _agree(old: _Sample, new: _Sample) -> bool:
    possible = old.error_at(new.taken) + new.error_at(new.taken) + _RESOLUTION
    return abs(old.offset - new.offset) <= possible
