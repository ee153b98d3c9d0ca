"""Inline figures for analysis, made with plotly; they can be read on light and on dark ground."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from kit.errors import InvalidInput, NotReady
from kit.market.order_book import OrderBook
from kit.notebook.formats import decimals_in, money_decimals, split_pair
from kit.trading.market_track import Fill
from kit.trading.pnl_history import Market
from kit.types.market import Level
from kit.types.orders import LimitOrder

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from kit.trading.series import Sample
    from kit.trading_core import TradingCore

BID_COLOR: Final = "#2b9348"
ASK_COLOR: Final = "#e5484d"
INVENTORY_COLOR: Final = "#3b82f6"
LINE_COLOR: Final = "#8a94a3"
"""Colours with a contrast of 3 and more to white and to black, as no theme is known when a figure is made."""


def _dress(figure: go.Figure, template: Any) -> None:
    """Give a figure grounds that let the page shine through, and greys that stand out on any."""
    if template is not None:
        figure.update_layout(template=template)
        return
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": LINE_COLOR, "family": "system-ui, sans-serif", "size": 12},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
    )
    axis = {"gridcolor": "rgba(128,128,128,0.25)", "zerolinecolor": "rgba(128,128,128,0.6)", "linecolor": LINE_COLOR}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)


def plot_depth(
    book: OrderBook, orders: Iterable[LimitOrder] = (), *, levels: int = 200, template: Any = None
) -> go.Figure:
    """Draw cumulative depth by price, with own orders marked on the curve.

    ``levels`` a side are drawn (at least 1); cumulative amounts are in base. ``template`` is plotly's; by default the
    figure can be read on light and on dark ground. Returns a ``plotly.graph_objects.Figure``.
    Raises ``NotReady`` while the book is empty.
    """
    import plotly.graph_objects as go

    from kit.notebook.kinds import require_book

    require_book(book, "plot_depth")
    if levels < 1:
        raise InvalidInput(f"levels is {levels}; it must be at least 1")
    bids, asks = book.depth(levels)
    if not bids and not asks:
        raise NotReady(f"the book of {book.trading_pair} is empty; wait until its connector is ready")
    base, quote = split_pair(book.trading_pair)
    figure = go.Figure()
    for name, side, color in (("bids", bids, BID_COLOR), ("asks", asks, ASK_COLOR)):
        figure.add_trace(
            go.Scatter(
                x=[price for price, _ in side],
                y=_cumulative(side),
                name=name,
                mode="lines",
                line={"shape": "hv" if name == "asks" else "vh", "color": color, "width": 1.5},
                fill="tozeroy",
                hovertemplate=f"%{{y:,.5~f}} {base}",
            )
        )
    mine = [order for order in orders if order.trading_pair == book.trading_pair]
    _mark_orders(figure, mine, bids, asks)
    decimals = decimals_in(price for price, _ in [*bids, *asks])
    figure.update_layout(
        title={"text": f"{book.trading_pair} depth", "x": 0.01},
        xaxis={
            "title": {"text": f"price [{quote}]"},
            "tickformat": ",~f",
            "hoverformat": f",.{decimals}f",
            "range": _price_range(bids, asks, [float(order.price) for order in mine]),
        },
        yaxis={"title": {"text": f"cumulative amount [{base}]"}, "rangemode": "tozero"},
        height=360,
        margin={"l": 65, "r": 20, "t": 45, "b": 45},
        hovermode="x unified",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
    )
    _dress(figure, template)
    return figure


def _cumulative(side: Sequence[Level]) -> list[float]:
    return list(accumulate(amount for _, amount in side))


def _price_range(bids: Sequence[Level], asks: Sequence[Level], own: Sequence[float]) -> tuple[float, float]:
    """Return the prices to show: those of the levels, and own orders that lie not farther away than those reach."""
    shown = [price for price, _ in [*bids, *asks]]
    low, high = min(shown), max(shown)
    reach = (high - low) or high * 1e-4
    near = [price for price in own if low - reach / 2 <= price <= high + reach / 2]
    low, high = min(low, *near, low), max(high, *near, high)
    air = (high - low or reach) * 0.02
    return low - air, high + air


def _mark_orders(figure: go.Figure, orders: list[LimitOrder], bids: Sequence[Level], asks: Sequence[Level]) -> None:
    for is_buy, side, color in ((True, bids, BID_COLOR), (False, asks, ASK_COLOR)):
        mine = [order for order in orders if order.is_buy is is_buy]
        if not mine:
            continue
        prices = [float(order.price) for order in mine]
        figure.add_scatter(
            x=prices,
            y=[_depth_to(side, price, is_buy) for price in prices],
            name="own buys" if is_buy else "own sells",
            mode="markers",
            marker={"symbol": "diamond", "size": 10, "color": color, "line": {"width": 1, "color": "black"}},
            text=[f"{order.quantity} @ {order.price}" for order in mine],
            hoverinfo="text+name",
        )


def _depth_to(side: Sequence[Level], price: float, is_buy: bool) -> float:
    return sum(amount for level, amount in side if (level >= price if is_buy else level <= price))


def plot_pnl(
    core: TradingCore, *, trading_pair: str | None = None, height: int = 620, template: Any = None
) -> go.Figure:
    """Draw price with own fills, inventory and profit over time, one below the other; see ``core.plot_pnl``."""
    from plotly.subplots import make_subplots

    from kit.notebook.kinds import require_core

    require_core(core, "plot_pnl")
    market, rows, fills = core.affinity.read(_read, core, trading_pair)
    base, quote = split_pair(market.trading_pair)
    titles = (f"price [{quote}]", f"inventory [{base}]", f"profit [{quote}]")
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.07, row_heights=[0.44, 0.23, 0.33], subplot_titles=titles
    )
    figure.update_annotations(x=0, xanchor="left", font_size=12)
    prices = decimals_in(fill.price for fill in fills) or 2
    times = [datetime.fromtimestamp(row[0], UTC) for row in rows]
    _add_line(figure, 1, times, [row[1] for row in rows], "price", LINE_COLOR, f"%{{y:,.{prices}f}} {quote}")
    _add_fills(figure, fills, base)
    _add_line(figure, 2, times, [row[2] for row in rows], "inventory", INVENTORY_COLOR, f"%{{y:+,.6~f}} {base}", "hv")
    gain = rows[-1][3]
    money = money_decimals(quote, prices)
    color = BID_COLOR if gain >= 0 else ASK_COLOR
    _add_line(
        figure, 3, times, [row[3] for row in rows], "profit", color, f"%{{y:+,.{money}f}} {quote}", fill="tozeroy"
    )
    figure.update_yaxes(tickformat=",~f", row=1, col=1)
    figure.update_layout(
        title={
            "text": f"{market.trading_pair} on {market.connector} ({market.mode}): {gain:+,.{money}f} {quote}",
            "x": 0.01,
        },
        height=height,
        margin={"l": 75, "r": 20, "t": 50, "b": 35},
        hovermode="x unified",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.01, "yanchor": "bottom"},
    )
    _dress(figure, template)
    return figure


def _read(core: TradingCore, trading_pair: str | None) -> tuple[Market, list[Sample], list[Fill]]:
    """Return what is to be drawn, all of one moment."""
    market = _market(core, trading_pair)
    rows = core.history.series(market).rows()
    if not rows:
        raise NotReady(
            f"core {core.name} has no sample of {market.trading_pair} yet; one comes with each second it runs"
        )
    if core.running and (now := core.history.now().get(market)) is not None:
        rows.append((core.clock.time(), *astuple(now)))  # what was filled since the last sample counts, too
    return market, rows, core.history.fills(market, rows[0][0])


def _market(core: TradingCore, trading_pair: str | None) -> Market:
    """Return the market that is meant: of several modes and connectors that with most fills, then the last one."""
    now = core.history.now()
    known = [
        market
        for market in {**now, **dict.fromkeys(core.history.markets)}
        if trading_pair in (None, market.trading_pair)
    ]
    if not known and trading_pair is None:
        raise NotReady(f"core {core.name} has no market to trade on; add a connector with mode='paper' or 'live'")
    if not known:
        pairs = ", ".join(sorted({market.trading_pair for market in now}))
        raise InvalidInput(f"trading_pair is {trading_pair!r}; core {core.name} has {pairs or 'no market yet'}")
    return max(known, key=lambda market: (now[market].fills if market in now else 0, len(core.history.series(market))))


def _add_line(
    figure: go.Figure,
    row: int,
    times: Sequence[datetime],
    values: Sequence[float],
    name: str,
    color: str,
    hover: str,
    shape: str = "linear",
    fill: str | None = None,
) -> None:
    figure.add_scatter(
        x=times,
        y=values,
        name=name,
        mode="lines",
        line={"color": color, "width": 1.4, "shape": shape},
        fill=fill,
        hovertemplate=hover,
        showlegend=False,
        row=row,
        col=1,
    )


def _add_fills(figure: go.Figure, fills: Sequence[Fill], base: str) -> None:
    for is_buy, name, color, symbol in (
        (True, "own buys", BID_COLOR, "triangle-up"),
        (False, "own sells", ASK_COLOR, "triangle-down"),
    ):
        mine = [fill for fill in fills if fill.is_buy is is_buy]
        figure.add_scatter(
            x=[datetime.fromtimestamp(fill.time, UTC) for fill in mine],
            y=[fill.price for fill in mine],
            name=f"{name} ({len(mine):,})",
            mode="markers",
            marker={
                "symbol": symbol,
                "size": 9,
                "color": color,
                "line": {"width": 1, "color": "rgba(128,128,128,0.6)"},
            },
            text=[f"{fill.amount:,.8g} {base} @ {fill.price:,.10g}" for fill in mine],
            hoverinfo="text+name",
            row=1,
            col=1,
        )
