"""What is to be recorded of one pair: taken on the loop, at the cost of an append, for a thread to write."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Protocol, TypeAlias

from kit.storage.events import EventKind
from kit.storage.message_rows import Entry, rows_of
from kit.types.market import Level, MarketMessage, OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost, TradeType

logger = logging.getLogger(__name__)

_DEPTH, _SNAPSHOT = int(EventKind.DEPTH), int(EventKind.SNAPSHOT)
_TRADE, _GAP = int(EventKind.TRADE), int(EventKind.GAP)
Levels: TypeAlias = Sequence[Level]

_ALL: Final = 1 << 30

WHOLE_EVERY: Final = 3600 * 10**9
"""Nanoseconds after which the whole book is recorded again, so that a replay may begin there."""

_MAX_ID: Final = 2**63


class Book(Protocol):
    """What is asked of a pair's order book."""

    update_id: int
    timestamp: float

    @property
    def synced(self) -> bool:
        """Tell whether the levels are those of the exchange."""
        ...

    def depth(self, levels: int) -> tuple[list[Level], list[Level]]:
        """Return bids and asks, best first."""
        ...


class Room:
    """How many rows may wait for the disk, over all tapes; one thread adds, one takes away."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.added = 0
        self.taken = 0

    @property
    def waiting(self) -> int:
        """Return how many rows wait."""
        return self.added - self.taken


class Tape:
    """The messages of one pair, as long as they make sense without those that are missing.

    Levels are recorded while the book follows the stream; a loss is a GAP row, and what comes after it begins with the
    whole book, whether the exchange sent it, the tracker fetched it, or it was there when recording began. The whole
    book is told again every hour (``WHOLE_EVERY``), so that a replay may begin in the middle of a day. What a book
    refuses is not recorded. Where there is no room left, rows are counted as ``lost`` and told by a GAP and the log.
    ``now`` is the local clock in seconds; recorded times never go back.
    """

    def __init__(
        self, trading_pair: str, book: Book, room: Room, now: Callable[[], float], *, not_before: int = 0
    ) -> None:
        self.trading_pair = trading_pair
        self.entries: deque[Entry] = deque()
        self.lost = 0
        self._book = book
        self._room = room
        self._now = now
        self.last = not_before
        self._in_step = False
        self._full = False
        self._at_gap = False
        self._whole_due = 0
        self.mark_gap()
        if book.synced:
            self._put_book()

    def take(self, message: MarketMessage) -> None:
        """Record a message that the book has just taken."""
        book = self._book
        if isinstance(message, PublicTrade):
            self._take_trade(message)
        elif not book.synced or isinstance(message, StreamLost):
            self._in_step = False
            self.mark_gap()
        elif self._in_step and message.update_id < book.update_id:
            pass  # the book has left it out, as it is further on; as rows it would put old levels back
        elif isinstance(message, OrderBookDiff) and self._in_step:
            if message.bids or message.asks:
                self._put(_DEPTH, message.timestamp, message.update_id, message.bids, message.asks)
                if self._in_step and self.last >= self._whole_due:
                    self._put_book()
        elif self._has_no_room:
            self._lose(len(message.bids) + len(message.asks))
        elif isinstance(message, OrderBookSnapshot) and message.update_id == book.update_id:
            self._in_step = self._put(_SNAPSHOT, message.timestamp, message.update_id, message.bids, message.asks)
        else:
            self._put_book()

    def mark_gap(self) -> None:
        """Note that events are missing here, unless that is the last thing noted."""
        if not self._at_gap:
            self._append((self._stamp(), _GAP, 0.0, 0, (), ()))
            self._at_gap = True

    def _take_trade(self, trade: PublicTrade) -> None:
        if 0.0 < trade.price < inf and 0.0 < trade.amount < inf:
            number = int(trade.trade_id) if trade.trade_id.isdecimal() else 0
            level = ((trade.price, trade.amount),)
            is_buy = trade.side is TradeType.BUY
            self._put(
                _TRADE,
                trade.timestamp,
                number if number < _MAX_ID else 0,
                level if is_buy else (),
                () if is_buy else level,
            )

    def _put_book(self) -> None:
        book = self._book
        bids, asks = book.depth(_ALL)
        self._in_step = self._put(_SNAPSHOT, book.timestamp, book.update_id, bids, asks)

    def _put(self, kind: int, timestamp: float, number: int, bids: Levels, asks: Levels) -> bool:
        entry = (self._stamp(), kind, timestamp, number, bids, asks)
        if self._has_no_room or self._room.waiting + rows_of(entry) > self._room.limit:
            self._lose(rows_of(entry))
            return False
        if self._full:
            self._full = False
            logger.warning("%s is recorded again; %d rows are missing", self.trading_pair, self.lost)
        self._append(entry)
        self._at_gap = False
        if kind == _SNAPSHOT:
            self._whole_due = entry[0] + WHOLE_EVERY
        return True

    @property
    def _has_no_room(self) -> bool:
        """Once full, wait until half is free: else every other message would be a whole book."""
        return self._full and self._room.waiting * 2 > self._room.limit

    def _lose(self, rows: int) -> None:
        self.lost += rows
        self._in_step = False
        if not self._full:
            self._full = True
            self.mark_gap()
            logger.error(
                "%s: %d rows wait for the disk, which is the limit; what comes now is not recorded",
                self.trading_pair,
                self._room.waiting,
            )

    def _append(self, entry: Entry) -> None:
        self._room.added += rows_of(entry)
        self.entries.append(entry)

    def _stamp(self) -> int:
        self.last = max(self.last, round(self._now() * 1e9))
        return self.last
