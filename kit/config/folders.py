"""Where the kit keeps what belongs to this machine's user."""

from __future__ import annotations

import os
from pathlib import Path


def config_folder() -> Path:
    """Return the user's folder for settings, presets and the encrypted file of keys.

    It is ``KIT_CONFIG``, else ``kit`` in ``XDG_CONFIG_HOME`` (by default ``~/.config``); it need not exist.
    """
    return _folder("KIT_CONFIG", "XDG_CONFIG_HOME", ".config")


def _folder(own: str, shared: str, usual: str) -> Path:
    if given := os.environ.get(own):
        return Path(given).expanduser().absolute()
    base = os.environ.get(shared)
    return (Path(base) if base else Path.home() / usual) / "kit"
