"""One running core of a name per user of the machine: a lock that its process loses when it ends, however it ends."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kit.connectors.client_order_ids import tag_of
from kit.guard.diary import state_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger(__name__)

_guard = threading.Lock()
_held: Final[dict[Path, tuple[BaseFileLock, int]]] = {}
"""The locks of this process with how many cores hold each: within one process nothing is locked out."""


def core_file(core_name: str, suffix: str) -> Path:
    """Return the file of a core: the name made fit for files, and the core's tag, so that no two names share one."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", core_name).strip("-")[:40]
    return state_folder() / "cores" / f"{readable or 'core'}-{tag_of(core_name)}.{suffix}"


class InstanceLock:
    """The right to run the core of a name, which one process of a user has at a time.

    Child processes do not inherit it, whether started or forked, and it is free as soon as its process has ended, by
    SIGKILL too. Where the state folder cannot be written or its file system knows no locks, nobody is locked out, with
    a warning.
    """

    def __init__(self, core_name: str) -> None:
        self.path = core_file(core_name, "lock")
        self._mine: Path | None = None

    @property
    def held(self) -> bool:
        """Tell whether this core has it."""
        return self._mine is not None

    def acquire(self) -> bool:
        """Take it, unless another process has it; tell whether this core has it now."""
        if self._mine is not None:
            return True
        with _guard:
            lock, cores = _held.get(self.path, (None, 0))
            if lock is None:
                lock = _new_lock(self.path)
                if not _take(lock, self.path):
                    return False
            _held[self.path] = lock, cores + 1
            self._mine = self.path
        return True

    def release(self) -> None:
        """Let another process have it; idempotent."""
        with _guard:
            path, self._mine = self._mine, None
            if path is None or path not in _held:
                return
            lock, cores = _held.pop(path)
            if cores > 1:
                _held[path] = lock, cores - 1
            else:
                lock.release()


def _new_lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(path, mode=0o600, thread_local=False, blocking=False)


def _take(lock: BaseFileLock, path: Path) -> bool:
    from filelock import Timeout

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        logger.warning("nothing keeps a second process from running this core, as %s cannot be locked: %s", path, error)
    return True


def _forget_after_fork() -> None:
    global _guard  # noqa: PLW0603  (another thread of the parent may have held it)
    _guard = threading.Lock()
    _held.clear()


def free_name(wish: str) -> str:
    """Return ``wish``, or the first of "wish 2", "wish 3", … whose core no other process runs now."""
    number, name = 1, wish
    while True:
        lock = InstanceLock(name)
        free = lock.acquire()
        lock.release()
        if free:
            return name
        number += 1
        name = f"{wish} {number}"


@dataclass(frozen=True, slots=True)
class Instance:
    """Who runs a core: the process's id, since when (seconds since the epoch), and what it is, in words."""

    pid: int
    since: float
    what: str

    @property
    def alive(self) -> bool:
        """Tell whether the process lives, as far as that can be told."""
        return not self.pid or _lives(self.pid)

    def __str__(self) -> str:
        from datetime import datetime

        begun = datetime.fromtimestamp(self.since).astimezone()
        return f"{self.what} (pid {self.pid}, since {begun:%Y-%m-%d %H:%M:%S})"


def this_process(since: float) -> Instance:
    """Describe this process: the notebook's name where Jupyter tells it, else the program's. Never its arguments."""
    return Instance(os.getpid(), since, _what())


def _what() -> str:
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        return "a Voilà page"
    if notebook := os.environ.get("JPY_SESSION_NAME"):
        return Path(notebook).name
    if "ipykernel" in sys.modules:
        return "a notebook"
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else ""
    return program if program not in ("", "-c") else "a Python process"


def _lives(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # signal 0 would end the process there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


_register: Any = getattr(os, "register_at_fork", None)
if _register is not None:
    _register(after_in_child=_forget_after_fork)
