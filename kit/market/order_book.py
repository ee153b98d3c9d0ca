"""The order book of one trading pair, kept from snapshots and diffs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kit.errors import InvalidInput
from kit.market.book_errors import BadMessage, BookCrossed, BookError, SequenceGap
from kit.market.book_queries import OrderBookQueryResult
from kit.market.book_side import BookSide, best_of
from kit.market.book_view import BookView
from kit.market.trade_feed import TradeFeed
from kit.types.drawn import Drawn, plot
from kit.types.market import OrderBookDiff, OrderBookSnapshot

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from kit.types.orders import LimitOrder

__all__ = ["BadMessage", "BookCrossed", "BookError", "OrderBook", "OrderBookQueryResult", "SequenceGap"]


class OrderBook(Drawn, BookView, TradeFeed):
    """Keep the levels of one pair, float prices and base amounts; never crossed, never a level of amount 0.

    A message is applied whole or not at all. A diff that cannot be applied raises a ``BookError`` and puts the book
    out of sync: it keeps its last good levels, ``sync_error`` says why, and diffs are refused until the next snapshot.

    The feed writes from one thread; any other may read at any time and sees whole states only.

    ``update_id`` is the id of the last update applied (0: the exchange numbers nothing), ``snapshot_uid`` that of the
    last snapshot, ``timestamp`` the exchange's time of the last update, in seconds (0.0: not told).
    """

    def __init__(self, trading_pair: str) -> None:
        super().__init__()
        self.trading_pair = trading_pair
        self.update_id = 0
        self.snapshot_uid = 0
        self.timestamp = 0.0
        self.sync_error: str | None = "no snapshot has arrived yet"

    @property
    def synced(self) -> bool:
        """Tell whether the levels are those of the exchange at ``update_id`` and diffs can follow."""
        return self.sync_error is None

    def apply_snapshot(self, snapshot: OrderBookSnapshot) -> None:
        """Replace every level, whatever the update id; the book is in sync then.

        Levels may come in any order, those of amount 0 are left out.
        Raises ``BadMessage`` or ``BookCrossed`` and changes nothing when the snapshot itself is bad.
        """
        self._check_pair(snapshot.trading_pair)
        high_bid = best_of(snapshot.bids, is_bid=True)
        low_ask = best_of(snapshot.asks, is_bid=False)
        if high_bid >= low_ask:
            raise _crossed(high_bid, low_ask, f"snapshot {snapshot.update_id}")
        bids, asks = BookSide(snapshot.bids, is_bid=True), BookSide(snapshot.asks, is_bid=False)
        with self._lock:
            self._bids, self._asks = bids, asks
            self._version += 1
        self.update_id = self.snapshot_uid = snapshot.update_id
        self.timestamp = snapshot.timestamp or self.timestamp
        self.sync_error = None

    def apply_diff(self, diff: OrderBookDiff) -> bool:
        """Apply changed levels; returns False, changing nothing, for an update the book already contains.

        The diff must follow without a gap: ``previous_update_id`` (else ``first_update_id`` - 1) must not be beyond
        the book's ``update_id``. An overlap does no harm, as amounts are absolute. Where the exchange tells neither,
        only the order of ids is checked, and ids of 0 are not checked at all.
        Raises ``SequenceGap``, ``BookCrossed`` or ``BadMessage``; the levels stay as they were and the book is out of
        sync until the next snapshot.
        """
        self._check_pair(diff.trading_pair)
        if self.sync_error is not None:
            raise SequenceGap(
                f"the book of {self.trading_pair} takes no diff while out of sync ({self.sync_error})",
                "Apply a snapshot first; an OrderBookTracker does so by itself.",
            )
        if 0 < diff.update_id <= self.update_id:
            return False
        try:
            self._check_sequence(diff)
            self._apply_levels(diff)
        except BookError as error:
            self.invalidate(error.reason)
            raise
        return True

    def invalidate(self, reason: str) -> None:
        """Declare the book out of sync: levels stay readable, diffs are refused until the next snapshot."""
        self.sync_error = reason

    def _check_pair(self, trading_pair: str) -> None:
        if trading_pair != self.trading_pair:
            raise InvalidInput(f"A message of {trading_pair!r} was handed to the book of {self.trading_pair!r}.")

    def _check_sequence(self, diff: OrderBookDiff) -> None:
        if not (diff.update_id and self.update_id):
            return
        before = diff.previous_update_id
        if before is None:
            if diff.first_update_id is None:
                return
            before = diff.first_update_id - 1
        if before > self.update_id:
            raise SequenceGap(
                f"updates after {self.update_id} up to {before} of {self.trading_pair} were lost",
                "The diff was not applied; a new snapshot is needed.",
            )

    def _apply_levels(self, diff: OrderBookDiff) -> None:
        bids, asks = self._bids, self._asks
        high_bid = best_of(diff.bids, is_bid=True)
        low_ask = best_of(diff.asks, is_bid=False)
        # Only a diff that sets a price beyond the other side's best can cross the book: only then keep a way back.
        may_cross = high_bid >= asks.top or low_ask <= bids.top or high_bid >= low_ask
        with self._lock:
            undo = (bids.amounts_before(diff.bids), asks.amounts_before(diff.asks)) if may_cross else None
            bids.apply(diff.bids)
            asks.apply(diff.asks)
            if undo is not None and bids.top >= asks.top:
                error = _crossed(bids.top, asks.top, f"diff {diff.update_id}")
                bids.apply(undo[0])
                asks.apply(undo[1])
                raise error
            self._version += 1
        self.update_id = diff.update_id or self.update_id
        self.timestamp = diff.timestamp or self.timestamp

    def plot(self, *, orders: Iterable[LimitOrder] = (), levels: int = 200, template: Any = None) -> go.Figure:
        """Draw cumulative depth by price, with plotly; ``orders`` are own ones to mark (``market.limit_orders``).

        ``levels`` a side are drawn. ``template`` is plotly's; by default the figure can be read on light and on dark
        ground. Raises ``NotReady`` while the book is empty and ``InvalidInput`` for ``levels`` below 1.
        """
        figure: go.Figure = plot("plot_depth", self, orders=orders, levels=levels, template=template)
        return figure

    def __repr__(self) -> str:
        (bids, asks), sides = self.depth(1), f"{len(self._bids)}+{len(self._asks)} levels"
        bid = f"bid {bids[0][0]:.12g} x {bids[0][1]:.8g}" if bids else "no bids"
        ask = f"ask {asks[0][0]:.12g} x {asks[0][1]:.8g}" if asks else "no asks"
        warning = f", out of sync: {self.sync_error}" if self.sync_error else ""
        return f"<OrderBook {self.trading_pair}: {bid} | {ask}, {sides}{warning}>"


def _crossed(bid: float, ask: float, cause: str) -> BookCrossed:
    return BookCrossed(
        f"{cause} would put the best bid {bid:.12g} at or above the best ask {ask:.12g}",
        "An update was lost or is not of this market; a new snapshot is needed.",
    )
