"""Where errors show that nobody waits for: those of tasks, callbacks and panels, which JupyterLab shows nowhere."""

from __future__ import annotations

import html
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kit.core.clock import SYSTEM_TIME
from kit.core.listeners import Listeners
from kit.core.user_traceback import place_of, user_traceback

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

KEPT: Final = 50
"""Kinds of failures that a list holds; the one that did not come for the longest time goes first."""

Listener = Callable[["Failure"], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure: ``where`` it happened, the last ``error`` of it, how often it came (``count``).

    ``first_time`` and ``last_time`` are seconds since the epoch. ``traceback`` is that of the first one as text; it
    begins at the user's line.
    """

    where: str
    error: BaseException
    count: int = 1
    first_time: float = 0.0
    last_time: float = 0.0
    traceback: str = field(default="", repr=False)

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.where}: {type(self.error).__name__}: {self.error}{times}"


class ErrorList:
    """Keep the last 50 kinds of failures, each once with a count, the one that came last at the end.

    Failures are of one kind when place, type and raising line are the same; where an error was never raised, its text
    counts instead of the line. Safe from any thread.
    """

    def __init__(self, time: Callable[[], float] = SYSTEM_TIME.time) -> None:
        self._time = time
        self._errors: OrderedDict[tuple[object, ...], Failure] = OrderedDict()
        self._lock = threading.Lock()
        self._listeners: Listeners[[Failure]] = Listeners()

    def add(self, where: str, error: BaseException) -> None:
        """Note a failure; the first of a kind is logged with its traceback."""
        if self.note(where, error).count == 1:
            logger.error("%s failed", where, exc_info=error)

    def note(self, where: str, error: BaseException) -> Failure:
        """Note a failure that is logged elsewhere; return what is known of its kind."""
        key = (where, type(error), place_of(error) or str(error))
        now = self._time()
        with self._lock:
            known = self._errors.pop(key, None)
            if known is None:
                failure = Failure(where, error, 1, now, now, user_traceback(error))
            else:
                failure = replace(known, error=error, count=known.count + 1, last_time=now)
            self._errors[key] = failure
            while len(self._errors) > KEPT:
                self._errors.popitem(last=False)
        self._listeners.tell(failure)
        return failure

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(failure)`` at each failure, on the thread it is noted on; returns what ends that."""
        return self._listeners.add(listener)

    def __len__(self) -> int:
        return len(self._errors)

    @property
    def items(self) -> tuple[Failure, ...]:
        """Return the failures, the one that came last at the end."""
        with self._lock:
            return tuple(self._errors.values())

    def frame(self) -> pd.DataFrame:
        """Return the failures as a table: first, last (UTC), where, error (the type's name), text, count, traceback."""
        import pandas as pd

        rows = [
            (i.first_time, i.last_time, i.where, type(i.error).__name__, str(i.error), i.count, i.traceback)
            for i in self.items
        ]
        frame = pd.DataFrame(rows, columns=["first", "last", "where", "error", "text", "count", "traceback"])
        return frame.assign(**{name: pd.to_datetime(frame[name], unit="s", utc=True) for name in ("first", "last")})

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._errors.clear()

    def __repr__(self) -> str:
        return "\n".join(str(item) for item in self.items) or "no errors"

    def _repr_html_(self) -> str:
        parts = [
            f"<details><summary>{time_of_day(item.last_time)} {html.escape(str(item))}</summary>"
            f"<pre>{html.escape(item.traceback)}</pre></details>"
            for item in reversed(self.items)
        ]
        return "".join(parts) or "<p>no errors</p>"


def time_of_day(timestamp: float) -> str:
    """Return a time (seconds since the epoch) as lists show it: 14:02:09, in UTC."""
    return f"{datetime.fromtimestamp(timestamp, UTC):%H:%M:%S}"


ERRORS: Final = ErrorList()
"""The failures of this process that belong to no core."""
