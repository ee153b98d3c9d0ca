"""The workspace that `kit lab` opens: a notebook left, the output of its cockpit cell right.

The right side is JupyterLab's own "Create New View for Cell Output", which its layout restorer can make anew: it shows
whatever the cell shows, in the same kernel. Workspaces and the defaults of settings live in a folder of their own,
beside the user's, which stay as they are and go before ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

NAME: Final = "kit"
TAG: Final = "cockpit"
"""The tag of the cell whose output goes right."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    # No question at the first start; the environment says which versions there are.
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


def cockpit_cell(notebook: Path) -> int | None:
    """Return the number of the cell tagged ``cockpit``, ``None`` where there is none or the file does not read."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return next(number for number, cell in enumerate(cells) if TAG in cell["metadata"].get("tags", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None


def layout(notebook: str, cell: int | None) -> dict[str, Any]:
    """Return the workspace with a notebook, by its path from JupyterLab's root, and the view of a cell's output."""
    left = f"notebook:{notebook}"
    data: dict[str, Any] = {left: {"data": {"path": notebook, "factory": "Notebook"}}}
    area: dict[str, Any] = {"type": "tab-area", "currentIndex": 0, "widgets": [left]}
    if cell is not None:
        right = f"cloned-outputs:{notebook}:{cell}"
        data[right] = {"data": {"path": notebook, "index": cell}}
        view = {"type": "tab-area", "currentIndex": 0, "widgets": [right]}
        area = {"type": "split-area", "orientation": "horizontal", "sizes": [0.42, 0.58], "children": [area, view]}
    data["layout-restorer:data"] = {
        "main": {"dock": area, "current": left},
        "down": {"size": 0, "widgets": []},
        "left": {"collapsed": True, "visible": True, "widgets": []},
        "right": {"collapsed": True, "visible": True, "widgets": []},
        "relativeSizes": [0, 1, 0],
    }
    return {"data": data, "metadata": {"id": NAME}}


def prepare(folder: Path, notebook: str, cell: int | None) -> dict[str, str]:
    """Write the workspace and the defaults into ``folder``; return the variables that make JupyterLab use them."""
    from jupyterlab_server.workspaces_handler import WorkspacesManager

    WorkspacesManager(str(folder / "workspaces")).save(NAME, json.dumps(layout(notebook, cell)))
    defaults = folder / "config" / "labconfig" / "default_setting_overrides.json"
    defaults.parent.mkdir(parents=True)
    defaults.write_text(json.dumps(_DEFAULTS), encoding="utf-8")
    config_path = [str(folder / "config"), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return {
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_PATH": os.pathsep.join(config_path),
    }
