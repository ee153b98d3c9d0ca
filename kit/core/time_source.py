"""What everything that waits is given instead of the machine's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


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
