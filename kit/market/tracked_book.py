"""One order book and how it stands with its stream: the state machine under ``OrderBookTracker``, without tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf

from kit.market.book_errors import BadMessage, BookCrossed, BookError, SequenceGap
from kit.market.order_book import OrderBook
from kit.market.pending_diffs import PendingDiffs
from kit.types.market import MarketMessage, OrderBookDiff, OrderBookSnapshot, PublicTrade, StreamLost

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class BookCounts:
    """What happened to a book so far.

    ``diffs``, ``snapshots`` and ``trades`` were applied; ``resyncs`` is how often sync was found again after a loss.
    ``gaps`` are breaks in the sequence, ``crossed`` messages that would have crossed the book, ``rejected`` malformed
    ones, ``lost`` losses that the source told, ``ignored`` updates that the book had already, ``fetch_errors``
    snapshots that could not be fetched.
    """

    diffs: int = 0
    snapshots: int = 0
    trades: int = 0
    resyncs: int = 0
    gaps: int = 0
    crossed: int = 0
    rejected: int = 0
    lost: int = 0
    ignored: int = 0
    fetch_errors: int = 0


@dataclass(frozen=True, slots=True)
class BookStatus:
    """How a book stands at one moment; the counts are those of ``BookCounts``.

    ``synced``: in step with the stream. ``stale``: in step, but nothing was heard for too long. ``ready`` is synced and
    not stale. ``age`` is the time in seconds since the book was last known to be right, ``None`` before the first
    snapshot; ``waiting`` diffs are kept for the next snapshot. ``last_error`` stays after it was overcome.
    """

    trading_pair: str
    ready: bool
    synced: bool
    stale: bool
    age: float | None
    update_id: int
    waiting: int
    diffs: int
    snapshots: int
    trades: int
    resyncs: int
    gaps: int
    crossed: int
    rejected: int
    lost: int
    ignored: int
    fetch_errors: int
    last_error: str


class TrackedBook:
    """Take a pair's messages in order of arrival, and know whether its book can be relied on.

    ``now`` is a monotonic clock in seconds; ``stale_after`` (seconds) ``None`` is off. While the book is out of sync,
    ``urgent`` tells that nobody but us knows, so that a snapshot must be fetched; otherwise the source will send one.
    """

    def __init__(
        self, book: OrderBook, *, now: Callable[[], float], stale_after: float | None = None, pending_limit: int = 2000
    ) -> None:
        self.book = book
        self.pending = PendingDiffs(pending_limit)
        self.counts = BookCounts()
        self.urgent = False
        self.last_error = ""
        self.last_trade_at = -inf
        self._now = now
        self._stale_after = stale_after
        self._right_at = -inf
        self._ever_synced = False
        self._stream_missed = False

    @property
    def age(self) -> float:
        """Return the seconds since the book was last known to be right, infinity before the first snapshot."""
        return self._now() - self._right_at

    @property
    def stale(self) -> bool:
        """Tell whether the book is in sync with a stream that has been silent for too long."""
        return self.book.synced and self._stale_after is not None and self.age > self._stale_after

    @property
    def ready(self) -> bool:
        """Tell whether the book can be traded on."""
        return self.book.synced and not self.stale

    def status(self) -> BookStatus:
        """Return how the book stands."""
        return BookStatus(
            trading_pair=self.book.trading_pair,
            ready=self.ready,
            synced=self.book.synced,
            stale=self.stale,
            age=self.age if self._ever_synced else None,
            update_id=self.book.update_id,
            waiting=len(self.pending),
            last_error=self.last_error,
            **asdict(self.counts),
        )

    def process(self, message: MarketMessage) -> bool:
        """Take one message of the stream; returns whether levels changed. Bad messages are counted, never raised."""
        if isinstance(message, OrderBookDiff):
            return self._take_diff(message)
        if isinstance(message, PublicTrade):
            self._take_trade(message)
        elif isinstance(message, OrderBookSnapshot):
            return self._take_snapshot(message)
        elif isinstance(message, StreamLost):
            self._lose(message)
        return False

    def install(self, snapshot: OrderBookSnapshot, *, confirms: bool = True) -> bool:
        """Set the book to a snapshot and the pending diffs that follow it; returns whether that went well.

        ``confirms`` False: the stream stays suspect, so that the book does not become any fresher by it.
        """
        was_synced = self.book.synced
        try:
            self.book.apply_snapshot(snapshot)
        except BookError as error:
            self._count(error)
            return False
        self.counts.snapshots += 1
        try:
            self.counts.diffs += self.pending.replay(self.book)
        except BookError as error:  # usual when a fetched snapshot is older than the first diffs: the next will do
            self._note(error, logging.INFO)
            return False
        if self._ever_synced and not was_synced:
            self.counts.resyncs += 1
        self._ever_synced = True
        self.urgent = False
        if confirms:
            self._confirm()
        return True

    def compare(self, snapshot: OrderBookSnapshot) -> bool:
        """Judge a silent stream by a fetched snapshot; returns whether levels changed.

        The same update id (or the same best levels, where there are no ids) proves that nothing was missed. Otherwise
        the snapshot replaces a book that is already stale, but only the stream itself can make it fresh again.
        """
        if not self.book.synced:
            return False
        if self._is_same(snapshot):
            if not self._stream_missed:
                self._confirm()
            return False
        if not self.stale:
            return False  # the update may be on its way
        self._stream_missed = True
        return self.install(snapshot, confirms=False)

    def suspend(self, reason: str) -> None:
        """Put the book out of sync because nothing streams it now, and forget the pending diffs."""
        self.urgent = False
        self.pending.clear()
        self.book.invalidate(reason)

    def note_fetch_error(self, error: Exception) -> None:
        """Count a snapshot that could not be fetched."""
        self.counts.fetch_errors += 1
        self.last_error = f"{type(error).__name__}: {error}"

    def _take_diff(self, diff: OrderBookDiff) -> bool:
        if not self.book.synced:
            self.pending.add(diff)
            return False
        try:
            applied = self.book.apply_diff(diff)
        except BookError as error:
            self._count(error)
            self.urgent = True
            # Kept, also when it is bad: a snapshot that does not contain it yet is too old to build on.
            self.pending.add(diff)
            return False
        if applied:
            self.counts.diffs += 1
            self._confirm()
        else:
            self.counts.ignored += 1
        return applied

    def _take_snapshot(self, snapshot: OrderBookSnapshot) -> bool:
        if self.book.synced and 0 < snapshot.update_id <= self.book.update_id:
            self.counts.ignored += 1
            return False
        self.pending.forget_unnumbered()
        return self.install(snapshot)

    def _take_trade(self, trade: PublicTrade) -> None:
        try:
            self.book.apply_trade(trade)
        except BadMessage as error:
            self._count(error)
        else:
            self.counts.trades += 1
            self.last_trade_at = self._now()

    def _lose(self, loss: StreamLost) -> None:
        self.counts.lost += 1
        self.last_error = loss.reason
        self.suspend(f"the stream was lost: {loss.reason}")
        logger.warning("%s: stream lost: %s", loss.trading_pair, loss.reason)

    def _confirm(self) -> None:
        self._right_at = self._now()
        self._stream_missed = False

    def _is_same(self, snapshot: OrderBookSnapshot) -> bool:
        if snapshot.update_id and self.book.update_id:
            return snapshot.update_id == self.book.update_id
        return (sorted(snapshot.bids, reverse=True)[:5], sorted(snapshot.asks)[:5]) == self.book.depth(5)

    def _count(self, error: BookError) -> None:
        if isinstance(error, SequenceGap):
            self.counts.gaps += 1
        elif isinstance(error, BookCrossed):
            self.counts.crossed += 1
        else:
            self.counts.rejected += 1
        self._note(error, logging.WARNING)

    def _note(self, error: BookError, level: int) -> None:
        self.last_error = str(error)
        logger.log(level, "%s: %s", self.book.trading_pair, error)
