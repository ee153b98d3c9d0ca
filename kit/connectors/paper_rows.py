"""A live stream as rows for the matching engine: only while its book is in step, else a gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kit.market.order_book import OrderBook
from kit.market.tracked_book import TrackedBook
from kit.types.market import MarketMessage, OrderBookDiff, OrderBookSnapshot, PublicTrade, TradeType

if TYPE_CHECKING:
    from kit.simulation.feed import FeedColumns
    from kit.types.market import TradingRule


class PaperRows:
    """Turn one pair's messages into rows of ``kit.storage.events``; the exchange's time is the time of receipt.

    A lost stream, a break in the sequence and a crossed book end in a gap: nothing is told of the market then, and so
    nothing fills, until a snapshot is there.
    """

    def __init__(self, trading_pair: str, monotonic: Callable[[], float]) -> None:
        self.track = TrackedBook(OrderBook(trading_pair), now=monotonic)
        self._rows: list[tuple[Any, ...]] = []

    @property
    def known(self) -> bool:
        """Tell whether the book is in step with the exchange's."""
        return self.track.book.synced

    @property
    def waiting(self) -> bool:
        """Tell whether there are rows to take."""
        return bool(self._rows)

    def take(self, message: MarketMessage, now_ns: int) -> None:
        """Take a message of the stream, received at ``now_ns``."""
        was_known = self.known
        changed = self.track.process(message)
        if not self.known:
            if was_known:
                self._gap(now_ns)
        elif isinstance(message, PublicTrade):
            side = 1 if message.side is TradeType.BUY else -1
            self._rows.append((now_ns, now_ns, _TRADE, side, message.price, message.amount, 0, 0))
        elif isinstance(message, OrderBookDiff) and was_known:
            if changed:
                self._levels(_DEPTH, message.bids, message.asks, now_ns)
        elif changed:
            self._whole(now_ns)

    def offer(self, snapshot: OrderBookSnapshot, now_ns: int) -> None:
        """Take a snapshot that somebody fetched, if one is needed."""
        if not self.known and self.track.install(snapshot):
            self._whole(now_ns)

    def lose(self, reason: str, now_ns: int) -> None:
        """Begin a gap: nothing streams the pair now."""
        if self.known:
            self._gap(now_ns)
        self.track.suspend(reason)

    def restart(self, now_ns: int) -> None:
        """Begin anew for an engine that has seen nothing yet."""
        self._rows.clear()
        if self.known:
            self._whole(now_ns)

    def batch(self, rule: TradingRule) -> FeedColumns:
        """Return the waiting rows for an engine, and forget them."""
        from kit.simulation.feed import FeedColumns
        from kit.storage.events import MarketEvents

        rows, self._rows = self._rows, []
        events = MarketEvents.from_rows("paper", rule.trading_pair, rows)
        return FeedColumns.from_events(events, rule.min_price_increment, rule.min_base_amount_increment)

    def _whole(self, now_ns: int) -> None:
        self._rows.append((now_ns, now_ns, _CLEAR, 0, 0.0, 0.0, 0, 0))
        bids, asks = self.track.book.depth(_ALL)
        self._levels(_SNAPSHOT, bids, asks, now_ns)

    def _levels(self, kind: int, bids: Any, asks: Any, now_ns: int) -> None:
        rows = self._rows
        rows.extend((now_ns, now_ns, kind, 1, price, amount, 0, 0) for price, amount in bids)
        rows.extend((now_ns, now_ns, kind, -1, price, amount, 0, 0) for price, amount in asks)

    def _gap(self, now_ns: int) -> None:
        self._rows.append((now_ns, now_ns, _GAP, 0, 0.0, 0.0, 0, 0))


# ``kit.storage.events.EventKind``, which would load numpy.
_DEPTH, _TRADE, _CLEAR, _SNAPSHOT, _GAP = 1, 2, 3, 4, 20
_ALL = 1 << 30
