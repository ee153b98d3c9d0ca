"""Errors of sweeps."""

from __future__ import annotations

from typing import Any

from kit.errors import FixInput


class SweepFailed(FixInput):
    """Every trial of a sweep failed; the first trial's error is the ``__cause__``.

    ``partial`` is the ``SweepResult`` with every trial's parameters and error text.
    """

    def __init__(self, message: str, partial: Any = None) -> None:
        super().__init__(message)
        self.partial = partial
