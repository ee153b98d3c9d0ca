"""Import recorded raw streams: one ``<local receive time, ns> <one raw message>`` a line, gzip or plain.

The messages are Binance's, of spot and of USD-M futures, bare or in a combined-stream envelope (``stream``, ``data``):
``depthUpdate``, ``trade``, ``bookTicker``, and the answer to the REST depth request (``lastUpdateId``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from kit.errors import InvalidInput, bad_line
from kit.storage.events import COLUMNS, EventKind, MarketEvents
from kit.storage.importers.binance_messages import BinanceMessages
from kit.storage.importers.errors import BadFile
from kit.storage.importers.lines import Paths, batches, existing
from kit.storage.importers.run_columns import BadRow, Columns

_TICKER: Final = b"bookTicker"


def import_raw(
    paths: Paths,
    *,
    exchange: str,
    trading_pair: str,
    symbol: str | None = None,
    book_tickers: bool = False,
    need_snapshot: bool = True,
    cut_ok: bool = False,
) -> MarketEvents:
    """Import raw files that follow each other in time, as events of one pair.

    A depth update becomes DEPTH rows, one a level, bids first; a REST snapshot becomes CLEAR and SNAPSHOT rows of each
    side; the last row of a message is flagged END. Updates are applied by Binance's rules: those that the snapshot
    holds already are dropped, the first must reach back to it, each must follow the one before; where one does not, a
    GAP row comes first. What arrived before the first snapshot is dropped, except updates that reach beyond it: these
    follow it, with its local time. A later snapshot is used only after a gap. Trades have the taker's side; of a
    futures stream those are kept that came from the order book (``X`` is ``MARKET``). ``book_tickers`` adds two BBO
    rows for each bookTicker.

    ``exch_ts`` is the message's ``T`` (futures) or ``E`` (spot; a spot snapshot tells no time and gets that of the
    update after it); ``local_ts`` is the line's. ``symbol`` (``"BTCUSDT"``, from the pair when ``None``) selects the
    messages. ``need_snapshot=False`` takes all from the first line on, though the book is incomplete then. ``cut_ok``
    takes what is whole of a file that was cut. ``info`` counts what was passed over.

    Raises ``BadFile``, naming file and line, for damage, for local times that go back, and for files that overlap;
    ``InvalidInput`` for missing files and for those without a snapshot or without a message of the symbol.
    """
    files = existing(paths)
    messages = BinanceMessages(symbol or symbol_of(trading_pair), book_tickers=book_tickers, synced=not need_snapshot)
    parts = []
    last_local, last_name = 0, ""
    for path in files:
        for first, lines in batches(path, cut_ok=cut_ok):
            columns = _decode(messages, path, first, lines, tickers=book_tickers)
            if _stamp(lines[0], last_local) < last_local or messages.went_back:
                raise _times_go_back(path, first, lines, last_local, last_name)
            last_local, last_name = _stamp(lines[-1], last_local), path.name
            if len(columns["local_ts"]):
                parts.append(columns)
    _check_anything(messages, files, parts)
    joined: Any = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    _date_snapshots(joined)
    info = {"source": ", ".join(path.name for path in files)} | {key: str(n) for key, n in messages.counts.items() if n}
    return MarketEvents(exchange, trading_pair, **joined, info=info)


def symbol_of(trading_pair: str) -> str:
    """Return Binance's symbol of a pair: ``"BTCUSDT"`` for ``"BTC/USDT"``, ``"BTC-USDT"`` and ``"BTC/USDT:USDT"``."""
    return re.sub(r"[/-]", "", trading_pair.partition(":")[0]).upper()


def _decode(messages: BinanceMessages, path: Path, first: int, lines: list[bytes], *, tickers: bool) -> Columns:
    """Return the rows of a batch of lines; raises ``BadFile`` naming the line that cannot be read."""
    line, take, loads = b"", messages.take, orjson.loads
    number, left_out = first, b"no such text" if tickers else _TICKER
    try:
        for number, line in enumerate(lines, first):
            if left_out in line[:72]:  # most lines of a recording are these: not even decoded
                continue
            stamp, _, body = line.partition(b" ")
            if body:
                message: Mapping[str, Any] = loads(body)
                take(int(stamp), message.get("data", message), number)
            elif stamp.strip():
                raise ValueError("not the form '<receive time in ns> <message>'")
        return messages.columns()
    except BadRow as error:
        number, line = error.line, lines[error.line - first] if error.line >= first else b""
        raise BadFile(bad_line(path.name, number, error, line)) from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise BadFile(bad_line(path.name, number, error, line)) from error


def _check_anything(messages: BinanceMessages, files: tuple[Path, ...], parts: list[Columns]) -> None:
    if parts:
        return
    names = ", ".join(path.name for path in files)
    if messages.other_symbols:
        held = ", ".join(sorted(messages.other_symbols)[:5])
        raise InvalidInput(
            f"{names}: no message of {messages.symbol}, but of {held}; give the pair that was recorded, or its symbol=…"
        )
    if messages.counts["before_snapshot"]:
        raise InvalidInput(
            f"{names}: no REST snapshot (a line with lastUpdateId), so the book at the start is unknown; put the file "
            "that holds one first, or pass need_snapshot=False to start with an incomplete book"
        )
    raise InvalidInput(
        f"{names}: nothing to import: no depthUpdate, trade or snapshot of {messages.symbol} inside. Raw streams are "
        "read in Binance's form only; bring those of other exchanges as Tardis' csv or hftbacktest's npz, or record "
        "them with kit record"
    )


def _date_snapshots(columns: Columns) -> None:
    """Give snapshots of unknown exchange time that of the next update."""
    snapshots = np.isin(columns["kind"], (EventKind.CLEAR, EventKind.SNAPSHOT))
    undated = np.flatnonzero(snapshots & (columns["exch_ts"] == 0))
    if not len(undated):
        return
    updates = np.flatnonzero(columns["kind"] == EventKind.DEPTH)
    after = np.searchsorted(updates, undated)
    known = after < len(updates)
    columns["exch_ts"][undated[known]] = columns["exch_ts"][updates[after[known]]]


def _times_go_back(path: Path, first: int, lines: list[bytes], last: int, last_name: str) -> BadFile:
    """Find the line whose local time is below that of the line before."""
    for number, line in enumerate(lines, first):
        now = _stamp(line, last)
        if now < last:
            back = (last - now) / 1e9
            if last_name not in ("", path.name):
                reason = f"starts {back:.3f} s before {last_name} ends: give the files in the order of their time"
                return BadFile(f"{path.name} {reason}, without overlap")
            where = f"{path.name}, line {number}"
            return BadFile(f"{where}: the local time goes back by {back:.6f} s; sort the lines by their first field")
        last, last_name = now, path.name
    return BadFile(f"{path.name}: local times go back; sort the lines by their first field")


def _stamp(line: bytes, otherwise: int) -> int:
    stamp = line.partition(b" ")[0]
    return int(stamp) if stamp.isdigit() else otherwise
