"""How well a strategy runs: failed ticks, failed hooks, the last error."""

from __future__ import annotations

from collections.abc import Callable

from kit.core.naming import counted
from kit.errors import StrategyError


class StrategyHealth:
    """Counts the failures of a strategy.

    A tick counts as failed when ``on_tick`` threw in it, or any hook since the tick before. ``consecutive_errors`` are
    the failed ticks in a row, ``total_errors`` all exceptions, ``last_error`` the last one as ``StrategyError`` with
    the original as its ``__cause__``. ``on_failed_tick`` is called after each failed tick.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._hook_failed = False
        self.consecutive_errors = 0
        self.total_errors = 0
        self.last_error: StrategyError | None = None
        self.on_failed_tick: Callable[[StrategyError], None] | None = None

    def __repr__(self) -> str:
        last = f", last: {self.last_error}" if self.last_error is not None else ""
        return f"<StrategyHealth: {counted(self.total_errors, 'error')}, {self.consecutive_errors} in a row{last}>"

    def hook_failed(self, error: Exception, timestamp: float) -> None:
        """Note that an event hook threw; the tick that follows counts as failed."""
        self._note(error, timestamp)
        self._hook_failed = True

    def tick_failed(self, error: Exception, timestamp: float) -> StrategyError:
        """Note that the tick itself threw; return the error with the tick's time."""
        failure = self._note(error, timestamp)
        self._failed()
        return failure

    def tick_passed(self) -> None:
        """Note that the tick did not throw."""
        if self._hook_failed:
            self._failed()
        else:
            self.consecutive_errors = 0

    def reset(self) -> None:
        """Begin a new row of ticks; the last error stays readable."""
        self.consecutive_errors = 0
        self._hook_failed = False

    def _note(self, error: Exception, timestamp: float) -> StrategyError:
        self.total_errors += 1
        failure = StrategyError(f"{self._name} threw {type(error).__name__}: {error}", timestamp)
        failure.__cause__ = error
        self.last_error = failure
        return failure

    def _failed(self) -> None:
        self._hook_failed = False
        self.consecutive_errors += 1
        if self.on_failed_tick is not None and self.last_error is not None:
            self.on_failed_tick(self.last_error)
