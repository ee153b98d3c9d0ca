"""What a worker process of the embedded cluster does first: leave interrupts to its parent, load what runs need."""

from __future__ import annotations

import signal
import threading
from typing import Any


def dask_setup(worker: Any) -> None:  # noqa: ARG001 - the name and argument that dask calls it by
    """Prepare the process; called by dask when the worker starts."""
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C goes to the terminal's whole group. Workers end when the sweep closes them, not in the middle of words.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by the parent, up to here
