"""Files that only their owner can read, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kit.errors import NotReady

_LOCK_PATIENCE: Final = 10.0


def write_whole(path: Path, content: bytes, *, lasting: bool = True) -> None:
    """Write a file that only its owner can read, so that a crash leaves the old one or the new one, never a half.

    ``lasting=False`` does not wait for the disk: for what a process tells others of itself, and writes anew. Folders
    that are missing are made. Raises ``OSError``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600 from the first byte
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


@contextlib.contextmanager
def held_alone(path: Path) -> Iterator[None]:
    """Keep other processes from changing ``path`` meanwhile; raises ``NotReady`` when one does for 10 s."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with FileLock(path.with_name(path.name + ".lock"), timeout=_LOCK_PATIENCE, mode=0o600):
            yield
    except Timeout:
        raise NotReady(f"{path} is being changed by another process for {_LOCK_PATIENCE:.0f} s; try again") from None
