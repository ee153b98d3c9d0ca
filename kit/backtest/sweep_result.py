"""What a sweep gives back: a table of its trials, the best of them, a heat map, and how far to trust it."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kit.backtest.deflated_sharpe import DeflatedSharpe, deflated_sharpe
from kit.backtest.moments import moment
from kit.backtest.sweep_driver import SweepTrial
from kit.backtest.sweep_notes import Judgement, judge
from kit.backtest.sweep_plots import plot_sweep
from kit.backtest.sweep_space import Direction
from kit.backtest.sweep_trial import SHOWN, Window
from kit.errors import NotReady
from kit.storage.events import NANOSECONDS

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

BEST_SHOWN: Final = 10
"""Rows of the table that a notebook shows."""


class SweepResult:
    """The trials of a sweep. ``interrupted``: an interrupt or a cancellation came before it had ended.

    ``objective`` is what the search went by and ``direction`` where to, ``windows`` the in-sample and the held-out time
    (seconds since the epoch), ``search`` and ``setting`` say how it was done, ``own_objective`` that
    the objective is a function of the user's.
    """

    def __init__(
        self,
        trials: Sequence[SweepTrial],
        *,
        objective: str,
        direction: Direction,
        windows: Sequence[Window],
        search: str,
        planned: int,
        setting: Mapping[str, str],
        interrupted: bool = False,
        own_objective: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        self.trials = list(trials)
        self.objective = objective
        self.direction = direction
        self.windows = list(windows)
        self.search = search
        self.planned = planned
        self.setting = dict(setting)
        self.interrupted = interrupted
        self.own_objective = own_objective
        self._notes = list(notes)

    # -- trials ----------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> list[str]:
        """Return the names that were swept."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.params))

    @property
    def ranked(self) -> list[SweepTrial]:
        """Return the trials that have an objective, the best in-sample first; equal ones by number."""
        known = [trial for trial in self.trials if trial.state == "done" and math.isfinite(trial.value)]
        sign = -1 if self.direction == "maximize" else 1
        return sorted(known, key=lambda trial: (sign * trial.value, trial.number))

    @property
    def best(self) -> SweepTrial:
        """Return the best trial in-sample: ``kit.backtest(strategy, data, **sweep.best.params)`` runs it again.

        Raises ``NotReady`` where no trial has an objective.
        """
        ranked = self.ranked
        if not ranked:
            raise NotReady(
                f"no trial has a {self.objective}: "
                + ("all that ended failed" if any(trial.outcome for trial in self.trials) else "none has ended")
                + " or came to no number (a Sharpe ratio needs gains that vary, most others fills); see frame()"
            )
        return ranked[0]

    def frame(self) -> pd.DataFrame:
        """Return one row a trial by number: parameters, state, objective and statistics, error.

        ``…_in`` is in-sample, ``…_out`` held-out (``sweep_trial.SHOWN`` lists the statistics); money in quote asset.
        """
        import pandas as pd

        ends = ("in", "out")[: len(self.windows)]
        rows: list[dict[str, Any]] = []
        for trial in self.trials:
            row: dict[str, Any] = {name: trial.params.get(name) for name in self.parameters}
            row["state"] = trial.state
            runs = list(trial.outcome.runs) if trial.outcome is not None else []
            for name in ("objective", *SHOWN):
                for at, end in enumerate(ends):
                    run = runs[at] if at < len(runs) else None
                    value = math.nan if run is None else run.value if name == "objective" else run.statistics[name]
                    row[f"{name}_{end}"] = value
            row["error"] = trial.outcome.error if trial.outcome is not None else ""
            rows.append(row)
        return pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="trial"))

    # -- judging ---------------------------------------------------------------------------------------------------

    @property
    def deflated_sharpe(self) -> DeflatedSharpe:
        """Return the deflated Sharpe ratio of the best trial's in-sample gains over holding (``deflated_sharpe``)."""
        sharpes = [trial.outcome.runs[0].gains.sharpe for trial in self.ranked if trial.outcome is not None]
        best = self.best.outcome
        if best is None:
            raise NotReady("the best trial has not ended")
        return deflated_sharpe(best.runs[0].gains, sharpes)

    @property
    def judgement(self) -> Judgement:
        """Return what speaks for and against the best trial: ``warnings`` and ``notes``."""
        return judge(self, self._notes)

    @property
    def warnings(self) -> list[str]:
        """Return why not to trust the best trial; empty where nothing speaks against it."""
        return self.judgement.warnings

    # -- showing ---------------------------------------------------------------------------------------------------

    def plot(
        self,
        x: str | None = None,
        y: str | None = None,
        *,
        value: str = "objective",
        fixed: Mapping[str, Any] | None = None,
    ) -> go.Figure:
        """Draw a heat map of ``value`` over two parameters, in-sample beside held-out on one colour scale.

        ``x`` and ``y`` default to the two parameters with most values. Others are averaged over, unless ``fixed`` gives
        them a value; the title says which. ``value``: "objective" or a statistic of ``frame()`` without its ending.
        Parameters with more than 30 values are drawn as points, a single one as a line.
        Raises ``NotReady`` with nothing to draw, ``InvalidInput`` for unknown names.
        """
        return plot_sweep(self, x, y, value=value, fixed=fixed or {})

    @property
    def summary(self) -> dict[str, str]:
        """Return how the sweep was done, for readers."""
        names = ("in-sample", "held-out")
        spans = {name: _span(window) for name, window in zip(names, self.windows, strict=False)}
        goal = f"{self.direction} {self.objective} in-sample"
        return {**self.setting, "search": self.search, "objective": goal, **spans}

    def _repr_html_(self) -> str:
        judgement = self.judgement
        table = self.frame()
        empty = [name for name in ("error",) if not table[name].any()]
        empty += [name for name in ("state",) if (table[name] == "done").all()]
        if self.objective in SHOWN:  # the column "objective" has the same
            empty += [name for name in (f"{self.objective}_in", f"{self.objective}_out") if name in table]
        order = [trial.number for trial in self.ranked[:BEST_SHOWN]]
        order = order or list(table.index[:BEST_SHOWN])
        shown = table.loc[order].drop(columns=empty)
        count = f"the best {len(order)} of {len(table):,} trials" if len(table) > len(order) else f"{len(table)} trials"
        warn = "".join(
            f"<p style='color:#d98a1f;margin:.3em 0'>⚠ {html.escape(text)}</p>" for text in judgement.warnings
        )
        said = "".join(f"<li>{html.escape(text)}</li>" for text in judgement.notes)
        how = " · ".join(f"<b>{html.escape(name)}</b> {html.escape(text)}" for name, text in self.summary.items())
        body = shown.to_html(float_format=lambda number: f"{number:.6g}", border=0, na_rep="-")
        return (
            f"<div><h4 style='margin:.3em 0'>Sweep of {html.escape(self.setting.get('strategy', ''))}: {count}</h4>"
            f"{warn}<div style='overflow-x:auto'>{body}</div><ul style='margin:.4em 0'>{said}</ul>"
            f"<p style='opacity:.75;font-size:90%'>{how}</p></div>"
        )

    def __repr__(self) -> str:
        done = sum(trial.state == "done" for trial in self.trials)
        failed = sum(trial.state == "failed" for trial in self.trials)
        text = f"<SweepResult {done} of {self.planned} trials done"
        text += f", {failed} failed" if failed else ""
        if self.ranked:
            best = self.best
            given = ", ".join(f"{name}={value}" for name, value in best.params.items())
            text += f"; best {self.objective} {best.value:.6g} with {given}"
            text += f", held-out {best.held_out_value:.6g}" if len(self.windows) > 1 else ""
        return text + (f"; {len(self.warnings)} warnings>" if self.warnings else ">")


def _span(window: Window) -> str:
    start, end = (moment(round(time * NANOSECONDS))[:19] for time in (window.start, window.end))
    return f"{start} to {end} UTC ({window.seconds:g} s)"
