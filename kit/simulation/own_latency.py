"""A user's own latency model, held to what the venue relies on: nothing arrives before it was sent."""

from __future__ import annotations

import operator
from typing import Any

from kit.errors import InvalidInput
from kit.simulation.latency import LatencyModel

_METHODS = ("entry", "response", "rejection")


class CheckedLatency:
    """Ask a model and check each answer: whole nanoseconds, 0 or more, no response below the floor it names.

    An answer of less than no time would show a strategy the future, and a floor that is too high would lose it changes
    of the book. Raises ``InvalidInput`` for what lacks a method, and in the run ``ValueError`` for such an answer: no
    refusal of an order, which trading would survive.
    """

    def __init__(self, model: Any) -> None:
        lacking = [name for name in _METHODS if not callable(getattr(model, name, None))]
        if isinstance(model, type) or lacking or not hasattr(model, "response_floor_ns"):
            raise InvalidInput(
                f"latency is {model!r}; give seconds for each way (0.05), a model such as ConstantLatency(0.02, 0.03), "
                "or an object with response_floor_ns, entry(sent_ns), response(exch_ns) and rejection(sent_ns)"
            )
        self._model: LatencyModel = model
        self.response_floor_ns = self._nanoseconds("response_floor_ns", model.response_floor_ns)

    def entry(self, sent_ns: int) -> int | None:
        """Return how long a request travels; ``None``: it gets lost."""
        taken = self._model.entry(sent_ns)
        return None if taken is None else self._nanoseconds("entry", taken)

    def response(self, exch_ns: int) -> int:
        """Return how long an answer travels."""
        taken = self._nanoseconds("response", self._model.response(exch_ns))
        if taken < self.response_floor_ns:
            raise ValueError(
                f"{self!r} gave response {taken} ns, below its response_floor_ns of {self.response_floor_ns}: name the "
                "smallest response that can occur there (0 is always true)"
            )
        return taken

    def rejection(self, sent_ns: int) -> int:
        """Return after how long the sender of a lost request is told so."""
        return self._nanoseconds("rejection", self._model.rejection(sent_ns))

    def _nanoseconds(self, name: str, value: object) -> int:
        try:
            taken = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            taken = -1
        if taken < 0:
            raise ValueError(
                f"{self!r} gave {name} {value!r}; a latency is a whole number of nanoseconds, 0 or more (10 ms is "
                "10_000_000)"
            )
        return taken

    def __eq__(self, other: object) -> bool:
        # Asking again for a paper account with the same model means the same account.
        return isinstance(other, CheckedLatency) and self._model == other._model

    def __hash__(self) -> int:
        return hash(self._model)

    def __repr__(self) -> str:
        told = repr(self._model)
        return type(self._model).__name__ if " at 0x" in told else told
