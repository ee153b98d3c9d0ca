"""Diffs that came before the snapshot they build on."""

from __future__ import annotations

from collections import deque

from kit.market.book_errors import SequenceGap
from kit.market.order_book import OrderBook
from kit.types.market import OrderBookDiff


class PendingDiffs:
    """Keep the last ``limit`` diffs in order of arrival until a snapshot comes that they can be applied to."""

    def __init__(self, limit: int) -> None:
        self._diffs: deque[OrderBookDiff] = deque()
        self._limit = limit
        self._dropped_up_to = 0

    def __len__(self) -> int:
        return len(self._diffs)

    def add(self, diff: OrderBookDiff) -> None:
        """Keep a diff; when full, the oldest goes, and only a snapshot that contains it will do from then on."""
        if len(self._diffs) >= self._limit:
            self._dropped_up_to = max(self._dropped_up_to, self._diffs.popleft().update_id)
        self._diffs.append(diff)

    def clear(self) -> None:
        """Forget everything, such as when a new stream begins."""
        self._diffs.clear()
        self._dropped_up_to = 0

    def forget_unnumbered(self) -> None:
        """Forget the diffs without an id: a snapshot that is made from now on contains them."""
        if any(not diff.update_id for diff in self._diffs):
            self._diffs = deque(diff for diff in self._diffs if diff.update_id)

    def replay(self, book: OrderBook) -> int:
        """Apply what the book's snapshot does not contain; returns how many diffs that were.

        The diffs are forgotten when all went well. Otherwise they are kept for the next snapshot, the book is out of
        sync and the ``BookError`` is raised: usually a ``SequenceGap``, because the snapshot is older than the diffs.
        """
        if 0 < book.update_id < self._dropped_up_to:
            reason = f"snapshot {book.update_id} is too old: diffs up to {self._dropped_up_to} came before and are gone"
            book.invalidate(reason)
            raise SequenceGap(reason, "A newer snapshot is needed.")
        applied = sum(book.apply_diff(diff) for diff in self._diffs)
        self.clear()
        return applied
