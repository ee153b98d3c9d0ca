"""Where the passphrase of the encrypted file comes from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kit.config.store_errors import StoreLocked

Asker = Callable[[Path, bool], str]
"""Asks the user for the passphrase of a file, ``True`` for a new one."""

_asker: Asker | None = None


def ask_with(asker: Asker | None) -> None:
    """Say how the user is asked for a passphrase in this process; ``None``: not at all, as is the default.

    In a notebook asking in the middle of something would block the kernel; there the user unlocks beforehand.
    """
    global _asker  # noqa: PLW0603  # one terminal, one user, one way to ask
    _asker = asker


def passphrase_for(path: Path, *, new: bool = False) -> str:
    """Return the passphrase: ``KIT_PASSPHRASE``, else what the user answers; raises ``StoreLocked``."""
    if given := os.environ.get("KIT_PASSPHRASE"):
        return given
    if _asker is not None:
        return _asker(path, new)
    if new:
        raise StoreLocked(
            f"{path} is to be made and needs a passphrase: use `kit keys add` in a terminal or kit.notebook.keys(), "
            "or set KIT_PASSPHRASE"
        )
    raise StoreLocked(
        f"{path} is locked: unlock it with kit.config.unlock() or kit.notebook.keys() in a cell, or set "
        "KIT_PASSPHRASE before the kernel or program starts"
    )
