"""What ticks, hooks and listeners print goes to the log: there is no cell of their own below which it could show."""

from __future__ import annotations

import io
import logging
import sys
import threading
from types import FrameType
from typing import Any, Final, TextIO, cast

from kit.core.user_traceback import is_users
from kit.trading.log_book import LogBook

UNNAMED: Final = "output"


def is_interactive() -> bool:
    """Tell whether somebody types at this process: a notebook or a prompt."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules


class TickOutput:
    """A context within which ``print`` and warnings of this thread go to ``book``, line by line, as what is logged.

    Standard output comes as INFO, errors and warnings as WARNING. In a script they are written to where they went
    before, too. For use on one thread; it may be entered within itself. Entering and leaving cost a few microseconds.
    """

    def __init__(self, book: LogBook) -> None:
        self._out = _Lines(book, logging.INFO)
        self._err = _Lines(book, logging.WARNING)
        self._depth = 0

    def __repr__(self) -> str:
        return f"<TickOutput {'open' if self._depth else 'closed'}>"

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1:
            sys.stdout = self._out.begin(sys.stdout)
            sys.stderr = self._err.begin(sys.stderr)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            sys.stdout = self._out.end(sys.stdout)
            sys.stderr = self._err.end(sys.stderr)


class _Lines(io.TextIOBase):
    """Stands in for a standard stream; what other threads write, or who kept it for later, goes on to the stream."""

    def __init__(self, book: LogBook, level: int) -> None:
        self.before: Any = None
        self._book = book
        self._level = level
        self._thread = 0
        self._text = ""
        self._source = UNNAMED
        self._replaced: Any = None

    def begin(self, current: Any) -> TextIO:
        """Stand in for the current stream; return this, to be put in its place."""
        if current is not self:
            self._replaced = current
            self.before = unwrapped(current)
        self._thread = threading.get_ident()
        return cast("TextIO", self)

    def end(self, current: Any) -> TextIO:
        """Return what to put in place now: what was there, or what another thread put there meanwhile."""
        self._thread = 0
        if self._text:
            self._enter("\n")
        found: TextIO = self._replaced if current is self else current
        return found

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            return int(self.before.write(text))
        if not is_interactive():
            self.before.write(text)
        if not self._text:
            self._source = _hook(sys._getframe(1))  # noqa: SLF001  # the documented way to look at one's caller
        self._enter(text)
        return len(text)

    def _enter(self, text: str) -> None:
        *lines, self._text = (self._text + text).split("\n")
        entry = ""
        for line in lines:
            # A warning brings the line of code below it, indented: one entry.
            if entry and not line.startswith(" "):
                self._book.add(self._level, self._source, entry)
                entry = ""
            entry = f"{entry}\n{line}" if entry else line
        if entry:
            self._book.add(self._level, self._source, entry)

    def __getattr__(self, name: str) -> Any:
        # A kernel tells its stream by set_parent below which cell to show what is printed, also during another
        # thread's tick.
        if self.before is None:
            raise AttributeError(name)
        return getattr(self.before, name)

    def flush(self) -> None:
        if self.before is not None and not getattr(self.before, "closed", False):
            self.before.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False


def unwrapped(stream: TextIO) -> TextIO:
    """Return the stream that ``stream`` stands in for, or itself."""
    before: TextIO = stream.before if isinstance(stream, _Lines) else stream
    return before


def _hook(frame: FrameType | None) -> str:
    """Name the function of the user's that the kit called, such as ``Quoter.on_tick``."""
    name = UNNAMED
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            name = frame.f_code.co_qualname.rpartition("<locals>.")[2]
        elif name != UNNAMED:
            break  # above it is the kit, and further up perhaps the cell that runs it all
        frame = frame.f_back
    return name
