"""The core's connection to its guard: one process at a time, started anew when it ends by itself."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from kit.core.time_source import TimeSource
from kit.errors import NotReady
from kit.guard.child import GuardChild
from kit.guard.diary import open_diary

logger = logging.getLogger(__name__)

_RESTARTS: Final = 5
_RESTART_WINDOW: Final = 60.0


class GuardLink:
    """Holds the guard process of a core; every method may be called from any thread.

    ``greeting()`` is what a new process has to hear first. One that ends by itself is started anew while ``needed()``,
    five times a minute; then ``on_lost(reason)`` hears of it. ``on_message`` hears what the present process says, on a
    thread of its own; a process that was let go of is not listened to any more. ``lock`` serves the owner, too.
    """

    def __init__(
        self,
        core_name: str,
        log_path: Path,
        *,
        greeting: Callable[[], Iterable[Mapping[str, Any]]],
        needed: Callable[[], bool],
        on_message: Callable[[dict[str, Any]], None],
        on_lost: Callable[[str], None],
        time_source: TimeSource,
    ) -> None:
        self.core_name, self.log_path = core_name, log_path
        self.lock = threading.RLock()
        self.restarts = 0
        self._greeting, self._needed = greeting, needed
        self._hear, self._lost = on_message, on_lost
        self._time_source = time_source
        self._child: GuardChild | None = None
        self._recent: deque[float] = deque(maxlen=_RESTARTS)

    @property
    def running(self) -> bool:
        """Tell whether there is a process."""
        child = self._child
        return child is not None and not child.ended.is_set()

    @property
    def alive(self) -> bool:
        """Tell whether there is a process that has answered."""
        child = self._child
        return child is not None and child.said_hello.is_set() and not child.ended.is_set()

    @property
    def pid(self) -> int | None:
        """The id of the present process."""
        child = self._child
        return None if child is None else child.pid

    def open(self) -> bool:
        """Start a process, greeted, unless one runs; tell whether one was started. Raises ``NotReady``."""
        with self.lock:
            if self.running:
                return False
            self._start()
            return True

    def _start(self) -> None:
        try:
            diary = open_diary(self.log_path)
        except OSError as error:
            logger.warning("guard of core %s: no log can be kept: %s", self.core_name, error)
            diary = os.open(os.devnull, os.O_WRONLY)
        try:
            self._child = GuardChild(self.core_name, diary, self._on_message, self._on_end)
        finally:
            os.close(diary)
        for message in self._greeting():
            self._child.send(message)

    def send(self, message: Mapping[str, Any], patience: float = 0.5) -> bool:
        """Write a message, waiting at most ``patience`` seconds for room in the pipe; tell whether it went out."""
        child = self._child
        return child is not None and child.send(message, patience)

    def replace(self, reason: str) -> None:
        """Kill the process; its end is noticed on the reading thread, which starts another."""
        logger.warning("the guard of core %s %s; it is replaced", self.core_name, reason)
        child = self._child
        if child is not None:
            child.kill()

    def release(self) -> GuardChild | None:
        """Let go of the process and return it: it is neither listened to nor started anew from now on."""
        with self.lock:
            child, self._child = self._child, None
            return child

    def _on_message(self, child: GuardChild, message: dict[str, Any]) -> None:
        if child is self._child:
            self._hear(message)

    def _on_end(self, child: GuardChild) -> None:
        with self.lock:
            if child is not self._child:
                return
            self._child = None
            if not self._needed():
                return
            now = self._time_source.monotonic()
            lost = len(self._recent) == _RESTARTS and now - self._recent[0] < _RESTART_WINDOW
            if not lost:
                self._recent.append(now)
                self.restarts += 1
                logger.warning("the guard process of core %s ended by itself; another is started", self.core_name)
                lost = not self._restarted()
        if lost:
            reason = f"the guard process of core {self.core_name!r} ended {len(self._recent)} times in a minute"
            logger.error("%s: its orders are not guarded; see %s", reason, self.log_path)
            self._lost(reason)

    def _restarted(self) -> bool:
        try:
            self._start()
        except (NotReady, RuntimeError) as error:  # RuntimeError: no threads any more, the interpreter shuts down
            logger.error("no guard can be started: %s", error)
            return False
        return True
