"""The mid price of a pair over time, with own fills as marks and own resting orders as lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.errors import NotSupported
from kit.notebook.core_model import BookModel
from kit.notebook.formats import ASK, BID, escape, exact, number
from kit.notebook.html_parts import quantity, soft, stack, title
from kit.notebook.panel import Frame
from kit.notebook.pnl_model import RENEW_AFTER, packed
from kit.trading.market_track import Fill, track_of

if TYPE_CHECKING:
    from kit.connectors.connector import Connector

FILLS: Final = 400
"""Fills that go to a page at first: the last ones; it then keeps those that come."""

WIDTH, HEIGHT = 640, 200


class PriceModel(BookModel):
    """One pair's price over time. Raises ``UnknownPair`` for a pair that is not streamed.

    Prices come from the core's ticks, and while the chart is seen from here, at most one a second. A frame has 8 bytes
    a sample: times as offsets of float32 from ``start``, prices from ``reference``; fills are [time, price, is_buy,
    words], resting orders [price, is_buy, words, state].
    """

    def __init__(self, market: Connector, pair: str, *, time_source: TimeSource = SYSTEM_TIME) -> None:
        super().__init__(market, pair, "price")
        self.track = track_of(market)
        self._time_source = time_source
        self._head: dict[str, Any] = {}
        self._sent = -math.inf
        self._fills_seen = -1
        self._last_fills: list[Fill] = []
        self._since_full = 0

    # -- frames ----------------------------------------------------------------------------------------------------

    def frame(self, full: bool) -> Frame | None:
        """Return head, samples, fills and orders, the new ones unless ``full``; ``None`` when nothing is new."""
        source = self.source
        if not source.ended:
            self.track.sample(source.market, self._time_source.time())
        full = full or self._since_full > RENEW_AFTER
        if full:
            self._sent, self._since_full, self._fills_seen, self._last_fills = -math.inf, 0, -1, []
        head = self._read_head()
        rows = self.track.mids(source.pair).rows(self._sent)
        fills = self._new_fills()
        if not full and head == self._head and not rows and not fills:
            return None
        if rows:
            self._since_full += 0 if full else len(rows)
            self._sent = rows[-1][0]
        self._head = head
        start, reference = (rows[0][0], rows[0][1]) if rows else (0.0, 0.0)
        samples = {"start": start, "reference": reference, "count": len(rows)}
        content = {**head, "samples": samples, "fills": [self._fill_cells(fill) for fill in fills]}
        return Frame(content, [packed(rows, start, reference, 2)], full=full)

    def _read_head(self) -> dict[str, Any]:
        source = self.source
        prices, _ = source.decimals
        mid = source.book.mid_price
        return {
            "pair": source.pair,
            "base": source.base,
            "quote": source.quote,
            "state": source.state,
            "decimals": prices,
            "mid": number(mid, prices + 1),
            "orders": [
                [float(mark.price), mark.is_buy, f"{exact(mark.amount)} @ {exact(mark.price)}", mark.state]
                for mark in source.own_orders()
            ],
        }

    def _new_fills(self) -> list[Fill]:
        if self.track.version == self._fills_seen:
            return []
        self._fills_seen = self.track.version
        fills = self.track.fills(self.source.pair)[-FILLS:]
        known = set(self._last_fills)
        self._last_fills = fills
        return [fill for fill in fills if fill not in known]

    def _fill_cells(self, fill: Fill) -> list[Any]:
        prices, amounts = self.source.decimals
        return [fill.time, fill.price, fill.is_buy, f"{number(fill.amount, amounts)} @ {number(fill.price, prices)}"]

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse: nothing can be asked of a chart."""
        raise NotSupported(f"a price chart takes no command {message.get('do')!r}")

    # -- without a page --------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return the price, its range, and how much was filled."""
        head, fills = self._read_head(), self.track.fills(self.source.pair)
        prices = [row[1] for row in self.track.mids(self.source.pair).rows()]
        decimals = self.source.decimals[0]
        span = f", {number(min(prices), decimals)} to {number(max(prices), decimals)} seen" if prices else ""
        return (
            f"{self.name}: mid {head['mid']} {head['quote']}{span}; {quantity(len(fills), 'own fill')}, "
            f"{quantity(len(head['orders']), 'own order')}"
        )

    def html(self) -> str:
        """Return the chart of now as a picture."""
        rows = self.track.mids(self.source.pair).rows()
        if len(rows) < 2:
            return stack(title(self.name, soft("no prices yet")))
        fills = [fill for fill in self.track.fills(self.source.pair) if fill.time >= rows[0][0]]
        orders = [(float(mark.price), mark.is_buy) for mark in self.source.own_orders()]
        picture = _svg([(row[0], row[1]) for row in rows], fills, orders, self.text())
        return stack(
            title(self.source.pair, f"mid {escape(self._read_head()['mid'])} {escape(self.source.quote)}"), picture
        )


def _svg(rows: list[tuple[float, float]], fills: list[Fill], orders: list[tuple[float, bool]], words: str) -> str:
    """Draw prices as a line, buys as triangles up, sells as triangles down, resting orders as dashes."""
    shown = [price for _, price in rows] + [fill.price for fill in fills] + [price for price, _ in orders]
    low, high = min(shown), max(shown)
    begin, end = rows[0][0], max(rows[-1][0], rows[0][0] + 1)
    reach = (high - low) or 1.0

    def x(time: float) -> float:
        return (time - begin) / (end - begin) * WIDTH

    def y(price: float) -> float:
        return 10 + (high - price) / reach * (HEIGHT - 20)

    every = max(1, len(rows) // WIDTH)
    line = " ".join(f"{x(time):.1f},{y(price):.1f}" for time, price in [*rows[::every], rows[-1]])
    parts = [f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.2"/>']
    for price, is_buy in orders:
        level = f'x1="0" x2="{WIDTH}" y1="{y(price):.1f}" y2="{y(price):.1f}"'
        parts.append(f'<line {level} stroke="{BID if is_buy else ASK}" stroke-dasharray="4 4"/>')
    for fill in fills:
        tip, color = (6, BID) if fill.is_buy else (-6, ASK)
        parts.append(f'<path d="M{x(fill.time):.1f} {y(fill.price):.1f} l-4 {tip} h8 z" fill="{color}"/>')
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" style="width:100%;max-width:{WIDTH}px;height:auto">'
        f"<title>{escape(words)}</title>{''.join(parts)}</svg><div>{escape(words)}</div>"
    )
