"""A recorded session's market messages as columns of events, for the simulated exchange."""

from __future__ import annotations

from typing import Any, Final, Literal

from kit.market.order_book import OrderBook
from kit.market.tracked_book import TrackedBook
from kit.storage.events import BUY, NANOSECONDS, SELL, EventKind, MarketEvents
from kit.storage.session_codec import build, untagged
from kit.storage.session_files import Frame, SessionLog
from kit.types.market import OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost, TradeType

Clock = Literal["exchange", "local"]
"""Whose time stands in ``exch_ts``: the exchange's own, or that of the processing here (as a paper account has it)."""

_ALL: Final = 1 << 30

Row = tuple[int, int, int, int, float, float, int, int]


def session_events(log: SessionLog, connector: str, trading_pair: str, *, clock: Clock = "exchange") -> MarketEvents:
    """Return what a session's core saw of a pair, from its begin on: the book whole, then changes, trades and gaps.

    Only what the book took is in it: between a loss of the stream and the next good snapshot there is a gap.
    """
    rows = _Rows(trading_pair, clock)
    for frame in log.frames:
        if frame.kind in ("start", "sync"):
            for state in frame.data["connectors"]:
                if state["name"] == connector and trading_pair in state["books"]:
                    rows.begin(state["books"][trading_pair], frame)
        elif frame.who == connector and frame.kind.startswith("market"):
            rows.take(frame)
    return MarketEvents.from_rows(connector, trading_pair, rows.rows)


class _Rows:
    def __init__(self, trading_pair: str, clock: Clock) -> None:
        self.rows: list[Row] = []
        self._pair = trading_pair
        self._clock = clock
        self._track = TrackedBook(OrderBook(trading_pair), now=lambda: 0.0)

    def begin(self, state: dict[str, Any], frame: Frame) -> None:
        levels = (tuple(tuple(level) for level in state[side]) for side in ("bids", "asks"))
        if state["sync_error"] is None:
            snapshot = OrderBookSnapshot(self._pair, state["update_id"], state["timestamp"], *levels)
            self._track.install(snapshot)
            self._whole(frame, state["timestamp"])
        for diff in state["pending"]:
            self._track.process(build(OrderBookDiff, diff))

    def take(self, frame: Frame) -> None:
        kind, data, known = frame.kind, frame.data, self._track.book.synced
        if kind == "market":
            if data[1]["trading_pair"] == self._pair:
                self._message(untagged(data), frame, known)
        elif kind in ("market.install", "market.compare") and data["snapshot"]["trading_pair"] == self._pair:
            if self._track.install(build(OrderBookSnapshot, data["snapshot"])):
                self._whole(frame, data["snapshot"]["timestamp"])
        elif kind in ("market.suspend", "market.remove") and data["pair"] == self._pair:
            self._track.suspend(data["reason"])
            if known:
                self._add(frame, 0.0, EventKind.GAP, 0, 0.0, 0.0)

    def _message(
        self, message: OrderBookSnapshot | OrderBookDiff | PublicTrade | StreamLost, frame: Frame, known: bool
    ) -> None:
        changed = self._track.process(message)
        told = message.timestamp
        if not self._track.book.synced:
            if known:
                self._add(frame, told, EventKind.GAP, 0, 0.0, 0.0)
        elif isinstance(message, PublicTrade):
            side = BUY if message.side is TradeType.BUY else SELL
            self._add(frame, told, EventKind.TRADE, side, message.price, message.amount)
        elif changed and known and isinstance(message, OrderBookDiff):
            for side, levels in ((BUY, message.bids), (SELL, message.asks)):
                for price, amount in levels:
                    self._add(frame, told, EventKind.DEPTH, side, price, amount)
        elif changed:
            self._whole(frame, told)

    def _whole(self, frame: Frame, told: float) -> None:
        self._add(frame, told, EventKind.CLEAR, 0, 0.0, 0.0)
        bids, asks = self._track.book.depth(_ALL)
        for side, levels in ((BUY, bids), (SELL, asks)):
            for price, amount in levels:
                self._add(frame, told, EventKind.SNAPSHOT, side, price, amount)

    def _add(self, frame: Frame, told: float, kind: EventKind, side: int, price: float, amount: float) -> None:
        local = nanoseconds(frame.at)
        exchange = nanoseconds(told) if told and self._clock == "exchange" else local
        self.rows.append((exchange, max(local, exchange), int(kind), side, price, amount, 0, 0))


def nanoseconds(seconds: float) -> int:
    """Return whole nanoseconds of a time that was told to the microsecond at best."""
    return round(seconds * 1e6) * (NANOSECONDS // 1_000_000)
