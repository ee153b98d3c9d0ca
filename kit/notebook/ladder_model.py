"""The ladder: the best levels of a book as a table, own orders marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from kit.errors import InvalidInput, NotSupported
from kit.notebook.book_source import OwnMark
from kit.notebook.core_model import BookModel, WholeFrames
from kit.notebook.formats import ASK, BID, escape, exact, html_table, number
from kit.types.market import Level

if TYPE_CHECKING:
    from kit.connectors.connector import Connector

MAX_LEVELS: Final = 100

Row = list[str | int]
"""price, amount, cumulative amount, cumulative in per mille of the greatest, own amount (empty: none)."""


class LadderModel(WholeFrames, BookModel):
    """The best ``levels`` (1 to 100) of each side of one pair. Raises ``InvalidInput`` and ``UnknownPair``."""

    def __init__(self, market: Connector, pair: str, levels: int = 10) -> None:
        if not 1 <= levels <= MAX_LEVELS:
            raise InvalidInput(f"levels is {levels}; give 1 to {MAX_LEVELS} levels a side")
        super().__init__(market, pair, "ladder")
        self.levels = levels

    def _read(self) -> dict[str, Any]:
        source = self.source
        bids, asks = source.book.depth(self.levels)
        prices, amounts = source.decimals
        both = bool(bids and asks)
        top = max((sum(amount for _, amount in side) for side in (bids, asks)), default=0.0)
        own = source.own_orders()
        sides = {
            name: _rows(side, [mark for mark in own if mark.is_buy is is_buy], top, prices, amounts)
            for name, side, is_buy in (("bids", bids, True), ("asks", asks, False))
        }
        return {
            "pair": source.pair,
            "base": source.base,
            "quote": source.quote,
            "levels": self.levels,
            "state": source.state,
            "mid": number((bids[0][0] + asks[0][0]) / 2, prices + 1) if both else "—",
            "spread": number(asks[0][0] - bids[0][0], prices) if both else "—",
            **sides,
        }

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse: nothing can be asked of a ladder."""
        raise NotSupported(f"a ladder takes no command {message.get('do')!r}")

    def text(self) -> str:
        """Return the ladder in lines, asks above bids."""
        now = self._read()
        rows = [*reversed(now["asks"]), *now["bids"]]
        width = [max((len(str(row[column])) for row in rows), default=0) for column in range(3)]
        lines = [
            f"{row[0]:>{width[0]}}  {row[1]:>{width[1]}}  {row[2]:>{width[2]}}" + (f"  own {row[4]}" if row[4] else "")
            for row in rows
        ]
        lines.insert(len(now["asks"]), f"— spread {now['spread']} {now['quote']} —")
        return "\n".join([f"{self.name} (price {now['quote']}, amount {now['base']}, cumulative)", *lines])

    def html(self) -> str:
        """Return the ladder as a table with bars behind its amounts."""
        now = self._read()
        rows = [_html_row(row, ASK) for row in reversed(now["asks"])]
        rows.append(["", f"<i>spread {escape(now['spread'])}</i>", "", ""])
        rows += [_html_row(row, BID) for row in now["bids"]]
        head = [f"own [{now['base']}]", f"price [{now['quote']}]", f"amount [{now['base']}]", "cumulative"]
        return html_table(head, rows, caption=self.name)


def _rows(side: Sequence[Level], own: Sequence[OwnMark], top: float, prices: int, amounts: int) -> list[Row]:
    at: dict[float, Decimal] = {}
    for mark in own:
        price = float(mark.price)
        at[price] = at.get(price, Decimal(0)) + mark.amount
    sums = accumulate(amount for _, amount in side)
    return [
        [
            number(price, prices),
            number(amount, amounts),
            number(total, amounts),
            round(1000 * total / top) if top else 0,
            exact(at[price]) if price in at else "",
        ]
        for (price, amount), total in zip(side, sums, strict=True)
    ]


def _html_row(row: Row, color: str) -> list[str]:
    share = int(row[3]) / 10
    bar = f"linear-gradient(to left,{color}33 {share}%,transparent {share}%)"
    own, price, amount, total = (escape(row[index]) for index in (4, 0, 1, 2))
    return [
        f"<b>{own}</b>",
        f'<span style="color:{color}">{price}</span>',
        amount,
        f'<div style="background:{bar};min-width:7em">{total}</div>',
    ]
