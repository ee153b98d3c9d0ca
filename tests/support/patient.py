"""Patience for machines that are busy with other tests: what is right there may take seconds.

On a trader's machine an exchange that takes two seconds to tell its time is a reason not to go live, and so is a guard
that needs half a minute to start. Beside other tests it is neither.
"""

from collections.abc import Callable
from typing import Any

from kit.guard import guard
from kit.trading import preflight

PATIENT = (
    (preflight, "PATIENCE", 12.0),
    (preflight, "SLOW_ANSWER", 30.0),
    (preflight, "TOO_LATE", 30.0),
    (guard, "_START_PATIENCE", 60.0),
    (guard, "_STOP_PATIENCE", 60.0),
)
"""Module, name and seconds."""


def be_patient(put: Callable[[Any, str, float], None] = setattr) -> None:
    """Be patient: for one test by ``monkeypatch.setattr``, for good in a process that belongs to a test alone."""
    for module, name, seconds in PATIENT:
        put(module, name, seconds)
