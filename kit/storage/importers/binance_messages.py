"""Binance's market messages, spot and USD-M futures, put in sequence and turned into rows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from kit.storage.events import EventKind
from kit.storage.importers.run_columns import Columns, Runs

Message: TypeAlias = Mapping[str, Any]
Held: TypeAlias = tuple[int, Message, int]

_PENDING: Final = 2000
_MICROSECONDS_FROM: Final = 10**14
"""Times from here on are in microseconds (in milliseconds this would be the year 5138)."""


class BinanceMessages:
    """Takes messages of one ``symbol`` in order of arrival; ``columns`` hands out the rows made since the last call.

    ``synced`` true starts without waiting for a snapshot. ``counts`` tells what was passed over, and the gaps;
    ``went_back`` that a message arrived before the one taken before it.
    """

    def __init__(self, symbol: str, *, book_tickers: bool = False, synced: bool = False) -> None:
        self.symbol = symbol
        self.other_symbols: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.went_back = False
        self._last_local = 0
        self._started = synced
        self._synced = synced
        self._last_id = 0
        self._pending: deque[Held] = deque(maxlen=_PENDING)
        self._runs = Runs()
        self._takers = {"depthUpdate": self._depth, "trade": self._trade}
        if book_tickers:
            self._takers["bookTicker"] = self._ticker

    def take(self, local_ts: int, message: Message, line: int) -> None:
        """Take one message. Raises KeyError, TypeError or ValueError when it is not what it says."""
        if local_ts < self._last_local:
            self.went_back = True
        self._last_local = local_ts
        if "lastUpdateId" in message:
            self._snapshot(local_ts, message, line)
            return
        # spot's bookTicker does not name its kind
        taker = self._takers.get(message.get("e") or ("bookTicker" if "B" in message else ""))
        if taker is None:
            self.counts["other_messages"] += 1
        elif message["s"] != self.symbol:
            self.other_symbols.add(str(message["s"]))
            self.counts["other_symbols"] += 1
        else:
            taker(local_ts, message, line)

    def columns(self) -> Columns:
        """Return the rows since the last call. Raises ``BadRow`` for a price or amount that is no number from 0 up."""
        runs, self._runs = self._runs, Runs()
        return runs.columns()

    def _snapshot(self, local_ts: int, message: Message, line: int) -> None:
        update_id: int = message["lastUpdateId"]
        if self._synced and self._last_id and update_id <= self._last_id:
            self.counts["snapshots_not_needed"] += 1
            return
        exch_ts = _time(message["T"]) if "T" in message else 0
        bids, asks, runs = message["bids"], message["asks"], self._runs
        runs.row(EventKind.CLEAR, line, exch_ts, local_ts, update_id, side=1, flags=0)
        runs.levels(EventKind.SNAPSHOT, line, exch_ts, local_ts, update_id, bids, [], flags=0)
        runs.row(EventKind.CLEAR, line, exch_ts, local_ts, update_id, side=-1, flags=0 if asks else 1)
        runs.levels(EventKind.SNAPSHOT, line, exch_ts, local_ts, update_id, [], asks)
        self._started = self._synced = True
        self._last_id = update_id
        pending, self._pending = list(self._pending), deque(maxlen=_PENDING)
        for _, held, held_line in pending:
            if held["u"] > update_id:
                self.counts["before_snapshot"] -= not self.counts["gaps"]
                self._depth(local_ts, held, held_line)

    def _depth(self, local_ts: int, message: Message, line: int) -> None:
        if not self._synced:
            self._pending.append((local_ts, message, line))
            if not self._started:
                self.counts["before_snapshot"] += 1
                return
        update_id: int = message["u"]
        last, exch_ts = self._last_id, _time(message["T"] if "T" in message else message["E"])
        if last:
            if update_id <= last:
                self.counts["updates_in_snapshot"] += 1
                return
            if message.get("pu", message["U"] - 1) > last:
                self._gap(local_ts, exch_ts, message, line)
        self._last_id = update_id
        self._runs.levels(EventKind.DEPTH, line, exch_ts, local_ts, update_id, message["b"], message["a"])

    def _gap(self, local_ts: int, exch_ts: int, message: Message, line: int) -> None:
        self.counts["gaps"] += 1
        self._runs.row(EventKind.GAP, line, exch_ts, local_ts, message["u"])
        if self._synced:
            self._synced = False
            self._pending.append((local_ts, message, line))

    def _trade(self, local_ts: int, message: Message, line: int) -> None:
        if not self._started:
            self.counts["trades_before_snapshot"] += 1
        elif message.get("X", "MARKET") != "MARKET":
            # insurance fund and ADL trades do not come from the order book
            self.counts["trades_off_book"] += 1
        else:
            # in futures streams T and E are those of one clock, in spot ones only E has a counterpart in depth updates
            time = _time(message["T"] if "X" in message else message["E"])
            side = -1 if _flag(message["m"]) else 1
            self._runs.row(EventKind.TRADE, line, time, local_ts, message["t"], side, message["p"], message["q"])

    def _ticker(self, local_ts: int, message: Message, line: int) -> None:
        if not self._started:
            self.counts["book_tickers_before_snapshot"] += 1
            return
        time = _time(message["T"]) if "T" in message else 0
        bid, ask = [[message["b"], message["B"]]], [[message["a"], message["A"]]]
        self._runs.levels(EventKind.BBO, line, time, local_ts, message["u"], bid, ask)


def _time(stamp: int) -> int:
    """Return ns since the epoch of Binance's ms, or µs."""
    return stamp * (1_000 if stamp >= _MICROSECONDS_FROM else 1_000_000)


def _flag(value: object) -> bool:
    if value is True or value is False:
        return value
    raise ValueError(f"m is {value!r}, neither true nor false")
