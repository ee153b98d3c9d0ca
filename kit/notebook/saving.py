"""Whether JupyterLab writes the widgets' state into the notebook file, and with it whatever a widget holds.

The pages tell: JupyterLab's widget manager, which every view of a panel reaches, knows the setting. Until a page has
told, the settings of JupyterLab on this machine are read, which are the ones that count where server and kernel share a
machine. (The setting is "Save Widget State Automatically" in the menu Settings; it is off unless somebody set it.)

None of the kit's panels holds anything in such state; other people's do: a ``Password`` field of ipywidgets is written
in plain text.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

ADVICE: Final = (
    "JupyterLab saves the state of widgets into the notebook file (menu Settings, Save Widget State Automatically): "
    "what is typed into other widgets, such as a Password field, stands there in plain text. Keys typed into "
    "kit.notebook.keys() do not. Switch it off unless you need it"
)
_PLUGIN: Final = Path("@jupyter-widgets", "jupyterlab-manager", "plugin.jupyterlab-settings")
_COMMENT: Final = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


class _Word:
    """What is known, in this process."""

    def __init__(self) -> None:
        self.page: bool | None = None
        self.warned = False
        self.lock = threading.Lock()


_word = _Word()


def note(saving: object) -> None:
    """Take in what a page says about its widget manager; anything but a truth value is not known there."""
    if isinstance(saving, bool):
        _word.page = saving
        if saving:
            _warn()


def widget_state_saving() -> bool | None:
    """Tell whether the state of widgets is saved into notebooks; ``None`` where that cannot be known.

    The first time that it is, a warning is logged. Quick enough to be asked on every refresh of a panel.
    """
    saving = _word.page
    if saving is None and "ipykernel" in sys.modules:  # no kernel, no page
        saving = saving_in_settings()
    if saving:
        _warn()
    return saving


def _warn() -> None:
    with _word.lock:
        first, _word.warned = not _word.warned, True
    if first:
        logger.warning("%s.", ADVICE)


def saving_in_settings() -> bool | None:
    """Tell what JupyterLab's settings on this machine say; ``None`` where it never ran."""
    folder = _settings_folder()
    own = _read(folder / _PLUGIN)
    if own is not None:
        return own
    for overrides in _defaults():
        if (default := _read(overrides)) is not None:
            return default
    return False if folder.is_dir() else None


def _settings_folder() -> Path:
    """Return where JupyterLab keeps the user's settings on this machine; a server hands the variable to its kernels."""
    if given := os.environ.get("JUPYTERLAB_SETTINGS_DIR"):
        return Path(given)
    base = os.environ.get("JUPYTER_CONFIG_DIR")
    return (Path(base) if base else Path.home() / ".jupyter") / "lab" / "user-settings"


def _defaults() -> tuple[Path, ...]:
    folder = os.environ.get("JUPYTERLAB_DIR")
    application = Path(folder) if folder else Path(sys.prefix) / "share" / "jupyter" / "lab"
    return (application / "settings" / "overrides.json",)


def _read(path: Path) -> bool | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    try:
        values = json.loads(_COMMENT.sub(r"\1", text))
        if path.name == "overrides.json":
            values = values["@jupyter-widgets/jupyterlab-manager:plugin"]
        saving = values["saveState"]
    except (ValueError, KeyError, TypeError):
        return None
    return saving if isinstance(saving, bool) else None
