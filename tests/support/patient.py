"""Patience for machines that are busy with other tests: what is right there may take seconds.

On a trader's machine an exchange that takes two seconds to tell its time is a reason not to go live, and so is a guard
that needs half a minute to start. Beside other tests it is neither.
"""

from kit.guard import guard
from kit.trading import preflight

PATIENT = (
    (preflight, "PATIENCE", 12.0),
    (preflight, "SLOW_ANSWER", 30.0),
    (preflight, "TOO_LATE", 30.0),
    (guard, "_START_PATIENCE", 60.0),
    (guard, "_STOP_PATIENCE", 60.0),
)
"""Module, name and seconds: for ``monkeypatch.setattr`` in a test's own process."""


def be_patient() -> None:
    """Be patient in a process that belongs to a test alone, such as a kernel."""
    for module, name, seconds in PATIENT:
        setattr(module, name, seconds)
