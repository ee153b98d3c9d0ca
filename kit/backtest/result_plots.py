"""Interactive figures of results, made with plotly; readable on light and dark pages."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kit.backtest.analysis import Analysis
from kit.backtest.result_frames import cumulative, market_names, times_column
from kit.backtest.run_record import Floats
from kit.errors import InvalidInput, NotReady

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_POINTS: Final = 2000
"""Points drawn of one line; of more, each short span's least and greatest value stay, so that no extreme is lost."""

MOST_FILLS: Final = 2000

BLUE, GREEN, RED, AMBER, VIOLET, GREY = "#4c8bf5", "#1fa35c", "#e5484d", "#d98a1f", "#9a6bf0", "#8a919c"

_HEIGHTS: Final = (0.32, 0.22, 0.13, 0.15, 0.18)


def down_sample(values: Floats, most: int = MOST_POINTS) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the indices to draw: all of up to ``most`` values, else the least and the greatest of each short span.

    First and last are kept; NaN is never chosen while its span has a number, and a span of NaN alone gives one NaN,
    which shows as a gap.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    edges = np.linspace(0, count, max(2, most // 2) + 1).astype(np.intp)
    low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
    picked = [0, count - 1]
    for start, end in itertools.pairwise(edges):
        picked += [int(start + np.argmin(low[start:end])), int(start + np.argmax(high[start:end]))]
    return np.unique(np.array(picked, dtype=np.intp))


def plot_result(analysis: Analysis, title: str, *, trading_pair: str | None = None) -> go.Figure:
    """Draw price with own fills, equity, drawdown, inventory and spread captured above one time axis.

    ``trading_pair`` chooses whose price and fills are drawn; the default is the pair with most fills.
    Raises ``NotReady`` where the run has no samples, ``InvalidInput`` for a pair that was not traded.
    """
    from plotly.subplots import make_subplots

    if not len(analysis.times):
        raise NotReady("the run has no samples to draw: it ended before its first tick; give it more data")
    market = chosen_market(analysis, trading_pair)
    quote = analysis.run.quote_asset
    name = market_names(analysis.run)[market]
    pair_quote = analysis.run.markets[market].quote
    asset = analysis.run.markets[market].base
    inventory = analysis.inventory.get(asset, np.zeros(len(analysis.times)))
    figure = make_subplots(rows=5, cols=1, shared_xaxes=True, vertical_spacing=0.022, row_heights=_HEIGHTS)
    _line(figure, 1, analysis, analysis.valuation.raw_mids[:, market], f"{name} mid price", GREY, width=1.1)
    drawn = _fills(figure, analysis, market)
    _line(figure, 2, analysis, analysis.equity, "equity", BLUE, width=1.6)
    _line(figure, 2, analysis, analysis.holding, "holding only", GREY, dash="dot")
    falls = np.maximum.accumulate(analysis.equity) - analysis.equity
    _line(figure, 3, analysis, -falls, "drawdown", RED, fill="tozeroy")
    _line(figure, 4, analysis, inventory, f"{asset} gained", VIOLET, shape="hv")
    spread = cumulative(analysis, [float(fill.spread) for fill in analysis.fills])
    fees = cumulative(analysis, [float(fill.fee) for fill in analysis.fills])
    _line(figure, 5, analysis, spread, "spread captured", GREEN, shape="hv", width=1.6)
    _line(figure, 5, analysis, fees, "fees", AMBER, shape="hv", dash="dot")
    titles = [f"price [{pair_quote}]", f"equity [{quote}]", f"drawdown [{quote}]", f"inventory [{asset}]"]
    _line(figure, 5, analysis, analysis.equity - analysis.holding, "gain over holding", BLUE)
    for row, text in enumerate([*titles, f"trading [{quote}]"], start=1):
        figure.update_yaxes(title={"text": text, "font": {"size": 11}}, row=row, col=1)
    return styled(figure, title + drawn, height=820)


def plot_equities(runs: Mapping[str, Analysis], title: str) -> go.Figure:
    """Draw what trading added in each of two runs over time, how their gains differ, and their inventories' worth.

    What the market did to the initial balances is left out of the first: it would be most of both lines, and the same
    in both; the legend's "holding" shows it. The difference, second less first, is taken at the first run's samples,
    from the second's latest before each.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=(0.5, 0.25, 0.25))
    (one, first), (two, second) = runs.items()
    gains = [analysis.equity - float(analysis.pnl.initial_equity) for analysis in (first, second)]
    for name, analysis, color in ((one, first, BLUE), (two, second, AMBER)):
        _line(figure, 1, analysis, analysis.equity - analysis.holding, name, color, width=1.6)
        _line(figure, 3, analysis, analysis.inventory_value, f"{name}: inventory", color, shape="hv")
    at = np.searchsorted(second.times, first.times, side="right") - 1
    later = np.where(at >= 0, gains[1][np.maximum(at, 0)], np.nan) if len(second.times) else np.full(len(at), np.nan)
    _line(figure, 2, first, later - gains[0], f"{two} less {one}", VIOLET, width=1.6)
    _line(figure, 1, first, first.holding - float(first.pnl.initial_equity), "holding", GREY)
    figure.data[-1].visible = "legendonly"
    quote = first.run.quote_asset
    for row, words in enumerate(("gain over holding", "difference", "inventory"), start=1):
        figure.update_yaxes(title={"text": f"{words} [{quote}]", "font": {"size": 11}}, row=row, col=1)
    return styled(figure, title, height=640)


def styled(figure: go.Figure, title: str, *, height: int) -> go.Figure:
    """Give a figure transparent grounds and greys that read on white and on black."""
    figure.update_layout(
        title={"text": title, "font": {"size": 15}, "x": 0.01, "y": 0.985, "yanchor": "top"},
        height=height,
        margin={"l": 80, "r": 20, "t": 90, "b": 40},
        font={"color": GREY, "size": 12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="x",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
    )
    grid = {"gridcolor": "rgba(128,128,128,0.22)", "zerolinecolor": "rgba(128,128,128,0.45)", "linecolor": GREY}
    figure.update_xaxes(**grid, showspikes=True, spikemode="across", spikethickness=1, spikedash="dot")
    figure.update_yaxes(**grid, tickformat=",~f", automargin=True)
    return figure


def chosen_market(analysis: Analysis, trading_pair: str | None) -> int:
    """Return the index of the pair's market, of the one with most fills for ``None``."""
    if trading_pair is None:
        counts = np.bincount([fill.market for fill in analysis.fills], minlength=len(analysis.run.markets))
        return int(np.argmax(counts))
    names = market_names(analysis.run)
    for index, market in enumerate(analysis.run.markets):
        if trading_pair in (market.trading_pair, names[index]):
            return index
    raise InvalidInput(f"this run did not trade {trading_pair!r}; choose one of {names}")


def _line(
    figure: go.Figure,
    row: int,
    analysis: Analysis,
    values: Floats,
    name: str,
    color: str,
    *,
    width: float = 1.2,
    dash: str = "solid",
    shape: str = "linear",
    fill: str | None = None,
) -> None:
    at = down_sample(values)
    figure.add_scatter(
        x=times_column(analysis.times[at]),
        y=values[at],
        name=name,
        mode="lines",
        line={"color": color, "width": width, "dash": dash, "shape": shape},
        fill=fill,
        row=row,
        col=1,
    )


def _fills(figure: go.Figure, analysis: Analysis, market: int) -> str:
    mine = [fill for fill in analysis.fills if fill.market == market]
    drawn = mine if len(mine) <= MOST_FILLS else [mine[at] for at in _spread_out(len(mine), MOST_FILLS)]
    for sign, name, symbol, color in ((1, "buys", "triangle-up", GREEN), (-1, "sells", "triangle-down", RED)):
        side = [fill for fill in drawn if fill.sign == sign]
        figure.add_scatter(
            x=times_column([fill.record.event.timestamp for fill in side]),
            y=[float(fill.record.event.price) for fill in side],
            text=[f"{fill.record.event.amount} @ {fill.record.event.price}" for fill in side],
            hovertemplate="%{text}",
            name=name,
            mode="markers",
            marker={"symbol": symbol, "size": 6 if len(drawn) > 200 else 10, "color": color, "opacity": 0.75},
            row=1,
            col=1,
        )
    return "" if len(drawn) == len(mine) else f" · {len(drawn):,} of {len(mine):,} fills drawn"


def _spread_out(count: int, most: int) -> Sequence[int]:
    return [int(at) for at in np.linspace(0, count - 1, most).round()]
