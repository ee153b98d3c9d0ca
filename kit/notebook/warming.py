"""Loads ahead what a first panel and a first figure need, so that they do not hold up the loop a core lives on."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Final

logger = logging.getLogger(__name__)

_lock: Final = threading.Lock()
_threads: list[threading.Thread] = []


def warm_up() -> threading.Thread:
    """Load panels and make a figure on a thread of its own, once a process, and return the thread.

    A first panel loads ipywidgets: measured 0.4 s and a late tick. A first plotly figure loads nbformat with all its
    schemas: measured 3 to 9 s in which a loop would stand still, long enough for live trading to end by itself. On a
    thread the loop has its turn every few milliseconds.
    """
    with _lock:
        if not _threads:
            _threads.append(threading.Thread(target=_load, name="kit warms up displays", daemon=True))
            _threads[0].start()
    return _threads[0]


def _load() -> None:
    try:
        importlib.import_module("kit.notebook.cockpit_widget")
        import plotly.io
        from plotly.subplots import make_subplots

        make_subplots(rows=2, cols=1).add_scatter(x=[0.0], y=[0.0], row=1, col=1)
        # Read only: renderers and nbformat load by it, while showing a figure would print into somebody's cell.
        _ = plotly.io.renderers
    except Exception:
        # They may be missing or broken here; who asks for one will hear of it.
        logger.debug("panels or figures cannot be loaded ahead", exc_info=True)
