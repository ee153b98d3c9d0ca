"""One writer at a time in a folder."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

from kit.errors import InvalidInput

NAME = ".writer.lock"
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class FolderLock:
    """A lock on a folder that its process loses when it ends, however it ends.

    Raises ``InvalidInput`` when another writer, of this process or another, holds it; ``OSError`` when the file system
    knows no locks or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / NAME).open("a+b")
        try:
            self._lock()
        except OSError as error:
            self._file.close()
            if error.errno not in _HELD:
                raise
            raise InvalidInput(
                f"{folder} is being recorded into by another recorder or program; stop that one first, or record into "
                f"another folder"
            ) from error

    def release(self) -> None:
        """Let another writer in; idempotent."""
        self._file.close()

    def _lock(self) -> None:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
