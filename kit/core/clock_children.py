"""The children of a clock: started, ticked and stopped in order, each behind its own wall."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias

from kit.errors import InvalidInput, StopTrading

logger = logging.getLogger(__name__)


class ClockChild(Protocol):
    """What a clock drives; ``TimeIterator`` is the base class that has it."""

    name: str

    # Any, because the clock's own module imports this one.
    def start(self, clock: Any, timestamp: float) -> None:
        """Begin with the clock's run."""
        ...

    def stop(self, clock: Any) -> None:
        """End with the clock's run."""
        ...

    def tick(self, timestamp: float) -> None:
        """Do the work of one tick."""
        ...


ChildErrorHandler: TypeAlias = Callable[[ClockChild, Exception, float], None]


class _Entry:
    """One membership of a child; a child that leaves and comes back gets a new one."""

    __slots__ = ("child", "failures_in_row", "present", "started")

    def __init__(self, child: ClockChild) -> None:
        self.child = child
        self.present = True
        self.started = False
        self.failures_in_row = 0


class ClockChildren:
    """An ordered set of children (by identity) that may change at any moment, also in the middle of a tick."""

    def __init__(self) -> None:
        self.on_error: ChildErrorHandler | None = None
        self.errors: Counter[str] = Counter()
        self.around: AbstractContextManager[object] | None = None
        # Replaced on change: a tick in progress goes on over the entries that it began with.
        self._entries: tuple[_Entry, ...] = ()

    @property
    def all(self) -> tuple[ClockChild, ...]:
        """Return the children in order."""
        return tuple(entry.child for entry in self._entries)

    def add(self, child: ClockChild) -> bool:
        """Add ``child`` at the end; tell whether it is new. Raises ``InvalidInput`` for what cannot be ticked."""
        for method in ("start", "tick", "stop"):
            function = getattr(child, method, None)
            if not callable(function):
                raise InvalidInput(f"{child!r} has no method {method}: derive it from kit.core TimeIterator")
            if inspect.iscoroutinefunction(function):
                raise InvalidInput(
                    f"{method} of {child!r} is a coroutine function, which a clock never awaits: make it a plain "
                    "function that starts coroutines through a TaskSupervisor"
                )
        if any(entry.child is child for entry in self._entries):
            return False
        self._entries = (*self._entries, _Entry(child))
        return True

    def remove(self, child: ClockChild, clock: Any, timestamp: float) -> None:
        """Take ``child`` out, stopping it when it was started; it is not ticked again. Unknown ones pass."""
        for entry in self._entries:
            if entry.child is child:
                entry.present = False
                self._entries = tuple(other for other in self._entries if other is not entry)
                self._stop(entry, clock, timestamp)
                return

    def start(self, child: ClockChild, clock: Any, timestamp: float) -> None:
        """Start one child; when that fails it is left out until the next ``start_all``."""
        for entry in self._entries:
            if entry.child is child:
                self._start(entry, clock, timestamp)

    def start_all(self, clock: Any, timestamp: float) -> None:
        """Start every child, at the begin of a run; one whose start fails is left out of it."""
        for entry in self._entries:
            self._start(entry, clock, timestamp)

    def stop_all(self, clock: Any, timestamp: float) -> None:
        """Stop every started child, the last first: what was built on others goes before them."""
        for entry in reversed(self._entries):
            self._stop(entry, clock, timestamp)

    def tick_all(self, timestamp: float) -> bool:
        """Tick the children that are here at the begin and not gone since; ``False`` when one ended the run."""
        if self.around is None:
            return self._tick_all(timestamp)
        with self.around:
            return self._tick_all(timestamp)

    def _tick_all(self, timestamp: float) -> bool:
        for entry in self._entries:
            if not entry.started:
                continue
            try:
                entry.child.tick(timestamp)
            except StopIteration:
                logger.info("%s ended the run at %s", _name(entry.child), timestamp)
                return False
            except Exception as error:  # noqa: BLE001  # the wall between children
                self._report(entry, error, "tick", timestamp)
            else:
                entry.failures_in_row = 0
        return True

    def _start(self, entry: _Entry, clock: Any, timestamp: float) -> None:
        if entry.started or not entry.present:
            return
        entry.failures_in_row = 0
        # Before the call, so that a child that removes itself in it is stopped.
        entry.started = True
        try:
            with self.around or nullcontext():
                entry.child.start(clock, timestamp)
        except Exception as error:  # noqa: BLE001  # the wall between children
            entry.started = False
            self._report(entry, error, "start", timestamp)

    def _stop(self, entry: _Entry, clock: Any, timestamp: float) -> None:
        if not entry.started:
            return
        entry.started = False
        try:
            with self.around or nullcontext():
                entry.child.stop(clock)
        except Exception as error:  # noqa: BLE001  # the others must be stopped all the same
            self._report(entry, error, "stop", timestamp)

    def _report(self, entry: _Entry, error: Exception, what: str, timestamp: float) -> None:
        name = _name(entry.child)
        self.errors[name] += 1
        entry.failures_in_row += 1
        try:
            if self.on_error is not None:
                self.on_error(entry.child, error, timestamp)
        except StopTrading:
            # It reaches whoever runs the clock, so it needs no log; but what is stopped already goes on stopping.
            if what != "stop":
                raise
        except Exception:  # the handler's own defect must not stop the clock
            logger.exception("on_child_error failed for %s", name)
        # A child that fails on every tick must not bury the log: the 1st, 10th, 100th … failure in a row is shown.
        row = entry.failures_in_row
        if set(str(row)[1:]) <= {"0"} and str(row)[0] == "1":
            logger.error("%s of %s failed at %s (%d in a row)", what, name, timestamp, row, exc_info=error)


def _name(child: ClockChild) -> str:
    return str(getattr(child, "name", "") or type(child).__name__)
