"""What a pre-flight check found, and the limits it holds things to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kit.errors import NotReady

Outcome = Literal["passed", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of a pre-flight.

    ``text`` tells the figure and, where the check did not pass, what to do next. ``connector`` is empty for what
    belongs to the core as a whole.
    """

    name: str
    connector: str
    outcome: Outcome
    text: str

    def __str__(self) -> str:
        where = f" on {self.connector}" if self.connector else ""
        return f"{self.name}{where} {self.outcome}: {self.text}"


def failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Return the checks that failed."""
    return tuple(check for check in checks if check.outcome == "failed")


def named(checks: Iterable[Check]) -> str:
    """Return checks as one text."""
    return "; ".join(map(str, checks))


def require_passed(checks: Iterable[Check]) -> None:
    """Raise ``NotReady`` naming the checks that failed, if any did."""
    if bad := failed(checks):
        raise NotReady(f"not live, as checks failed: {named(bad)}")
