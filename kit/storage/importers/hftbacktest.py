"""Import hftbacktest's npz and npy files (version 2)."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.storage.events import EventFlag, MarketEvents
from kit.storage.hftbacktest_form import BUY_FLAG, EVENT_DTYPE, EXCH, KIND_MASK, KINDS, LOCAL, ORDER_KINDS, SELL_FLAG
from kit.storage.importers.columns import filled, must_ascend
from kit.storage.importers.errors import BadFile
from kit.storage.importers.lines import Paths, existing


def import_hftbacktest(paths: Paths, *, exchange: str, trading_pair: str) -> MarketEvents:
    """Import files that follow each other in time: rows in the order of local time, each event once.

    A row that counts in the order of exchange time only is the second half of one that is there anyway, and left out
    (``exch_ts`` is kept, so nothing is lost). Rows of one message are taken to be those of one exchange and local time;
    ``update_id`` is the order's id, or ``ival``. A CLEAR clears its whole side here. Kinds that only hftbacktest's
    users know (100 and up) are left out and counted in ``info``.

    Raises ``BadFile`` for files of another form, or damaged ones, and for local times that go back.
    """
    joined = MarketEvents.concat(_events(_rows(path), path, exchange, trading_pair) for path in existing(paths))
    must_ascend(joined.local_ts, "the files together")
    return joined


def _rows(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            rows: Any = np.load(file, allow_pickle=False)
            if not isinstance(rows, np.ndarray):
                if "data" not in rows.files:
                    raise BadFile(f"{path.name} holds {', '.join(rows.files)} but no array 'data'")
                rows = rows["data"]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadFile(f"{path.name}: the file is damaged or was cut ({error})") from error
    except BadFile:
        raise
    except ValueError as error:
        raise BadFile(f"{path.name} is no file of arrays, or a damaged one ({error})") from error
    needed = EVENT_DTYPE.names or ()
    if rows.ndim != 1 or not set(needed) <= set(rows.dtype.names or ()):
        kind = f"columns {', '.join(rows.dtype.names)}" if rows.dtype.names else f"dtype {rows.dtype}"
        raise BadFile(
            f"{path.name} has {kind} and shape {rows.shape}; hftbacktest 2 writes rows of {', '.join(needed)}"
        )
    return rows


def _events(rows: NDArray[Any], path: Path, exchange: str, trading_pair: str) -> MarketEvents:
    flags = rows["ev"]
    if (flags & np.uint64(EXCH | LOCAL)).any():  # else the file was written before its rows were put in order
        rows = rows[(flags & np.uint64(LOCAL)) != 0]
    known = np.isin(rows["ev"] & np.uint64(KIND_MASK), KINDS)
    left_out = len(rows) - int(known.sum())
    rows = rows[known]
    must_ascend(rows["local_ts"], path.name)
    kinds = rows["ev"] & np.uint64(KIND_MASK)
    buys = (rows["ev"] & np.uint64(BUY_FLAG)) != 0
    sells = (rows["ev"] & np.uint64(SELL_FLAG)) != 0
    orders = np.isin(kinds, ORDER_KINDS)
    ids = np.where(orders, rows["order_id"].astype(np.int64), rows["ival"])
    ends = np.ones(len(rows), dtype=bool)
    ends[:-1] = (np.diff(rows["local_ts"]) != 0) | (np.diff(rows["exch_ts"]) != 0) | (np.diff(ids) != 0)
    columns = filled(
        len(rows),
        exch_ts=rows["exch_ts"],
        local_ts=rows["local_ts"],
        kind=kinds,
        side=buys.astype(np.int8) - sells.astype(np.int8),
        price=rows["px"],
        amount=rows["qty"],
        update_id=ids,
        flags=np.where(ends, EventFlag.END, 0),
    )
    info = {"source": path.name} | ({"other_kinds": str(left_out)} if left_out else {})
    return MarketEvents(exchange, trading_pair, **columns, info=info)
