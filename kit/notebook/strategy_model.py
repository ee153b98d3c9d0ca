"""A strategy as it shows itself: its parameters, and why it quotes what it quotes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from kit.notebook.controls_model import ControlsModel
from kit.notebook.draw_strategy import draw_strategy
from kit.notebook.panel import Frame

if TYPE_CHECKING:
    from kit.strategy.strategy_base import StrategyBase

PACE: Final = 1.0
"""Seconds of the strategy's time between two explanations: they count down, and are for reading."""


class StrategyModel(ControlsModel):
    """The form of parameters, and beside it state, verdict and the steps of the last proposal.

    The latter where the strategy has ``explain()``. ``now`` is the time that paces the explanations.
    """

    def __init__(self, strategy: StrategyBase, now: Callable[[], float]) -> None:
        super().__init__(strategy)
        self.name = f"strategy {strategy.name}"
        self._now = now
        self._told: dict[str, Any] = {}
        self._told_at = float("-inf")

    def frame(self, full: bool) -> Frame | None:
        """Return parameters and explanation, ``None`` when both are the same still."""
        form = super().frame(full)
        told = self._tell(full)
        if form is None and told == self._told:
            return None
        self._told = told
        return Frame({**(form.content if form is not None else {}), **told}, full=full)

    def _tell(self, full: bool) -> dict[str, Any]:
        state = self._state()
        now = self._now()
        if not full and state == self._told.get("state") and 0 <= now - self._told_at < PACE:
            return self._told
        self._told_at = now
        explain = getattr(self.strategy, "explain", None)
        told = explain() if callable(explain) else None
        verdict = str(getattr(told, "verdict", ""))
        # The table escapes its cells.
        steps = told.table.html() if verdict and told is not None and told.table.rows else ""
        return {"state": state, "verdict": verdict, "steps": steps}

    def _state(self) -> str:
        strategy = self.strategy
        if strategy.paused:
            return f"paused: {strategy.pause_reason}" if strategy.pause_reason else "paused"
        if strategy.clock is None:
            return "stopped"
        failed = strategy.consecutive_errors
        ticks = "tick" if failed == 1 else f"{failed} ticks"
        return f"the last {ticks} failed: {strategy.last_error}" if failed else ""

    def text(self) -> str:
        """Return state, parameters and explanation as text."""
        return draw_strategy(self.strategy).text

    def html(self) -> str:
        """Return the same as HTML."""
        return draw_strategy(self.strategy).html
