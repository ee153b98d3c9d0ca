"""The compiled kernel made ready without stalling anybody: compiled by a process of its own, then loaded here."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from kit.types.secret_variables import without_keys

logger = logging.getLogger(__name__)

COMPILE_TIMEOUT: Final = 600.0
"""Seconds after which the compiling process is given up."""

_CODE: Final = "import os; os.nice(5); from kit.simulation.engine import warm_up; warm_up()"
_loading = threading.Lock()


def load_simulation() -> None:
    """Import the simulation and have its kernel compiled and loaded; for a thread beside an event loop.

    The compiler holds Python's lock for a fifth of a second at a time, which is long for a loop that trades. So code
    that is not in the cache is compiled by a child process; only where that fails it is compiled in this one. Takes
    under a second with compiled code in the cache, up to half a minute without. Later calls return at once.
    """
    with _loading:
        # Also what is needed later: an import would stall the loop.
        import kit.simulation.venue
        import kit.storage.events  # noqa: F401
        from kit.simulation import kernel
        from kit.simulation.engine import warm_up

        if not all(is_at_hand(function) for function in (kernel.run, kernel.act)):
            _compile_apart()
        warm_up()


def is_at_hand(function: Any) -> bool:
    """Tell whether the code is loaded, or in the cache and fresh."""
    if getattr(function, "signatures", ()):
        return True
    # numba has no public way to ask for what it would find.
    cached: Any = getattr(getattr(function, "_cache", None), "_cache_file", None)
    index = getattr(cached, "_load_index", None)
    return index is not None and bool(index())


def _compile_apart() -> None:
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    environment = {**without_keys(os.environ), "PYTHONPATH": path}
    logger.info("compiling the simulation, once for this installation")
    try:
        subprocess.run(  # noqa: S603 - our own interpreter and our own words
            [sys.executable, "-c", _CODE], env=environment, timeout=COMPILE_TIMEOUT, check=True, capture_output=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", b"") or b""
        logger.warning(
            "compiling apart failed, so it is done here: %s %s", error, told.decode(errors="replace").strip()[-300:]
        )
