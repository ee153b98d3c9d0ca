"""The arithmetic of ticks: their exact times, and how late they came."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

_WINDOW = 1000


class TickGrid:
    """The multiples of a tick size since the epoch, without accumulated rounding.

    ``tick_size`` (seconds) is taken as the decimal number that it prints as, so that tick 3 of 0.1 s is 0.3, not
    0.30000000000000004, and the last tick before an end is found exactly.
    """

    def __init__(self, tick_size: float) -> None:
        exact = Fraction(repr(float(tick_size)))
        self.tick_size = float(tick_size)
        self._numerator, self._denominator = exact.numerator, exact.denominator

    def time_of(self, index: int) -> float:
        """Return the time of the tick of that index, seconds since the epoch: the float nearest to the multiple."""
        return index * self._numerator / self._denominator

    def index_at(self, timestamp: float) -> int:
        """Return the index of the last tick at or before ``timestamp`` (finite)."""
        index = math.floor(timestamp / self.tick_size)
        # The division may be off by rounding; the times themselves decide.
        while self.time_of(index + 1) <= timestamp:
            index += 1
        while self.time_of(index) > timestamp:
            index -= 1
        return index


@dataclass(frozen=True, slots=True)
class ClockStats:
    """A snapshot of what a clock measured since its run began; times in seconds.

    ``lateness`` is how long after its time a tick began; ``ticks_late`` counts the ticks that were more than the
    clock's threshold late or came after skipped ones (one ``ClockLate`` event each); ``max_lag`` is the longest time
    the clock hung behind, skipped ticks included; ``p99_lateness`` is over the last 1000 ticks.
    ``child_errors`` is the sum of ``errors_by_child``, which goes by the children's names.
    """

    ticks: int = 0
    ticks_late: int = 0
    ticks_skipped: int = 0
    child_errors: int = 0
    last_lateness: float = 0.0
    max_lateness: float = 0.0
    p99_lateness: float = 0.0
    max_lag: float = 0.0
    errors_by_child: Mapping[str, int] = field(default_factory=dict)


class TickMeter:
    """Count ticks and measure their lateness."""

    def __init__(self, tick_size: float, late_threshold: float) -> None:
        self._tick_size = tick_size
        self._threshold = late_threshold
        self.reset()

    def reset(self) -> None:
        """Forget everything, at the begin of a run."""
        self._ticks = self._late = self._skipped = 0
        self._max_lateness = self._max_lag = 0.0
        self._window: deque[float] = deque(maxlen=_WINDOW)

    def record(self, lateness: float, skipped: int) -> bool:
        """Count a tick that began ``lateness`` seconds late after ``skipped`` ones; tell whether it was late."""
        self._ticks += 1
        self._window.append(lateness)
        self._max_lateness = max(self._max_lateness, lateness)
        late = skipped > 0 or lateness > self._threshold
        self._late += late
        self.skip(lateness, skipped)
        return late

    def record_punctual(self, count: int) -> None:
        """Count ticks none of which could be late, as in a backtest."""
        self._ticks += count
        if count:
            self._window.append(0.0)

    def skip(self, lateness: float, skipped: int) -> None:
        """Count skipped ticks without one that ran."""
        self._skipped += skipped
        self._max_lag = max(self._max_lag, lateness + skipped * self._tick_size)

    def stats(self, errors_by_child: Mapping[str, int]) -> ClockStats:
        """Return the counts as a frozen snapshot."""
        ordered = sorted(self._window)
        return ClockStats(
            ticks=self._ticks,
            ticks_late=self._late,
            ticks_skipped=self._skipped,
            child_errors=sum(errors_by_child.values()),
            last_lateness=self._window[-1] if self._window else 0.0,
            max_lateness=self._max_lateness,
            p99_lateness=ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else 0.0,
            max_lag=self._max_lag,
            errors_by_child=dict(errors_by_child),
        )
