"""Notebooks run from top to bottom, in a kernel that is patient with a busy machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]

FIRST_CELL = """\
import kit.trading_core
from kit.guard import guard
from kit.trading import preflight
from tests.support.patient import be_patient

be_patient()
preflight.PATIENCE = guard._STOP_PATIENCE = kit.trading_core.STALL_LIMIT = 60.0"""


async def run_patiently(
    notebook: nbformat.NotebookNode, monkeypatch: pytest.MonkeyPatch, folder: Path | None = None
) -> list[nbformat.NotebookNode]:
    """Execute a notebook, in a folder if one is given, and return its own code cells with their outputs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    options: dict[str, Any] = {"store_widget_state": False}
    if folder is not None:
        options["resources"] = {"metadata": {"path": str(folder)}}
    cells = list(notebook.cells)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FIRST_CELL))
    client = NotebookClient(
        notebook, timeout=900, startup_timeout=300, iopub_timeout=120, kernel_name="python3", **options
    )
    await client.async_execute()
    return [cell for cell in cells if cell.cell_type == "code"]
