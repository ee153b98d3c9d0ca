"""Silent streams: told from quiet markets by asking the exchange, and reported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kit.core.clock import TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import KitError
from kit.market.book_registry import BookRegistry
from kit.market.book_source import BookSource, fetch_snapshot
from kit.market.tracked_book import TrackedBook
from kit.types.market import OrderBookSnapshot

logger = logging.getLogger(__name__)

# A book that heard nothing for half of ``stale_after`` is compared with a fetched one; looked after six times in that.
AUDIT_SHARE = 0.5
LOOK_SHARE = 1 / 12


class FreshnessWatch:
    """Compare books whose stream is silent with a fetched snapshot, before and while they are stale.

    Where nothing was missed the market is just quiet, and the book stays fresh without any message.
    ``on_change(track)`` is called when a comparison changed a book or made it ready, ``on_snapshot(snapshot)`` when the
    book was set to the fetched one.
    """

    def __init__(
        self,
        source: BookSource,
        registry: BookRegistry,
        supervisor: TaskSupervisor,
        time_source: TimeSource,
        *,
        stale_after: float,
        fetch_timeout: float,
        on_change: Callable[[TrackedBook], None],
        on_snapshot: Callable[[OrderBookSnapshot], None],
    ) -> None:
        self._source = source
        self._registry = registry
        self._supervisor = supervisor
        self._time = time_source
        self._stale_after = stale_after
        self._fetch_timeout = fetch_timeout
        self._on_change = on_change
        self._on_snapshot = on_snapshot
        self._stale: set[str] = set()
        self._audits: dict[str, asyncio.Task[None]] = {}
        self._audited_at: dict[str, float] = {}

    async def run(self) -> None:
        """Look after the books for ever."""
        while True:
            await self._time.sleep(self._stale_after * LOOK_SHARE)
            for track in tuple(self._registry.tracks.values()):
                self._report(track)
                if self._needs_audit(track):
                    pair = track.book.trading_pair
                    self._audited_at[pair] = self._time.monotonic()
                    self._audits[pair] = self._supervisor.spawn(self._audit(track), name=f"compare {pair}")

    def _needs_audit(self, track: TrackedBook) -> bool:
        pair, pause = track.book.trading_pair, self._stale_after * AUDIT_SHARE
        if not track.book.synced or track.age <= pause:
            return False
        running = self._audits.get(pair)
        if running is not None and not running.done():
            return False
        return self._time.monotonic() - self._audited_at.get(pair, -pause) >= pause

    async def _audit(self, track: TrackedBook) -> None:
        pair = track.book.trading_pair
        try:
            snapshot = await fetch_snapshot(self._source, pair, self._fetch_timeout)
        except KitError as error:
            track.note_fetch_error(error)
            logger.debug("%s: the silent book could not be compared: %s", pair, error)
            return
        if self._registry.tracks_still(track):
            was_ready = track.ready
            changed = track.compare(snapshot)
            if changed:
                self._on_snapshot(snapshot)
            if changed or track.ready != was_ready:
                self._on_change(track)
            self._report(track)

    def _report(self, track: TrackedBook) -> None:
        pair = track.book.trading_pair
        if track.stale and pair not in self._stale:
            self._stale.add(pair)
            logger.warning(
                "%s: stale, nothing was heard for %.0f s; not ready until the stream is back", pair, track.age
            )
        elif track.ready and pair in self._stale:
            self._stale.discard(pair)
            logger.info("%s: fresh again", pair)
