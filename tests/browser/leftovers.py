"""What a server leaves behind: its processes, of which none may stay."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import psutil

from kit.guard.diary import read_diary
from tests.browser.exchange import until
from tests.support.guarded_core import alive


def running(pid: int) -> dict[psutil.Process, str]:
    """Return the processes that a process has started, and those that they have, with their command lines."""
    found: dict[psutil.Process, str] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # one that has ended since
                found[process] = " ".join(process.cmdline())
    return found


def left_of(processes: Mapping[psutil.Process, str], state: Path) -> list[str]:
    """Wait for the end of processes and return the command lines of those that still run after a while.

    A guard whose exchange has ended with the kernel asks it for 20 s more before it ends, too: that it asks is read in
    its diary in the folder ``state``, then it is ended here. ``guard/test_keeper.py`` tests that it gives up.
    """
    guards = [process for process, command in processes.items() if "-m kit.guard" in command]
    for guard in guards:
        until(lambda pid=guard.pid: not alive(pid) or _asks(pid, state), "the guard acts on the end of its core", 90)
        with contextlib.suppress(psutil.NoSuchProcess):
            guard.kill()
    return [processes[process] for process in psutil.wait_procs(processes, timeout=90)[1]]


def _asks(pid: int, state: Path) -> bool:
    entries = [entry for path in (state / "guard").glob("*.log") for entry in read_diary(path)]
    return any(entry.pid == pid and entry.event == "unreachable" for entry in entries)
