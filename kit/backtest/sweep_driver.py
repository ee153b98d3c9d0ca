"""Keeps workers busy with a search's trials and collects what comes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

from kit.backtest.sweep_space import Search
from kit.backtest.sweep_trial import Outcome
from kit.backtest.sweep_workers import Pool

LOOK: Final = 0.2
"""Seconds between two looks at whether the sweep shall stop."""


@dataclass
class SweepTrial:
    """One trial: its number, its parameters and, once it ended, its outcome."""

    number: int
    params: dict[str, Any]
    outcome: Outcome | None = None

    @property
    def state(self) -> str:
        """Return ``done``, ``failed`` or, where the sweep was stopped before it ended, ``not run``."""
        if self.outcome is None:
            return "not run"
        return "failed" if self.outcome.error else "done"

    @property
    def value(self) -> float:
        """Return the objective in-sample; NaN where there is none."""
        return self.outcome.runs[0].value if self.outcome is not None and self.outcome.runs else math.nan

    @property
    def held_out_value(self) -> float:
        """Return the objective held-out; NaN where there is none."""
        runs = self.outcome.runs if self.outcome is not None else ()
        return runs[1].value if len(runs) > 1 else math.nan


class Driver:
    """Runs a search on a pool. ``trials`` holds every trial asked for, in the order of their numbers.

    ``asking`` surrounds what may be the user's own code, a function that proposes parameters; there an interrupt may
    be raised.
    """

    def __init__(
        self,
        search: Search,
        stop: Event,
        show: Callable[[SweepTrial], None],
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.trials: list[SweepTrial] = []
        self._search = search
        self._stop = stop
        self._show = show
        self._asking = asking
        self._asked_all = False
        self._told = 0

    def run(self, pool: Pool) -> None:
        """Run until all trials have ended, or ``stop`` is set: what has ended then is kept."""
        self._ask(pool)
        while self._told < len(self.trials) and not self._stop.is_set():
            self._take(pool, pool.next(LOOK))
        if self._stop.is_set():
            for number, outcome in pool.ended():
                self.trials[number].outcome = outcome

    def _ask(self, pool: Pool) -> None:
        # Counted from the last trial told, not from those running, and asked after each tell: what the sampler knows
        # when it is asked must not hang on who is fast.
        while not self._asked_all and len(self.trials) - self._told < self._search.at_once and not self._stop.is_set():
            try:
                with self._asking():
                    params = self._search.ask()
            except KeyboardInterrupt:
                self._stop.set()
                return
            if params is None:
                self._asked_all = True
                return
            trial = SweepTrial(len(self.trials), params)
            self.trials.append(trial)
            pool.submit(trial.number, params)

    def _take(self, pool: Pool, ended: tuple[int, Outcome] | None) -> None:
        if ended is None:
            return
        trial = self.trials[ended[0]]
        trial.outcome = ended[1]
        self._show(trial)
        while self._told < len(self.trials) and (following := self.trials[self._told]).outcome is not None:
            known = math.isfinite(following.value)
            self._search.tell(following.number, following.value if known else None)
            self._told += 1
            self._ask(pool)
