"""The way of a click to Python while a cell runs: by a thread of the kernel that is not the cell's.

JupyterLab sends widgets' messages to a subshell of the kernel, a thread with a loop of its own. ipykernel 7.0 to 7.3
does as it is asked; since 7.4 the kernel sends them to the thread that last wrote to the widget instead, mostly the
cell's, so that a click waits until the cell has ended. ``route`` undoes that. It is private to ipykernel, hence the
look at what is there, ``red_path`` that says how it stands, and the evidence of where messages really came.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import Any, Final

from kit.core.clock import SYSTEM_TIME, TimeSource

TRIED: Final = ((7, 1), (7, 4))
"""The first and the last version of ipykernel with which a browser's click came through, and its answer back.

With 7.0.1 the click comes through and the answer waits for the cell's end; 6.31 has no subshells.
"""


SETTLED: Final = 1.0
"""Seconds after its first message by which a page has its subshell."""


@dataclass(frozen=True, slots=True)
class RedPath:
    """Whether a click reaches the kernel while a cell blocks it: ``works``, ``None`` where nobody knows, and why."""

    works: bool | None
    text: str

    def __str__(self) -> str:
        return self.text


class Evidence:
    """Where the last message of a page was handled: ``thread`` is ``""`` until it is known, "subshell" or "main".

    A page sends its first messages before it has a subshell: those of the first second do not count against it.
    """

    def __init__(self, time_source: TimeSource = SYSTEM_TIME) -> None:
        self.thread = ""
        self._time_source = time_source
        self._first: float | None = None

    def note(self) -> None:
        """Note the thread that this is called on, which handles a message right now."""
        now = self._time_source.monotonic()
        if threading.current_thread() is not threading.main_thread():
            self.thread = "subshell"
            return
        if self._first is None:
            self._first = now
        if now - self._first > SETTLED:
            self.thread = "main"


EVIDENCE: Final = Evidence()


def route(comm: object) -> bool:
    """Have a comm's messages handled where the page asks for, the subshell; tells whether that was needed."""
    if not hasattr(comm, "_reply_subshell_for"):
        return False
    comm._reply_subshell_for = _as_the_page_asks  # noqa: SLF001  # the only way that ipykernel leaves
    return True


def _as_the_page_asks(_data: object, asked: str | None) -> str | None:
    return asked


def red_path() -> RedPath:
    """Tell whether the red button reaches the kernel here while a cell blocks it."""
    base: Any = sys.modules.get("ipykernel.kernelbase")
    if base is None or not base.Kernel.initialized():
        return RedPath(None, "no Jupyter kernel here; core.red_button() works in code")
    version = str(sys.modules["ipykernel"].__version__)
    return judge(version, _has_subshells(base), _can_route(), EVIDENCE.thread)


def judge(version: str, subshells: bool, routed: bool, seen: str) -> RedPath:
    """Return the verdict for a version of ipykernel, from what it has and where messages were ``seen``."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    here = f"ipykernel {version}"
    if not subshells:
        return RedPath(False, f"waits for the cell's end: {here} has no subshells; 7.4 has them")
    if numbers >= (7, 4) and not routed:
        return RedPath(False, f"waits for the cell's end: {here} cannot be told to use the subshell; 7.4 can")
    if seen == "main":
        return RedPath(
            False,
            "waits for the cell's end: this page uses no subshell; in JupyterLab see Settings, Kernels, "
            "'Comms over subshells'",
        )
    if seen == "subshell":
        return RedPath(True, f"works here: {here}, subshell")
    tried = TRIED[0] <= numbers <= TRIED[1]
    return RedPath(True if tried else None, f"{'should work' if tried else 'not tried'}: {here}, no message came yet")


def _has_subshells(base: Any) -> bool:
    return bool(getattr(base.Kernel.instance(), "_supports_kernel_subshells", False))


def _can_route() -> bool:
    module: Any = sys.modules.get("ipykernel.comm.comm")
    return module is not None and hasattr(module.BaseComm, "_reply_subshell_for")
