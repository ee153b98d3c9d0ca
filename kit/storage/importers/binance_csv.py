"""Import Binance's public data files (data.binance.vision): trades, aggTrades and klines, spot and futures.

Formats: https://github.com/binance/binance-public-data. Files come as zip with one csv, with a header (newer futures
files) or without; times are in ms, in spot files from 2025 on in µs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from kit.errors import InvalidInput
from kit.storage.candles import CANDLE_COLUMNS, candle_frame, events_from_candles
from kit.storage.events import EventKind, MarketEvents
from kit.storage.importers.columns import GrowingColumns, filled, must_ascend, must_be_numbers
from kit.storage.importers.errors import BadFile
from kit.storage.importers.lines import Paths, existing
from kit.storage.importers.stamps import nanoseconds
from kit.storage.importers.tables import Table, first_fields, is_header, read_tables

if TYPE_CHECKING:
    import pandas as pd

_NAMES: Final = {
    "trades": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match"),
    "aggTrades": (
        *("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id"),
        *("transact_time", "is_buyer_maker", "is_best_match"),
    ),
    "klines": (
        *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
        *("count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
    ),
}
_WIDTHS: Final = {"trades": (6, 7), "aggTrades": (7, 8), "klines": (12,)}
# id, price, amount, time of either kind of trade
_TRADE_FIELDS: Final = {
    "trades": ("id", "price", "qty", "time"),
    "aggTrades": ("agg_trade_id", "price", "quantity", "transact_time"),
}


def import_binance_csv(
    paths: Paths, *, trading_pair: str, kind: str | None = None, exchange: str = "binance"
) -> MarketEvents:
    """Import files of one kind, in the order of their time, as TRADE rows.

    ``kind`` is ``"trades"``, ``"aggTrades"`` or ``"klines"``; ``None`` tells by name, header or shape. The files hold
    the exchange's time only, so ``local_ts`` equals ``exch_ts``. An aggregated trade is one row with its aggregate id.
    Klines become synthetic rows, see ``events_from_candles``; ``binance_candles`` gives them as they are.

    Raises ``BadFile`` naming file and row for damage, unknown columns or times that go back.
    """
    files = existing(paths)
    known = kind or binance_kind(files[0])
    if known == "klines":
        return events_from_candles(binance_candles(files), exchange=exchange, trading_pair=trading_pair)
    if known not in _TRADE_FIELDS:
        raise InvalidInput(f"kind is {kind!r}; it must be one of {', '.join(_NAMES)}")
    number, price, amount, time = _TRADE_FIELDS[known]
    columns = {number: "int", price: "float", amount: "float", time: "int", "is_buyer_maker": "bool"}
    grown = GrowingColumns()
    for path in files:
        rows, last = 0, np.empty(0, dtype=np.int64)
        for table in _read(path, known, columns):
            stamps = nanoseconds(table[time], path.name, rows)
            must_ascend(np.concatenate([last, stamps]), path.name, first_row=rows + 1 - len(last))
            must_be_numbers(table, (price, amount), path.name, rows)
            rows, last = rows + len(stamps), stamps[-1:]
            grown.append(
                filled(
                    len(stamps),
                    exch_ts=stamps,
                    local_ts=stamps,
                    kind=EventKind.TRADE,
                    side=np.where(table["is_buyer_maker"], -1, 1),
                    price=table[price],
                    amount=table[amount],
                    update_id=table[number],
                )
            )
    info = {"source": ", ".join(path.name for path in files)}
    events = MarketEvents(exchange, trading_pair, **grown.columns(), info=info)
    must_ascend(events.local_ts, "the files together")
    return events


def binance_candles(paths: Paths) -> pd.DataFrame:
    """Read kline files: a DataFrame by open time (UTC) with open, high, low, close (quote) and volume (base).

    Raises ``BadFile`` naming file and row for damage, unknown columns or times that go back.
    """
    columns = {"open_time": "int"} | dict.fromkeys(CANDLE_COLUMNS, "float")
    tables: list[Table] = []
    for path in existing(paths):
        rows = 0
        for table in _read(path, "klines", columns):
            table["open_time"] = nanoseconds(table["open_time"], path.name, rows)
            must_be_numbers(table, CANDLE_COLUMNS, path.name, rows)
            rows += len(table["open_time"])
            tables.append(table)
    whole = {name: np.concatenate([np.empty(0), *(table[name] for table in tables)]) for name in CANDLE_COLUMNS}
    times = np.concatenate([np.empty(0, dtype=np.int64), *(table["open_time"] for table in tables)])
    must_ascend(times, "klines")
    return candle_frame(times, whole)


def binance_kind(path: Path) -> str:
    """Tell which kind of file this is, by its name, its header or its shape; raises ``BadFile`` when it is none."""
    fields = first_fields(path)
    named = re.search(r"-(aggTrades|trades)-", path.name)
    if named:
        return named[1]
    if is_header(fields):
        found = next((kind for kind, names in _NAMES.items() if fields[0] == names[0]), None)
    elif len(fields) == 7:  # spot's trades have a quote amount where futures' aggTrades have the first trade's id
        found = "trades" if "." in fields[3] else "aggTrades"
    else:
        found = next((kind for kind, widths in _WIDTHS.items() if len(fields) in widths), None)
    if found is None:
        raise BadFile(f"{path.name} is none of Binance's trades, aggTrades and klines: its first line is {fields}")
    return found


def _read(path: Path, kind: str, columns: dict[str, str]) -> Iterator[Table]:
    fields = first_fields(path)
    if is_header(fields):
        return read_tables(path, columns)
    if fields and len(fields) not in _WIDTHS[kind]:
        raise BadFile(f"{path.name} has {len(fields)} columns; a file of {kind} has {_WIDTHS[kind][-1]}")
    return read_tables(path, columns, _NAMES[kind][: len(fields)] or _NAMES[kind])
