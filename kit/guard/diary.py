"""What the guard did, with times: one JSON object a line, in a file of the core's name that outlives both processes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from kit.connectors.client_order_ids import tag_of

logger = logging.getLogger(__name__)

_LARGEST: Final = 1_000_000
_SHOWN: Final = "***"


def state_folder() -> Path:
    """Return the user's folder for what the kit keeps: ``KIT_STATE``, else ``kit`` in ``XDG_STATE_HOME``."""
    if given := os.environ.get("KIT_STATE"):
        return Path(given)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "kit"


def diary_path(core_name: str) -> Path:
    """Return the file of the guard of a core: the name made fit for files, and the core's tag."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", core_name).strip("-")[:40]
    return state_folder() / "guard" / f"{readable or 'core'}-{tag_of(core_name)}.log"


def open_diary(path: Path) -> int:
    """Open the file for appending, readable to its owner only, and return its descriptor; raises ``OSError``.

    A file above 1 MB is put aside under the name ``….log.1``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LARGEST:
        path.replace(_older(path))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


@dataclass(frozen=True, slots=True)
class GuardEntry:
    """One line: seconds since the epoch, what happened, in words, and the rest as it was written."""

    timestamp: float
    event: str
    text: str
    pid: int = 0
    details: dict[str, Any] = field(default_factory=dict)


def read_diary(path: Path, limit: int = 200) -> list[GuardEntry]:
    """Return the last ``limit`` entries, oldest first; none where there is no file."""
    lines: list[bytes] = []
    for file in (_older(path), path):
        if file.exists():
            lines += file.read_bytes().splitlines()
    return list(_entries(lines))[-limit:]


def _entries(lines: list[bytes]) -> Iterator[GuardEntry]:
    last = 0.0
    for line in lines:
        try:
            found = orjson.loads(line)
            last = float(found.pop("timestamp"))
            yield GuardEntry(last, str(found.pop("event")), str(found.pop("text")), found.pop("pid", 0), found)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            # Python's own last words, should the process crash
            yield GuardEntry(last, "output", line.decode(errors="replace"))


class Diary(logging.Handler):
    """Writes entries to ``descriptor``; also takes the process's log records. What it was told to hide never shows."""

    def __init__(self, descriptor: int, now: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._descriptor = descriptor
        self._now = now
        self._secrets: set[str] = set()

    def hide(self, *secrets: str | None) -> None:
        """Never write these texts."""
        self._secrets |= {secret for secret in secrets if secret}

    def note(self, event: str, text: str = "", **details: Any) -> None:
        """Write an entry; a full disk must not keep the guard from its work."""
        now = self._now()
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        entry = {"timestamp": round(now, 3), "time": moment, "pid": os.getpid(), "event": event, "text": text}
        line = orjson.dumps(entry | details, default=str).decode()
        for secret in self._secrets:
            for form in (secret, orjson.dumps(secret).decode()[1:-1]):
                line = line.replace(form, _SHOWN)
        try:
            os.write(self._descriptor, line.encode() + b"\n")
        except OSError:
            return

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log record."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        self.note("log", text, logger=record.name, level=record.levelname)
