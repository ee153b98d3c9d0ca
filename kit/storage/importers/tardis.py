"""Import Tardis.dev's downloadable CSV files: incremental_book_L2 and trades, gzip or plain.

Format: https://docs.tardis.dev/downloadable-csv-files/data-types. Times are in µs, ordered by ``local_timestamp``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.storage.events import EventFlag, EventKind, MarketEvents
from kit.storage.importers.columns import GrowingColumns, filled, merged, must_ascend, must_be_numbers
from kit.storage.importers.errors import BadFile
from kit.storage.importers.lines import Paths, existing
from kit.storage.importers.stamps import nanoseconds
from kit.storage.importers.tables import Table, first_fields, read_tables

Columns: TypeAlias = dict[str, NDArray[Any]]

_COMMON: Final = {
    "exchange": "word",
    "symbol": "word",
    "timestamp": "int",
    "local_timestamp": "int",
    "side": "word",
    "price": "float",
    "amount": "float",
}
_BOOK: Final = _COMMON | {"is_snapshot": "bool"}
_TRADES: Final = _COMMON | {"id": "text"}


def import_tardis(
    paths: Paths, *, trading_pair: str, exchange: str | None = None, symbol: str | None = None
) -> MarketEvents:
    """Import files of a pair, books and trades in any order, merged by local time; at one time trades come first.

    Rows of one local time are one message. Where snapshot rows follow others, a CLEAR row of both sides comes before
    them. ``exchange`` is the file's when ``None``; ``symbol`` selects rows of files that hold several. ``update_id`` is
    the trade's id where that is a number; book rows have none. A trade of unknown side has side 0.

    Raises ``BadFile`` naming file and row for damage, unknown columns, sides or times that go back.
    """
    # trades first: what traded is already taken off the book's amounts that come with the same time
    files = sorted(existing(paths), key=lambda path: not is_tardis_trades(first_fields(path)))
    parts = []
    for path in files:
        fields = first_fields(path)
        if not fields:
            continue  # a day without data is an empty file
        one = _File(path, symbol, trades=is_tardis_trades(fields))
        columns = one.columns()
        parts.append(MarketEvents(exchange or one.exchange, trading_pair, **columns, info={"source": path.name}))
    if not parts:
        raise InvalidInput(f"{', '.join(path.name for path in files)}: the files are empty")
    return merged(parts)


def is_tardis(fields: list[str]) -> bool:
    """Tell whether a header is that of a Tardis file."""
    return {"local_timestamp", "timestamp", "symbol"} <= set(fields)


def is_tardis_trades(fields: list[str]) -> bool:
    """Tell whether a header is that of Tardis trades."""
    return "id" in fields and "is_snapshot" not in fields


class _File:
    """One file, read a part at a time: what a row means hangs on the row before it, which may be in another part."""

    def __init__(self, path: Path, symbol: str | None, *, trades: bool) -> None:
        self.exchange = ""
        self._path, self._symbol, self._trades = path, symbol, trades
        self._symbols: set[str] = set()
        self._rows = 0
        self._last = np.empty(0, dtype=np.int64)
        self._in_snapshot = False
        self._numbered = True

    def columns(self) -> Columns:
        """Return the rows of events."""
        name = self._path.name
        grown = GrowingColumns()
        for whole in read_tables(self._path, _TRADES if self._trades else _BOOK):
            table = self._select(whole)
            count = len(table["symbol"])
            if not count:
                continue
            self.exchange = self.exchange or str(table["exchange"][0])
            local_ts = nanoseconds(table["local_timestamp"], name, self._rows)
            must_ascend(np.concatenate([self._last, local_ts]), name, first_row=self._rows + 1 - len(self._last))
            must_be_numbers(table, ("price", "amount"), name, self._rows)
            if not self._trades and len(self._last) and self._last[0] == local_ts[0]:
                grown.continue_message()
            grown.append((self._trade_rows if self._trades else self._book_rows)(table, local_ts))
            self._rows, self._last = self._rows + count, local_ts[-1:]
        if self._symbol is not None and self._symbols and self._symbol not in self._symbols:
            raise InvalidInput(f"{name} holds no symbol {self._symbol!r} but {', '.join(sorted(self._symbols)[:5])}")
        rows = grown.columns()
        if not self._numbered:
            rows["update_id"][:] = 0
        return rows

    def _select(self, table: Table) -> Table:
        self._symbols |= set(table["symbol"].tolist())
        if self._symbol is None and len(self._symbols) > 1:
            held = ", ".join(sorted(self._symbols)[:5])
            raise InvalidInput(f"{self._path.name} holds the symbols {held}; pass one as symbol=…")
        if self._symbol is None or self._symbols <= {self._symbol}:
            return table
        chosen = table["symbol"] == self._symbol
        return {name: column[chosen] for name, column in table.items()}

    def _sides(self, table: Table, names: Mapping[str, int]) -> NDArray[np.int8]:
        sides = np.zeros(len(table["side"]), dtype=np.int8)
        known = np.zeros(len(sides), dtype=bool)
        for name, side in names.items():
            here = table["side"] == name
            sides[here] = side
            known |= here
        if not known.all():
            row = int(np.argmin(known))
            where = f"{self._path.name}, data row {self._rows + row + 1}"
            raise BadFile(f"{where}: side is {table['side'][row]!r}; known: {', '.join(names)}")
        return sides

    def _trade_rows(self, table: Table, local_ts: NDArray[np.int64]) -> Columns:
        ids = _numbers(table["id"])
        self._numbered = self._numbered and ids is not None
        return filled(
            len(local_ts),
            exch_ts=nanoseconds(table["timestamp"], self._path.name, self._rows),
            local_ts=local_ts,
            kind=EventKind.TRADE,
            side=self._sides(table, {"buy": 1, "sell": -1, "unknown": 0, "": 0}),
            price=table["price"],
            amount=table["amount"],
            update_id=0 if ids is None else ids,
        )

    def _book_rows(self, table: Table, local_ts: NDArray[np.int64]) -> Columns:
        snapshot = table["is_snapshot"]
        columns = filled(
            len(local_ts),
            exch_ts=nanoseconds(table["timestamp"], self._path.name, self._rows),
            local_ts=local_ts,
            kind=np.where(snapshot, EventKind.SNAPSHOT, EventKind.DEPTH),
            side=self._sides(table, {"bid": 1, "ask": -1, "buy": 1, "sell": -1}),
            price=table["price"],
            amount=table["amount"],
            flags=np.where(np.append(np.diff(local_ts) != 0, True), EventFlag.END, 0),
        )
        starts = np.flatnonzero(snapshot & ~np.append(self._in_snapshot, snapshot[:-1]))
        self._in_snapshot = bool(snapshot[-1])
        clear = filled(len(starts), kind=EventKind.CLEAR, flags=0)
        for name in ("exch_ts", "local_ts"):
            clear[name] = columns[name][starts]
        return {name: np.insert(column, starts, clear[name]) for name, column in columns.items()}


def _numbers(texts: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return ids that are numbers; ``None`` when one is none."""
    try:
        return texts.astype("U").astype(np.int64)
    except (ValueError, OverflowError):
        return None
