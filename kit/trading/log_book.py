"""The log of a core as people read it: bounded, repeated lines counted."""

from __future__ import annotations

import html
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from kit.core.clock import SYSTEM_TIME
from kit.core.error_list import time_of_day
from kit.core.listeners import Listeners

if TYPE_CHECKING:
    import pandas as pd

KEPT: Final = 1000
"""Entries that a book holds; the oldest go first."""

REPEAT_SECONDS: Final = 60.0
"""A line that comes again within this time counts up its entry; after a longer silence it is a new one."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of the log, or several that belong together, such as an error with its traceback.

    ``number`` grows with each change of the book: an entry that is counted up gets a new one and moves to the end.
    ``time`` is that of its last coming, in seconds since the epoch; ``level`` is the standard library's.
    """

    number: int
    time: float
    level: int
    source: str
    text: str
    count: int = 1

    @property
    def level_name(self) -> str:
        """Return the level in words, such as WARNING."""
        return logging.getLevelName(self.level)

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{time_of_day(self.time)} {self.level_name} {self.source}: {self.text}{times}"


LogListener = Callable[[LogEntry], None]


class LogBook:
    """Keep the last 1000 entries, from any thread; ``numbers`` tell what is new since one looked last."""

    def __init__(self, time: Callable[[], float] = SYSTEM_TIME.time) -> None:
        self._time = time
        self._entries: OrderedDict[int, LogEntry] = OrderedDict()
        self._last: dict[tuple[int, str, str], int] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._listeners: Listeners[[LogEntry]] = Listeners()

    def add(self, level: int, source: str, text: str) -> LogEntry:
        """Add a line of ``level`` (``logging.INFO`` …) by ``source``; a repeated one counts up the entry it has."""
        key = (level, source, text)
        now = self._time()
        with self._lock:
            self._number += 1
            before = self._entries.get(self._last.get(key, 0))
            if before is not None and now - before.time <= REPEAT_SECONDS:
                del self._entries[before.number]
                entry = replace(before, number=self._number, time=now, count=before.count + 1)
            else:
                entry = LogEntry(self._number, now, level, source, text)
            self._entries[entry.number] = entry
            self._last[key] = entry.number
            if len(self._entries) > KEPT:
                _, oldest = self._entries.popitem(last=False)
                if self._last.get(key := (oldest.level, oldest.source, oldest.text)) == oldest.number:
                    del self._last[key]
        self._listeners.tell(entry)
        return entry

    def entries(self, level: int = logging.INFO, after: int = 0) -> tuple[LogEntry, ...]:
        """Return the entries of at least ``level`` whose number is above ``after``, in order of their numbers."""
        found = []
        with self._lock:
            for entry in reversed(self._entries.values()):
                if entry.number <= after:
                    break
                if entry.level >= level:
                    found.append(entry)
        return tuple(reversed(found))

    @property
    def number(self) -> int:
        """Return the number of the last change: when it is the same, nothing is new."""
        return self._number

    def add_listener(self, listener: LogListener) -> Callable[[], None]:
        """Call ``listener(entry)`` at each entry, on the thread that logs; returns what ends that.

        It must not raise and must not log.
        """
        return self._listeners.add(listener)

    def clear(self) -> None:
        """Forget all entries; numbers go on."""
        with self._lock:
            self._entries.clear()
            self._last.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def frame(self, level: int = logging.INFO) -> pd.DataFrame:
        """Return the entries of at least ``level`` as a table: time (UTC), level (its name), source, text, count."""
        import pandas as pd

        rows = [(item.time, item.level_name, item.source, item.text, item.count) for item in self.entries(level)]
        frame = pd.DataFrame(rows, columns=["time", "level", "source", "text", "count"])
        return frame.assign(time=pd.to_datetime(frame["time"], unit="s", utc=True))

    def __repr__(self) -> str:
        return "\n".join(str(entry) for entry in self.entries()[-20:]) or "an empty log"

    def _repr_html_(self) -> str:
        lines = "\n".join(html.escape(str(entry)) for entry in self.entries()[-20:])
        return f"<pre>{lines or 'an empty log'}</pre>"
