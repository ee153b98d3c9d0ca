"""Samples over time in bounded memory: the recent ones whole, older ones thinned ever more."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, TypeAlias

Sample: TypeAlias = tuple[float, ...]
"""A time in seconds since the epoch, then values."""

RECENT: Final = 900
"""Samples that are kept as they came; a quarter of an hour at one a second."""

KEPT: Final = 1800
"""Thinned samples kept beside them; where they would be more, every second one goes."""


class Series:
    """Samples at most every ``interval`` seconds (default 1), at most 2,700 of them however long it runs.

    Read from any thread: ``rows`` is a copy of one moment. A sample that is not later than the last by ``interval`` is
    passed over, so that several may feed one series.
    """

    def __init__(self, interval: float = 1.0, *, recent: int = RECENT, kept: int = KEPT) -> None:
        self.interval = interval
        self.version = 0
        self._recent: deque[Sample] = deque()
        self._old: list[Sample] = []
        self._stride = 1
        self._gone = 0
        self._limits = (recent, kept)
        # Ticks jitter by milliseconds: a sample that is a hair early is on time.
        self._due_after = 0.9 * interval

    def __len__(self) -> int:
        return len(self._old) + len(self._recent)

    @property
    def last(self) -> Sample | None:
        """Return the newest sample."""
        try:
            return self._recent[-1]
        except IndexError:  # asked without a lock: it may just have been emptied
            return None

    def is_due(self, time: float) -> bool:
        """Tell whether a sample of this time would be taken."""
        return not self._recent or not 0 <= time - self._recent[-1][0] < self._due_after

    def add(self, time: float, *values: float) -> bool:
        """Add a sample; return whether it was taken. Time that ran back (a clock was set) begins the series anew."""
        if not self.is_due(time) or not math.isfinite(time):
            return False
        if self._recent and time < self._recent[-1][0]:
            self._recent.clear()
            self._old = []
        self._recent.append((time, *values))
        self.version += 1
        recent, kept = self._limits
        if len(self._recent) > recent:
            self._age(self._recent.popleft(), kept)
        return True

    def _age(self, sample: Sample, kept: int) -> None:
        self._gone += 1
        if self._gone % self._stride:
            return
        old = [*self._old, sample] if len(self._old) >= kept else None
        if old is None:
            self._old.append(sample)
        else:
            self._old = old[::2]  # another list: a reader may hold the old one
            self._stride *= 2

    def rows(self, since: float = -math.inf) -> list[Sample]:
        """Return the samples after ``since``, oldest first."""
        last = self.last
        if last is None or last[0] <= since:
            return []  # what is asked several times a second, mostly
        old, recent = self._old.copy(), self._recent.copy()
        return [sample for sample in (*old, *recent) if sample[0] > since]
