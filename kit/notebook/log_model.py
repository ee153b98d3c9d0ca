"""The log of a core and its errors, as people look at them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kit.core.error_list import Failure, time_of_day
from kit.errors import InvalidInput, NotSupported
from kit.notebook.core_model import CoreModel
from kit.notebook.formats import escape, html_table
from kit.notebook.html_parts import quantity, soft, stack, title, word
from kit.notebook.panel import Frame

if TYPE_CHECKING:
    from kit.trading.log_book import LogEntry
    from kit.trading_core import TradingCore

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

SHOWN: Final = 300
"""Entries that a page gets at first, and keeps; warnings and errors that are older come on top of that."""

LONGEST: Final = 4000
"""Letters of an entry or traceback that go to the page."""

_IN_HTML: Final = 20
_NAMES: Final = {logging.CRITICAL: "error", **{level: name for name, level in LEVELS.items()}}


class LogModel(CoreModel):
    """The last lines of a core's log from ``level`` on (``debug``, ``info``, ``warning``, ``error``), and its errors.

    Frames hold new entries only. Raises ``InvalidInput`` for another level.
    """

    def __init__(self, core: TradingCore, level: str = "info") -> None:
        if level not in LEVELS:
            raise InvalidInput(f"level is {level!r}; it is one of {', '.join(map(repr, LEVELS))}")
        super().__init__(core, "log")
        self.level = level
        self._number = 0
        self._errors: tuple[Failure, ...] = ()

    @property
    def ended(self) -> bool:
        """Tell that there may always be news: errors of a core that was stopped are told, too."""
        return False

    def frame(self, full: bool) -> Frame | None:
        """Return entries and errors, new entries only unless ``full``; ``None`` when there is no news."""
        number, errors = self.core.log.number, self.core.errors.items
        if not full and number == self._number and errors == self._errors:
            return None
        entries = self._entries(0 if full else self._number)
        self._number, self._errors = number, errors
        content: dict[str, Any] = {
            "core": self.core.name,
            "level": self.level,
            "entries": [_entry_cells(entry) for entry in entries],
            "errors": [_error_cells(error) for error in reversed(errors)],
        }
        return Frame(content, full=full)

    def _entries(self, after: int) -> list[LogEntry]:
        entries = self.core.log.entries(logging.DEBUG, after)
        old, late = entries[:-SHOWN], entries[-SHOWN:]
        return [*(entry for entry in old if entry.level >= logging.WARNING), *late]

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Forget the errors that were seen: ``{"do": "clear errors"}``."""
        if message.get("do") != "clear errors":
            raise NotSupported(f"the log takes no command {message.get('do')!r}")
        self.core.errors.clear()
        return {"text": "errors cleared"}

    def text(self) -> str:
        """Return the last lines, errors first."""
        entries = self.core.log.entries(LEVELS[self.level])[-_IN_HTML:]
        errors = [f"! {error}" for error in self.core.errors.items]
        return "\n".join([self.name, *errors, *map(str, entries)])

    def html(self) -> str:
        """Return errors, folded with their tracebacks, and the last lines."""
        entries = self.core.log.entries(LEVELS[self.level])[-_IN_HTML:]
        errors = self.core.errors.items
        said = word(quantity(len(errors), "error"), "bad") if errors else soft("no errors")
        folded = "".join(map(_folded, reversed(errors)))
        rows = [
            [
                soft(time_of_day(entry.time)),
                word(_NAMES.get(entry.level, entry.level_name.lower()), _tone(entry.level)),
                escape(entry.source),
                f"{escape(entry.text[:LONGEST])}{soft(f' ({entry.count} times)') if entry.count > 1 else ''}",
            ]
            for entry in reversed(entries)
        ]
        table = html_table(["time", "level", "by", "said"], rows, sides="nnnl") if rows else ""
        return stack(title(self.name, said), folded, table)


def _folded(error: Failure) -> str:
    return (
        f'<details style="padding:1px 8px"><summary>{time_of_day(error.last_time)} {word(error, "bad")}</summary>'
        f'<pre style="white-space:pre-wrap">{escape(error.traceback[-LONGEST:])}</pre></details>'
    )


def _tone(level: int) -> str:
    return "bad" if level >= logging.ERROR else "warn" if level >= logging.WARNING else ""


def _entry_cells(entry: LogEntry) -> list[Any]:
    """Return number, time, level as number and as name, source, text and count."""
    name = _NAMES.get(entry.level, entry.level_name.lower())
    return [entry.number, entry.time, entry.level, name, entry.source, entry.text[:LONGEST], entry.count]


def _error_cells(error: Failure) -> list[Any]:
    """Return where, type, text, count, the times of the first and the last, traceback."""
    kind, text = type(error.error).__name__, str(error.error)[:LONGEST]
    return [error.where, kind, text, error.count, error.first_time, error.last_time, error.traceback[-LONGEST:]]
