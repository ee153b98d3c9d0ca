"""What a clock ticks."""

from __future__ import annotations

import math

from kit.core.clock import Clock


class TimeIterator:
    """The base of everything that lives by a clock: strategies, connectors, recorders.

    ``clock`` is ``None`` and ``current_timestamp`` NaN before ``start`` and after ``stop``; in between the latter is
    the time of the last tick, seconds since the epoch. Subclasses that override the three methods call ``super()``.
    ``name`` is for logs and counts, by default the class's.
    """

    # Also on the class: a subclass whose __init__ forgets super() works all the same.
    name: str = ""
    clock: Clock | None = None
    current_timestamp: float = math.nan

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {'stopped' if self.clock is None else 'running'}>"

    def start(self, clock: Clock, timestamp: float) -> None:
        """Begin with the run of ``clock`` at ``timestamp``."""
        self.clock = clock
        self.current_timestamp = timestamp

    def stop(self, clock: Clock) -> None:  # noqa: ARG002  # subclasses may serve more than one
        """End with the run of ``clock``."""
        self.clock = None
        self.current_timestamp = math.nan

    def tick(self, timestamp: float) -> None:
        """Do the work of the tick at ``timestamp``; raise ``StopIteration`` to end the clock's run."""
        self.current_timestamp = timestamp
