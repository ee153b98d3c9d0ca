"""Everything that runs while an ``OrderBookTracker`` is started."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from kit.core.clock import TimeSource
from kit.core.tasks import TaskSupervisor
from kit.market.book_freshness import FreshnessWatch
from kit.market.book_registry import BookRegistry
from kit.market.book_resync import BookResync, ResyncPolicy
from kit.market.book_source import BookSource
from kit.market.last_prices import LastPriceRefresh
from kit.market.tracked_book import TrackedBook
from kit.types.market import MarketMessage

logger = logging.getLogger(__name__)

# The loop must get its turn also while a burst of messages is worked off (some milliseconds of books).
_BURST = 64


@dataclass(frozen=True, slots=True)
class BookTasksSetup:
    """What the tasks work with.

    Messages go to ``process``; ``announce`` is told of changed books, ``observe`` of snapshots that were fetched.
    """

    source: BookSource
    registry: BookRegistry
    time_source: TimeSource
    policy: ResyncPolicy
    stale_after: float | None
    process: Callable[[MarketMessage], None]
    announce: Callable[[TrackedBook], None]
    observe: Callable[[MarketMessage], None]


class BookTasks:
    """Route messages, resync books, watch their freshness and refresh last prices until closed."""

    def __init__(self, setup: BookTasksSetup, supervisor: TaskSupervisor) -> None:
        self.errors = 0
        self._setup = setup
        self._queue: asyncio.Queue[MarketMessage] = asyncio.Queue()
        self._supervisor = supervisor.child("order books")
        self._resync = BookResync(
            setup.source,
            self._supervisor,
            setup.time_source,
            policy=setup.policy,
            on_synced=setup.announce,
            on_snapshot=setup.observe,
        )
        self._closed = False
        self._start()

    @property
    def backlog(self) -> int:
        """Return how many messages wait for the router."""
        return self._queue.qsize()

    def receive(self, message: MarketMessage) -> None:
        """Queue a message; the sink of the source."""
        if not self._closed:
            self._queue.put_nowait(message)

    def care_for(self, track: TrackedBook) -> None:
        """Start getting a snapshot for a book that is out of sync, stop it for one that is in sync."""
        if track.book.synced:
            self._resync.cancel(track.book.trading_pair)
        elif not self._closed:
            self._resync.request(track)

    def drop(self, trading_pair: str) -> None:
        """End what runs for a pair that is removed."""
        self._resync.cancel(trading_pair)

    async def close(self) -> None:
        """End every task; messages that come later are dropped."""
        self._closed = True
        await self._supervisor.close()

    def _start(self) -> None:
        setup, tasks = self._setup, self._supervisor
        tasks.spawn(self._route(), name="router")
        prices = LastPriceRefresh(setup.source, setup.registry, setup.time_source)
        tasks.spawn(prices.run(), name="last prices")
        if setup.stale_after is not None:
            watch = FreshnessWatch(
                setup.source,
                setup.registry,
                tasks,
                setup.time_source,
                stale_after=setup.stale_after,
                fetch_timeout=setup.policy.fetch_timeout,
                on_change=setup.announce,
                on_snapshot=setup.observe,
            )
            tasks.spawn(watch.run(), name="freshness")

    async def _route(self) -> None:
        routed = 0
        while True:
            message = await self._queue.get()
            try:
                self._setup.process(message)
            except Exception:  # one message that trips over a defect must not end the streams of every pair
                self.errors += 1
                logger.exception("a market message could not be processed: %.200r", message)
            routed += 1
            if routed % _BURST == 0:
                await asyncio.sleep(0)
