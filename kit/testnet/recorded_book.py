"""An order book rebuilt from recorded depth messages, by Binance's own sequence rules."""

from __future__ import annotations

import logging
from collections import deque

from kit.testnet.raw_files import DepthUpdate, RawLevel, Snapshot

log = logging.getLogger(__name__)

KEPT_UPDATES = 1_000
"""Updates kept for a snapshot to come: a request for one takes seconds, not minutes."""


class RecordedBook:
    """Prices and amounts in units of 1e-8, one dict a side.

    Updates that come before the first snapshot are kept; the snapshot drops those up to its own id and applies the
    rest. From then on each update must follow the one before. After a break (``gaps``) the book goes on as the union
    of what is known: every level named later is right again, a level on the wrong side of a newer one goes, and the
    next snapshot in the recording rebuilds the book. ``dropped_bids``/``dropped_asks`` are the prices that the latest
    update made go without naming them. A snapshot that tells nothing newer than a sound book is ignored,
    so recordings that go on from each other need only the first one's. ``sound`` is true while no update is missing.
    """

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.update_id = 0
        self.started = False
        self.sound = False
        self.gaps = 0
        self.dropped_bids: list[int] = []
        self.dropped_asks: list[int] = []
        self.snapshot_low = 0
        self.snapshot_high = 0
        self._kept: deque[DepthUpdate] = deque(maxlen=KEPT_UPDATES)
        self._joining = False  # the next update is the first after a snapshot, and may reach back before it

    def apply_snapshot(self, snapshot: Snapshot) -> bool:
        """Start or rebuild the book; return whether it changed."""
        later = [update for update in self._kept if update.last_id > snapshot.last_id]
        if self.started and snapshot.last_id <= self.update_id:
            joins = later[0].first_id <= snapshot.last_id + 1 if later else snapshot.last_id == self.update_id
            if self.sound or not joins:
                return False
        self._kept.clear()
        self.bids = dict(snapshot.bids)
        self.asks = dict(snapshot.asks)
        self.snapshot_low = min((price for price, _ in snapshot.bids), default=0)
        self.snapshot_high = max((price for price, _ in snapshot.asks), default=0)
        self.update_id = snapshot.last_id
        self.started = self.sound = self._joining = True
        for update in later:
            self._follow(update)
        return True

    def apply_update(self, update: DepthUpdate) -> bool:
        """Apply an update; ``False`` when it was only kept for a snapshot to come, or is older than the book."""
        if not self.sound:
            self._kept.append(update)
        if not self.started or update.last_id <= self.update_id:
            return False
        self._follow(update)
        return True

    def start_without_snapshot(self) -> None:
        """Begin with what the kept updates name: for a recording that has no snapshot."""
        self.started = True
        for update in self._kept:
            self._follow(update)

    def _follow(self, update: DepthUpdate) -> None:
        follows = update.follows(self.update_id) or (self._joining and update.first_id <= self.update_id + 1)
        self._joining = False
        if self.sound and not follows:
            self.sound = False
            self.gaps += 1
            self._kept.append(update)
            log.warning(
                "the recording misses depth updates between ids %d and %d: levels may be stale until the next snapshot",
                self.update_id,
                update.first_id,
            )
        self._write(update)
        self.dropped_bids, self.dropped_asks = [], []
        if not self.sound:
            self._uncross(update)

    def _write(self, update: DepthUpdate) -> None:
        for side, levels in ((self.bids, update.bids), (self.asks, update.asks)):
            for price, amount in levels:
                if amount:
                    side[price] = amount
                else:
                    side.pop(price, None)
        self.update_id = update.last_id

    def _uncross(self, update: DepthUpdate) -> None:
        """Remove levels that a newer level of the other side has passed."""
        bid = max((price for price, amount in update.bids if amount), default=0)
        ask = min((price for price, amount in update.asks if amount), default=1 << 62)
        self.dropped_asks = [price for price in self.asks if price <= bid]
        self.dropped_bids = [price for price in self.bids if price >= ask]
        for price in self.dropped_asks:
            del self.asks[price]
        for price in self.dropped_bids:
            del self.bids[price]


def best_first(levels: dict[int, int], *, bids: bool) -> list[RawLevel]:
    """Return the levels of one side as a list, best first."""
    return sorted(levels.items(), reverse=bids)
