"""Import Tardis.dev's downloadable CSV files: incremental_book_L2 and trades, gzip or plain.

Format: https://docs.tardis.dev/downloadable-csv-files/data-types. Times are in µs, ordered by ``local_timestamp``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.storage.events import EventFlag, EventKind, MarketEvents
from kit.storage.importers.columns import filled, merged, must_ascend, must_be_numbers
from kit.storage.importers.errors import BadFile
from kit.storage.importers.lines import Paths, existing
from kit.storage.importers.stamps import nanoseconds
from kit.storage.importers.tables import Table, first_fields, read_table

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
        trades = is_tardis_trades(fields)
        table = _select(read_table(path, _TRADES if trades else _BOOK), symbol, path)
        local_ts = nanoseconds(table["local_timestamp"], path.name)
        must_ascend(local_ts, path.name)
        must_be_numbers(table, ("price", "amount"), path.name)
        columns = _trades(table, local_ts, path) if trades else _book(table, local_ts, path)
        name = exchange or (str(table["exchange"][0]) if len(local_ts) else "")
        parts.append(MarketEvents(name, trading_pair, **columns, info={"source": path.name}))
    if not parts:
        raise InvalidInput(f"{', '.join(path.name for path in files)}: the files are empty")
    return merged(parts)


def is_tardis(fields: list[str]) -> bool:
    """Tell whether a header is that of a Tardis file."""
    return {"local_timestamp", "timestamp", "symbol"} <= set(fields)


def is_tardis_trades(fields: list[str]) -> bool:
    """Tell whether a header is that of Tardis trades."""
    return "id" in fields and "is_snapshot" not in fields


def _select(table: Table, symbol: str | None, path: Path) -> Table:
    symbols = set(table["symbol"].tolist())
    if symbol is None and len(symbols) > 1:
        raise InvalidInput(f"{path.name} holds the symbols {', '.join(sorted(symbols)[:5])}; pass one as symbol=…")
    if symbol is None or symbols <= {symbol}:
        return table
    if symbol not in symbols:
        raise InvalidInput(f"{path.name} holds no symbol {symbol!r} but {', '.join(sorted(symbols)[:5])}")
    chosen = table["symbol"] == symbol
    return {name: column[chosen] for name, column in table.items()}


def _sides(table: Table, names: dict[str, int], path: Path) -> NDArray[np.int8]:
    sides = np.zeros(len(table["side"]), dtype=np.int8)
    known = np.zeros(len(sides), dtype=bool)
    for name, side in names.items():
        here = table["side"] == name
        sides[here] = side
        known |= here
    if not known.all():
        row = int(np.argmin(known))
        raise BadFile(f"{path.name}, data row {row + 1}: side is {table['side'][row]!r}; known: {', '.join(names)}")
    return sides


def _trades(table: Table, local_ts: NDArray[np.int64], path: Path) -> dict[str, NDArray[Any]]:
    return filled(
        len(local_ts),
        exch_ts=nanoseconds(table["timestamp"], path.name),
        local_ts=local_ts,
        kind=EventKind.TRADE,
        side=_sides(table, {"buy": 1, "sell": -1, "unknown": 0, "": 0}, path),
        price=table["price"],
        amount=table["amount"],
        update_id=_numbers(table["id"]),
    )


def _numbers(texts: NDArray[Any]) -> NDArray[np.int64]:
    """Return ids that are numbers; 0 for all when one is none."""
    try:
        return texts.astype("U").astype(np.int64)
    except (ValueError, OverflowError):
        return np.zeros(len(texts), dtype=np.int64)


def _book(table: Table, local_ts: NDArray[np.int64], path: Path) -> dict[str, NDArray[Any]]:
    count = len(local_ts)
    snapshot = table["is_snapshot"]
    ends = np.append(np.diff(local_ts) != 0, True)[:count]
    columns = filled(
        count,
        exch_ts=nanoseconds(table["timestamp"], path.name),
        local_ts=local_ts,
        kind=np.where(snapshot, EventKind.SNAPSHOT, EventKind.DEPTH),
        side=_sides(table, {"bid": 1, "ask": -1, "buy": 1, "sell": -1}, path),
        price=table["price"],
        amount=table["amount"],
        flags=np.where(ends, EventFlag.END, 0),
    )
    starts = np.flatnonzero(snapshot & ~np.append(False, snapshot[:-1])[:count])
    clear = filled(len(starts), kind=EventKind.CLEAR, flags=0)
    for name in ("exch_ts", "local_ts"):
        clear[name] = columns[name][starts]
    return {name: np.insert(column, starts, clear[name]) for name, column in columns.items()}
