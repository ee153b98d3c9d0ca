"""Inline figures for analysis, made with plotly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from kit.errors import InvalidInput, NotReady
from kit.market.order_book import OrderBook
from kit.types.market import Level
from kit.types.orders import LimitOrder

if TYPE_CHECKING:
    import plotly.graph_objects as go

BID_COLOR: Final = "#2ca02c"
ASK_COLOR: Final = "#d62728"


def plot_depth(book: OrderBook, orders: Iterable[LimitOrder] = (), *, levels: int = 200) -> go.Figure:
    """Draw cumulative depth by price, with own orders marked on the curve.

    ``levels`` a side are drawn (at least 1); cumulative amounts are in base. Returns a ``plotly.graph_objects.Figure``.
    Raises ``NotReady`` while the book is empty.
    """
    import plotly.graph_objects as go

    if levels < 1:
        raise InvalidInput(f"levels is {levels}; it must be at least 1")
    bids, asks = book.depth(levels)
    if not bids and not asks:
        raise NotReady(f"the book of {book.trading_pair} is empty; wait until its connector is ready")
    base, quote = book.trading_pair.split(":")[0].split("/")
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
            )
        )
    _mark_orders(figure, [order for order in orders if order.trading_pair == book.trading_pair], bids, asks)
    figure.update_layout(
        title={"text": f"{book.trading_pair} depth"},
        xaxis={"title": f"price [{quote}]", "tickformat": ",~f"},
        yaxis_title=f"cumulative amount [{base}]",
        height=360,
        margin={"l": 60, "r": 20, "t": 50, "b": 45},
        hovermode="x unified",
        template="plotly_white",
    )
    return figure


def _cumulative(side: Sequence[Level]) -> list[float]:
    return list(accumulate(amount for _, amount in side))


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
