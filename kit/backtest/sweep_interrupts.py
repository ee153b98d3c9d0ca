"""Ctrl-C during a sweep: noted wherever it lands, so that it takes nothing with it that is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final

from kit.core.clock import SYSTEM_TIME

PATIENCE: Final = 20.0
"""Seconds after the first interrupt in which further ones change nothing; closing takes less, unless it hangs."""


class Interrupts:
    """While it is entered, SIGINT sets ``stop`` and ``came`` instead of raising ``KeyboardInterrupt``.

    Raised anywhere, it would end a fetch in the middle and lose a trial that is done, or leave a cluster half closed.
    Within ``raised()`` it is raised as ever, and again ``PATIENCE`` seconds after the first. A handler other than
    Python's own (asyncio's, a notebook's) is called as well. Nothing changes off the main thread, where no interrupt
    arrives, nor where SIGINT is ignored.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.came = False
        self._stop = stop
        self._first = 0.0
        self._raising = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Let interrupts through: for the user's own code and long work that is not worth keeping."""
        self._raising = self._before is signal.default_int_handler
        try:
            yield
        finally:
            self._raising = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        now = SYSTEM_TIME.monotonic()
        hung = self.came and now > self._first + PATIENCE
        self._first = self._first if self.came else now
        self.came = True
        self._stop.set()
        if self._raising or hung:
            self._raising = False  # what unwinds now is not to be interrupted again
            raise KeyboardInterrupt
        if self._before is not signal.default_int_handler:
            self._pass_on(self._before, number, frame)

    @staticmethod
    def _pass_on(handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # the sweep stops already
            handler(number, frame)
