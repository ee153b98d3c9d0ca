"""The table of orders in flight, each of which can be cancelled by its row."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kit.errors import InvalidInput, NotSupported, OrderNotFound
from kit.notebook.cancel_watch import CancelWatch
from kit.notebook.core_model import CoreModel
from kit.notebook.formats import decimals_of, escape, html_table, number
from kit.notebook.panel import Frame

if TYPE_CHECKING:
    from kit.orders.in_flight_order import InFlightOrder
    from kit.trading_core import TradingCore
    from kit.types.market import TradingRule

COLUMNS = ("connector", "pair", "side", "price", "amount", "filled", "state")
Row = list[Any]
"""The columns, then the time of creation in seconds, and the reason of a trouble (empty: none)."""


class OrdersModel(CoreModel):
    """The orders of a core that rest, or may rest, on an exchange, oldest first; frames hold changed rows only."""

    def __init__(self, core: TradingCore) -> None:
        super().__init__(core, "orders")
        self._rows: dict[str, Row] = {}
        self._head: dict[str, Any] = {}
        self._cancels = CancelWatch()

    def frame(self, full: bool) -> Frame | None:
        """Return every row, or those that are new or changed and the ids of those that are gone."""
        rows, head = self._read(), self._read_head()
        changed = rows if full else {key: row for key, row in rows.items() if self._rows.get(key) != row}
        gone = [] if full else [key for key in self._rows if key not in rows]
        if not full and not changed and not gone and head == self._head:
            return None
        self._rows, self._head = rows, head
        return Frame({**head, "rows": changed, "gone": gone, "now": self._now()}, full=full)

    def _now(self) -> float:
        return self.core.clock.time()

    def _read(self) -> dict[str, Row]:
        found = [
            (
                order.creation_timestamp,
                f"{name}/{key}",
                _row(name, order, connector.trading_rules.get(order.trading_pair)),
            )
            for name, connector in self.core.connectors.items()
            for key, order in connector.in_flight_orders.items()
        ]
        return {key: row for _, key, row in sorted(found, key=lambda item: item[:2])}

    def _read_head(self) -> dict[str, Any]:
        # Without connectors nobody can say that there are no orders on the exchange.
        self._cancels.look()
        return {"core": self.core.name, "state": "" if self.core.in_use else "stopped", "said": self._cancels.said}

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Cancel the order of a row: ``{"do": "cancel", "row": key}``; raises what ``Connector.cancel`` raises.

        What becomes of it is told by a frame, under ``said``.
        """
        if message.get("do") != "cancel":
            raise NotSupported(f"the order table takes no command {message.get('do')!r}")
        key = message.get("row")
        if not isinstance(key, str):
            raise InvalidInput(f"row is {key!r}; a row is named connector/client order id")
        name, _, order_id = key.partition("/")
        connector = self.core.connectors.get(name)
        order = connector.in_flight_orders.get(order_id) if connector is not None else None
        if connector is None or order is None:
            raise OrderNotFound(f"order {order_id} is not open any more")
        connector.cancel(order.trading_pair, order_id)
        return {"text": f"cancel of {self._cancels.follow(order)} was sent"}

    def text(self) -> str:
        """Return one line an order."""
        rows = self._read().values()
        lines = [f"{row[2]} {row[4]} {row[1]} @ {row[3]}  filled {row[5]}  {row[6]}  ({row[0]})" for row in rows]
        return "\n".join([f"{self.name}: {len(lines)} open", *lines])

    def html(self) -> str:
        """Return the table without buttons."""
        rows = [[escape(cell) for cell in row[: len(COLUMNS)]] for row in self._read().values()]
        caption = f"{self.name}: {len(rows)} open"
        return html_table(COLUMNS, rows, caption=caption, left=3) if rows else f"<div>{escape(caption)}</div>"


def _written(value: Decimal, decimals: int) -> str:
    needed = max(decimals, decimals_of(value, 0) if value else 0)
    return number(value, needed)


def _row(connector: str, order: InFlightOrder, rule: TradingRule | None) -> Row:
    """Write prices and amounts with the decimals of their steps, so that those of a column line up."""
    prices = decimals_of(rule.min_price_increment if rule else None, 0)
    amounts = decimals_of(rule.min_base_amount_increment if rule else None, 0)
    return [
        connector,
        order.trading_pair,
        order.trade_type.value.lower(),
        "market" if order.price is None else _written(order.price, prices),
        _written(order.amount, amounts),
        _written(order.executed_amount_base, amounts) if order.executed_amount_base else "0",
        order.current_state.value.replace("_", " "),
        order.creation_timestamp,
        order.reason,
    ]
