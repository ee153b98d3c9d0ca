"""Profit and inventory over time, with the figures of now beside them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from kit.errors import NotSupported
from kit.notebook.core_model import CoreModel
from kit.notebook.formats import (
    decimals_of,
    escape,
    html_table,
    money_decimals,
    number,
    signed,
    split_pair,
)
from kit.notebook.html_parts import gain, quantity, soft, spark, stack, title
from kit.notebook.panel import Frame
from kit.trading.pnl_history import Market, PnlNow
from kit.trading.series import Sample

if TYPE_CHECKING:
    from kit.trading_core import TradingCore

RENEW_AFTER: Final = 600
"""New samples after which a page gets all again: it only appends, while the history is thinned."""

VALUES: Final = 4
"""Columns of a sample that go to the page: time, price, inventory, pnl."""


class PnlModel(CoreModel):
    """Profit and inventory of every market that a core traded, or can trade.

    A frame has figures as texts, and for each market with new samples 16 bytes a sample: times as offsets of float32
    from ``start``, prices from ``reference``, inventory in base and profit in quote.
    """

    def __init__(self, core: TradingCore) -> None:
        super().__init__(core, "profit")
        self._head: dict[str, Any] = {}
        self._sent: dict[Market, float] = {}
        self._since_full = 0

    # -- frames ----------------------------------------------------------------------------------------------------

    def frame(self, full: bool) -> Frame | None:
        """Return figures and samples, those that are new unless ``full``; ``None`` when nothing is."""
        full = full or self._since_full > RENEW_AFTER
        if full:
            self._sent, self._since_full = {}, 0
        head = self._read_head()
        series, buffers = self._new_samples()
        if not full and head == self._head and not series:
            return None
        self._head = head
        return Frame({**head, "series": series}, buffers, full=full)

    def _read_head(self) -> dict[str, Any]:
        return {
            "core": self.core.name,
            "state": "" if self.core.running else "stopped",
            "markets": [self._figures(market, now) for market, now in self.core.history.now().items()],
        }

    def _figures(self, market: Market, now: PnlNow) -> dict[str, Any]:
        connector = self.core.connectors.get(market.connector)
        base, quote = split_pair(market.trading_pair)
        prices, amounts = self._decimals(market)
        money = money_decimals(quote, prices)
        return {
            "key": "/".join(market),
            "label": f"{market.trading_pair} {market.connector} {market.mode}",
            "mode": market.mode,
            "current": connector is not None and connector.mode == market.mode,
            "base": base,
            "quote": quote,
            "decimals": [prices, amounts, money],
            "pnl": signed(now.pnl, money),
            "tone": tone(now.pnl, money),
            "inventory": signed(now.inventory, amounts),
            "price": number(now.price, prices),
            "fees": number(now.fees, money),
            "fills": f"{now.fills:,}",
        }

    def _decimals(self, market: Market) -> tuple[int, int]:
        connector = self.core.connectors.get(market.connector)
        rule = connector.trading_rules.get(market.trading_pair) if connector is not None else None
        if rule is None:
            return 2, 6
        return decimals_of(rule.min_price_increment, 2), decimals_of(rule.min_base_amount_increment, 6)

    def _new_samples(self) -> tuple[list[dict[str, Any]], list[bytes]]:
        heads, buffers = [], []
        for market in self.core.history.markets:
            rows = self.core.history.series(market).rows(self._sent.get(market, -math.inf))
            if rows:
                self._since_full += len(rows) if market in self._sent else 0
                self._sent[market] = rows[-1][0]
                start, reference = rows[0][0], rows[0][1]
                heads.append({"key": "/".join(market), "start": start, "reference": reference, "count": len(rows)})
                buffers.append(packed(rows, start, reference))
        return heads, buffers

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse: nothing can be asked of a chart."""
        raise NotSupported(f"a chart of profit takes no command {message.get('do')!r}")

    # -- without a page --------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return a line a market."""
        lines = [
            f"  {each['label']}: {each['pnl']} {each['quote']}, inventory {each['inventory']} {each['base']}, "
            f"{each['fills']} {'fill' if each['fills'] == '1' else 'fills'}, fees {each['fees']} {each['quote']}"
            for each in self._read_head()["markets"]
        ]
        return "\n".join([self.name, *lines]) if lines else f"{self.name}: no market to trade on yet"

    def html(self) -> str:
        """Return the figures as a table, with the curve of each profit."""
        rows = [self._row(market, now) for market, now in self.core.history.now().items()]
        head = title(self.name, quantity(sum(now.fills for now in self.core.history.now().values()), "fill"))
        if not rows:
            return stack(title(self.name, soft("no market to trade on yet")))
        names = ["pair", "connector", "profit", "inventory", "price", "fees", "fills", "profit over time"]
        return stack(head, html_table(names, rows, sides="nnrrrrrn"))

    def _row(self, market: Market, now: PnlNow) -> list[str]:
        base, quote = map(escape, split_pair(market.trading_pair))
        prices, amounts = self._decimals(market)
        money = money_decimals(quote, prices)
        return [
            f"<b>{escape(market.trading_pair)}</b>",
            escape(f"{market.connector} {market.mode}"),
            f"<b>{gain(now.pnl, money)}</b> {quote}",
            f"{signed(now.inventory, amounts)} {base}",
            number(now.price, prices),
            f"{number(now.fees, money)} {quote}",
            f"{now.fills:,}",
            spark([(row[0], row[3]) for row in self.core.history.series(market).rows()]),
        ]


def tone(value: float, decimals: int) -> str:
    """Return ``good`` for a gain, ``bad`` for a loss, nothing for what shows as zero."""
    if not math.isfinite(value) or not round(value, decimals):
        return ""
    return "good" if value > 0 else "bad"


def packed(rows: Sequence[Sample], start: float, reference: float, values: int = VALUES) -> bytes:
    """Return samples as columns of float32: times from ``start``, prices from ``reference``, then the other values."""
    columns = array("f", [row[0] - start for row in rows])
    columns.extend(row[1] - reference for row in rows)
    for index in range(2, values):
        columns.extend(row[index] for row in rows)
    return columns.tobytes()
