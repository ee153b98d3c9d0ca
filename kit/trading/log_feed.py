"""Brings what the kit logs to the logs of the cores that it is about."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar
from weakref import WeakSet

from kit.core.clock import Clock, ClockChild
from kit.core.error_list import ErrorList
from kit.core.pubsub import PubSub
from kit.core.user_traceback import user_traceback
from kit.trading.log_book import LogBook
from kit.trading.tick_output import TickOutput, is_interactive, unwrapped

T = TypeVar("T")

ROOT: Final = "kit"
FOREIGN: Final = "asyncio"
"""The logger where errors of tasks and callbacks show that nobody looked after, such as a notebook's own."""
LEVEL: Final = logging.INFO

_NOTED_ELSEWHERE: Final = frozenset({"kit.core.error_list", "kit.core.clock_children"})
"""Loggers of modules whose errors reach the error lists themselves, each single one."""


class CoreLog:
    """A core's log and errors, to which the records of the logger ``kit`` go that come from this core.

    A record belongs to the core in whose coroutines and tasks it arises (``run``, ``here``); one that arises elsewhere
    goes to every core that listens.
    """

    def __init__(self, book: LogBook, errors: ErrorList) -> None:
        self.book = book
        self.errors = errors
        self._output = TickOutput(book)

    def listen(self) -> None:
        """Take in records from now on, as long as this object is kept."""
        _listening.add(self)
        _install()

    def watch(self, clock: Clock) -> None:
        """Take in what fails on ticks of ``clock``, and what its children and listeners print."""
        clock.on_child_error = self._child_failed
        clock.around = self._output
        self.watch_events(clock.pubsub)

    def watch_events(self, pubsub: PubSub) -> None:
        """Take in what listeners print."""
        pubsub.around = self._output

    def _child_failed(self, child: ClockChild, error: Exception, _: float) -> None:
        self.errors.note(child.name, error)

    def take(self, record: logging.LogRecord) -> None:
        """Enter a record."""
        text = record.getMessage()
        source = where = record.name.removeprefix(f"{ROOT}.")
        if record.name == FOREIGN:
            text = where = text.partition("\n")[0]  # below it stands the task's repr, of another address each time
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            text = f"{text}\n{user_traceback(error)}"
            if record.levelno >= logging.ERROR and record.name not in _NOTED_ELSEWHERE:
                self.errors.note(getattr(record, "where", where), error)
        self.book.add(record.levelno, source, text)

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """Let what arises within belong to this core."""
        before = _current.get()
        _current.set(self)
        try:
            yield
        finally:
            _current.set(before)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine so that what it logs, and what the tasks that it starts log, belongs to this core.

        It runs in a task of its own, as the context of a notebook's cells is one for all of them; within the core's
        tasks it is just awaited.
        """
        if _current.get() is self:
            return await coroutine
        with self.here():
            task = asyncio.ensure_future(coroutine)
        _foreground.add(task)
        return await task


_listening: Final[WeakSet[CoreLog]] = WeakSet()
_foreground: Final[WeakSet[asyncio.Future[Any]]] = WeakSet()
_current: Final[ContextVar[CoreLog | None]] = ContextVar("kit_core_log", default=None)


class _Feed(logging.Handler):
    """Takes the kit's records to the cores."""

    def emit(self, record: logging.LogRecord) -> None:
        owner = _current.get()
        for log in (owner,) if owner in _listening and owner is not None else tuple(_listening):
            try:
                log.take(record)
            except Exception:  # noqa: BLE001  # as every handler of the standard library does
                self.handleError(record)
        self._last_resort(record)

    @staticmethod
    def _last_resort(record: logging.LogRecord) -> None:
        """Write what the standard library would write without this handler, but not below whatever cell runs."""
        last = logging.lastResort
        if logging.getLogger().handlers or last is None or record.levelno < last.level:
            return
        if not (is_interactive() and _in_background()):
            unwrapped(sys.stderr).write(f"{last.format(record)}\n")


_feed: Final = _Feed()


def _install() -> None:
    logger = logging.getLogger(ROOT)
    for fed in (logger, logging.getLogger(FOREIGN)):
        if _feed not in fed.handlers:
            fed.addHandler(_feed)
    # Where nobody set levels nor handlers there is nobody who would be shown more than before.
    if logger.level == logging.NOTSET and not logging.getLogger().handlers:
        logger.setLevel(LEVEL)


def _in_background() -> bool:
    if _current.get() is None:
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task not in _foreground
