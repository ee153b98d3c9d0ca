"""Figures of sweeps: a value over one or two parameters, in-sample beside held-out."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kit.backtest.result_plots import BLUE, RED, styled
from kit.backtest.run_record import Floats
from kit.backtest.sweep_trial import SHOWN
from kit.errors import InvalidInput, NotReady

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from kit.backtest.sweep_driver import SweepTrial
    from kit.backtest.sweep_result import SweepResult

MOST_CELLS: Final = 30
"""Values of a parameter up to which it is an axis of a heat map; of more, trials are drawn as points."""

_PANELS: Final = ("in-sample", "held-out")


class Axis:
    """A parameter's values among trials, in order: numbers by size, others as they came."""

    def __init__(self, name: str, trials: Sequence[SweepTrial]) -> None:
        self.name = name
        values = list({_key(trial.params.get(name)): trial.params.get(name) for trial in trials}.values())
        self.numeric = all(not math.isnan(_number(value)) for value in values)
        self.values = sorted(values, key=_number) if self.numeric else values
        self._places = {_key(value): at for at, value in enumerate(self.values)}

    @property
    def labels(self) -> list[str]:
        """Return the values as texts."""
        return [str(value) for value in self.values]

    def at(self, trial: SweepTrial) -> int:
        """Return the place of a trial's value."""
        return self._places[_key(trial.params.get(self.name))]


def plot_sweep(result: SweepResult, x: str | None, y: str | None, *, value: str, fixed: Mapping[str, Any]) -> go.Figure:
    """Draw ``value`` over the parameters ``x`` and ``y``; see ``SweepResult.plot``."""
    if value != "objective" and value not in SHOWN:
        raise InvalidInput(f"value is {value!r}; draw 'objective' or one of {', '.join(SHOWN)}")
    known = [trial for trial in result.trials if trial.state == "done"]
    if not known:
        raise NotReady("no trial has ended well: there is nothing to draw; frame() has the errors")
    trials = _kept(known, fixed)
    free = [name for name in result.parameters if name not in fixed]
    names = _chosen(result, trials, free, x, y)
    axes = [Axis(name, trials) for name in names]
    figure, title = _empty(result, trials, free, names, value, fixed)
    panels = [_values(trials, value, at) for at in range(len(result.windows))]
    finite = np.concatenate(panels)
    finite = finite[np.isfinite(finite)]
    scale = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    draw = _lines if len(axes) == 1 else _cells if all(len(axis.values) <= MOST_CELLS for axis in axes) else _points
    for column, values in enumerate(panels, start=1):
        draw(figure, column, axes, trials, values, scale)
        _mark(figure, column, axes, trials, result)
    low, high = scale
    words = result.objective if value == "objective" else value
    figure.update_layout(
        coloraxis={"colorscale": "Viridis", "cmin": low, "cmax": high, "colorbar": {"title": words}}, showlegend=False
    )
    styled(figure, title, height=460)
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(tickformat=None)
    return figure


def _key(value: Any) -> Hashable:
    return value if isinstance(value, int | float | str) else repr(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _kept(trials: Sequence[SweepTrial], fixed: Mapping[str, Any]) -> list[SweepTrial]:
    kept = list(trials)
    for name, wanted in fixed.items():
        found = [trial for trial in kept if _key(trial.params.get(name)) == _key(wanted)]
        if not found:
            values = ", ".join(Axis(name, kept).labels)
            raise InvalidInput(f"fixed has {name}={wanted!r}, which no trial has; they have {values}")
        kept = found
    return kept


def _chosen(
    result: SweepResult, trials: Sequence[SweepTrial], free: Sequence[str], x: str | None, y: str | None
) -> list[str]:
    for name in (x, y):
        if name is not None and name not in free:
            raise InvalidInput(f"{name!r} is not to be drawn over; choose among {', '.join(free) or 'nothing'}")
    if x is not None and x == y:
        raise InvalidInput(f"x and y are both {x!r}; choose two parameters, or x alone where there is one")
    others = [name for name in free if name not in (x, y)]
    others.sort(key=lambda name: -len(Axis(name, trials).values))  # stable: equal ones in their order
    names = [name if name is not None else others.pop(0) if others else None for name in (x, y)]
    chosen = [name for name in names if name is not None]
    if not chosen:
        raise InvalidInput(f"all of {', '.join(result.parameters)} are fixed; leave one or two of them free")
    return chosen


def _empty(
    result: SweepResult,
    trials: Sequence[SweepTrial],
    free: Sequence[str],
    names: Sequence[str],
    value: str,
    fixed: Mapping[str, Any],
) -> tuple[go.Figure, str]:
    from plotly.subplots import make_subplots

    panels = _PANELS[: len(result.windows)]
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=panels, shared_yaxes=True, horizontal_spacing=0.04)
    figure.update_xaxes(title=names[0])
    if len(names) > 1:
        figure.update_yaxes(title=names[1], col=1)
    words = [result.objective if value == "objective" else value]
    words += [f"{name} = {given}" for name, given in fixed.items()]
    counts = {name: len(Axis(name, trials).values) for name in free if name not in names}
    words += [f"averaged over {count} values of {name}" for name, count in counts.items() if count > 1]
    return figure, " · ".join(words)


