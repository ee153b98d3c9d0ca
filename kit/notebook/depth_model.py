"""The depth chart: cumulative amounts by price, with own orders on the curve."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from kit.errors import InvalidInput, NotSupported
from kit.notebook.core_model import BookModel
from kit.notebook.formats import ASK, BID, escape, exact, number
from kit.notebook.html_parts import quantity
from kit.notebook.panel import Frame
from kit.types.market import Level

if TYPE_CHECKING:
    from kit.connectors.connector import Connector

WIDTH, HEIGHT = 640, 240
MAX_LEVELS: Final = 2000


class DepthModel(BookModel):
    """The depth of one pair, ``levels`` a side (1 to 2000).

    A frame is 16 bytes a level: prices as offsets of float32 from ``reference`` and cumulative amounts in base, first
    the bids, then the asks, best first. Raises ``InvalidInput`` and ``UnknownPair``.
    """

    def __init__(self, market: Connector, pair: str, levels: int = 200) -> None:
        if not 1 <= levels <= MAX_LEVELS:
            raise InvalidInput(f"levels is {levels}; give 1 to {MAX_LEVELS} levels a side")
        super().__init__(market, pair, "depth")
        self.levels = levels
        self._last: tuple[Any, ...] = ()

    def frame(self, full: bool) -> Frame | None:
        """Return the whole picture, ``None`` when it is the last one still."""
        source = self.source
        bids, asks = source.book.depth(self.levels)
        marks, state = source.own_orders(), source.state
        now = (bids, asks, marks, state)
        if not full and now == self._last:
            return None
        self._last = now
        reference = _middle(bids, asks)
        prices, amounts = source.decimals
        content = {
            "pair": source.pair,
            "base": source.base,
            "quote": source.quote,
            "state": state,
            "decimals": [prices, amounts],
            "reference": reference,
            "bids": len(bids),
            "asks": len(asks),
            "mid": number(reference, prices + 1) if bids and asks else "—",
            "spread": number(asks[0][0] - bids[0][0], prices) if bids and asks else "—",
            "marks": [
                [float(mark.price), f"{exact(mark.amount)} @ {exact(mark.price)}", mark.is_buy, mark.state]
                for mark in marks
            ],
        }
        return Frame(content, [_packed(bids, asks, reference)])

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse: nothing can be asked of a chart."""
        raise NotSupported(f"a depth chart takes no command {message.get('do')!r}")

    def text(self) -> str:
        """Return the touch, and the depth on both sides, in a line or two."""
        bids, asks = self.source.book.depth(self.levels)
        if not bids or not asks:
            return f"{self.name}: no levels yet"
        prices, amounts = self.source.decimals
        (bid, _), (ask, _) = bids[0], asks[0]
        sums = [number(sum(amount for _, amount in side), amounts) for side in (bids, asks)]
        return (
            f"{self.name}: {number(bid, prices)} / {number(ask, prices)} {self.source.quote}; "
            f"{sums[0]} {self.source.base} bid, {sums[1]} asked on {len(bids)} and {len(asks)} levels; "
            f"{quantity(len(self.source.own_orders()), 'own order')}"
        )

    def html(self) -> str:
        """Return the chart of now as a picture."""
        bids, asks = self.source.book.depth(self.levels)
        if not bids or not asks:
            return f"<div>{escape(self.text())}</div>"
        return _svg(bids, asks, [(float(mark.price), mark.is_buy) for mark in self.source.own_orders()], self.text())


def _middle(bids: Sequence[Level], asks: Sequence[Level]) -> float:
    tops = [side[0][0] for side in (bids, asks) if side]
    return sum(tops) / len(tops) if tops else 0.0


def _packed(bids: Sequence[Level], asks: Sequence[Level], reference: float) -> bytes:
    values = array("f")
    for side in (bids, asks):
        values.extend([price - reference for price, _ in side])
        values.extend(accumulate(amount for _, amount in side))
    return values.tobytes()


def _svg(bids: Sequence[Level], asks: Sequence[Level], marks: Sequence[tuple[float, bool]], title: str) -> str:
    middle = _middle(bids, asks)
    reach = max(middle - bids[-1][0], asks[-1][0] - middle) or 1.0
    top = max(sum(amount for _, amount in side) for side in (bids, asks)) or 1.0

    def x(price: float) -> float:
        return min(max(WIDTH / 2 + (price - middle) / reach * WIDTH / 2, 0.0), WIDTH)

    def y(amount: float) -> float:
        return HEIGHT - amount / top * (HEIGHT - 12)

    parts = []
    for side, color, edge in ((bids, BID, 0), (asks, ASK, WIDTH)):
        points, total = [f"{x(side[0][0]):.1f},{HEIGHT}"], 0.0
        for price, amount in side:
            points.append(f"{x(price):.1f},{y(total):.1f}")
            total += amount
            points.append(f"{x(price):.1f},{y(total):.1f}")
        points += [f"{edge},{y(total):.1f}", f"{edge},{HEIGHT}"]
        parts.append(f'<polygon points="{" ".join(points)}" fill="{color}" fill-opacity="0.18" stroke="{color}"/>')
    parts += [
        f'<path d="M{x(price):.1f} {HEIGHT} l-5 -9 h10 z" fill="{BID if is_buy else ASK}"/>' for price, is_buy in marks
    ]
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" style="width:100%;max-width:{WIDTH}px;height:auto">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg><div>{escape(title)}</div>"
    )