def _values(trials: Sequence[SweepTrial], value: str, window: int) -> Floats:
    found = []
    for trial in trials:
        run = trial.outcome.runs[window] if trial.outcome is not None else None
        found.append(math.nan if run is None else run.value if value == "objective" else run.statistics[value])
    return np.array(found, dtype=np.float64)


def _cells(
    figure: go.Figure,
    column: int,
    axes: Sequence[Axis],
    trials: Sequence[SweepTrial],
    values: Floats,
    scale: tuple[float, float],  # noqa: ARG001 - all kinds of drawing are called alike
) -> None:
    across, up = axes
    sums, counts = np.zeros((len(up.values), len(across.values))), np.zeros((len(up.values), len(across.values)))
    for trial, value in zip(trials, values, strict=True):
        if math.isfinite(value):
            sums[up.at(trial), across.at(trial)] += value
            counts[up.at(trial), across.at(trial)] += 1
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    figure.add_heatmap(
        x=across.labels,
        y=up.labels,
        z=means,
        customdata=counts,
        coloraxis="coloraxis",
        texttemplate="%{z:.4~g}" if means.size <= 100 else None,
        hovertemplate=f"{across.name} %{{x}}<br>{up.name} %{{y}}<br>%{{z:.6~g}}, %{{customdata}} trials<extra></extra>",
        row=1,
        col=column,
    )
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(type="category", row=1, col=column)


def _points(
    figure: go.Figure,
    column: int,
    axes: Sequence[Axis],
    trials: Sequence[SweepTrial],
    values: Floats,
    scale: tuple[float, float],  # noqa: ARG001
) -> None:
    figure.add_scatter(
        x=[_shown(axes[0], trial) for trial in trials],
        y=[_shown(axes[1], trial) for trial in trials],
        mode="markers",
        marker={"color": values, "coloraxis": "coloraxis", "size": 9},
        text=[f"trial {trial.number}: {value:.6g}" for trial, value in zip(trials, values, strict=True)],
        hovertemplate="%{x}, %{y}<br>%{text}<extra></extra>",
        row=1,
        col=column,
    )


def _lines(
    figure: go.Figure,
    column: int,
    axes: Sequence[Axis],
    trials: Sequence[SweepTrial],
    values: Floats,
    scale: tuple[float, float],
) -> None:
    (axis,) = axes
    means = []
    for at in range(len(axis.values)):
        mine = values[[axis.at(trial) == at for trial in trials]]
        mine = mine[np.isfinite(mine)]
        means.append(float(mine.mean()) if len(mine) else math.nan)
    x = [_number(value) for value in axis.values] if axis.numeric else axis.labels
    figure.add_scatter(x=x, y=means, mode="lines+markers", line={"color": BLUE}, row=1, col=column)
    room = (scale[1] - scale[0] or abs(scale[0]) or 1.0) * 0.05
    figure.update_yaxes(range=[scale[0] - room, scale[1] + room], row=1, col=column)


def _shown(axis: Axis, trial: SweepTrial) -> Any:
    value = trial.params.get(axis.name)
    return _number(value) if axis.numeric else str(value)


def _mark(
    figure: go.Figure, column: int, axes: Sequence[Axis], trials: Sequence[SweepTrial], result: SweepResult
) -> None:
    """Put a ring around the best trial in-sample, where it is among those drawn."""
    ranked = result.ranked
    if len(axes) < 2 or not ranked or ranked[0] not in trials:
        return
    best = ranked[0]
    cells = all(len(axis.values) <= MOST_CELLS for axis in axes)
    x, y = ([axis.labels[axis.at(best)]] if cells else [_shown(axis, best)] for axis in axes)
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"symbol": "circle-open", "size": 26, "color": RED, "line": {"color": RED, "width": 3}},
        hovertemplate=f"the best in-sample, trial {best.number}<extra></extra>",
        row=1,
        col=column,
    )
