"""Getting books back into step: snapshots fetched where the source does not send one by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from kit.core.clock import TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import KitError, RateLimited
from kit.market.book_source import BookSource, fetch_snapshot
from kit.market.tracked_book import TrackedBook
from kit.types.market import OrderBookSnapshot

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResyncPolicy:
    """When snapshots are fetched, in seconds.

    ``grace``: how long the source may take to send one by itself. After a gap that only we saw the first fetch comes at
    once, those after it ``backoff_initial``, doubled up to ``backoff_max``, later. A stream that breaks again within
    ``calm_after`` of the last fetch goes on with the longer wait, so that it cannot use up the rate limit.
    ``fetch_timeout`` bounds one fetch.
    """

    grace: float = 5.0
    backoff_initial: float = 0.5
    backoff_max: float = 30.0
    calm_after: float = 10.0
    fetch_timeout: float = 15.0


@dataclass(slots=True)
class _Backoff:
    delay: float = 0.0
    last_fetch: float = -inf


class BookResync:
    """Run one task for each book that is out of sync, until it is in sync again.

    ``on_synced(track)`` is called when a fetched snapshot did it, ``on_snapshot(snapshot)`` for each that a book took.
    """

    def __init__(
        self,
        source: BookSource,
        supervisor: TaskSupervisor,
        time_source: TimeSource,
        *,
        policy: ResyncPolicy,
        on_synced: Callable[[TrackedBook], None],
        on_snapshot: Callable[[OrderBookSnapshot], None],
    ) -> None:
        self._source = source
        self._supervisor = supervisor
        self._time = time_source
        self._policy = policy
        self._on_synced = on_synced
        self._on_snapshot = on_snapshot
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._backoffs: dict[str, _Backoff] = {}

    def request(self, track: TrackedBook) -> None:
        """See to it that the book gets a snapshot; harmless when that is under way."""
        pair = track.book.trading_pair
        if pair not in self._tasks:
            self._tasks[pair] = self._supervisor.spawn(self._run(track), name=f"resync {pair}")

    def cancel(self, trading_pair: str) -> None:
        """Stop trying, as the book is in sync by other means or gone."""
        task = self._tasks.pop(trading_pair, None)
        if task is not None:
            task.cancel()

    async def _run(self, track: TrackedBook) -> None:
        pair = track.book.trading_pair
        backoff = self._backoffs.setdefault(pair, _Backoff())
        if self._time.monotonic() - backoff.last_fetch > self._policy.calm_after:
            backoff.delay = 0.0
        try:
            await self._time.sleep(backoff.delay if track.urgent else max(backoff.delay, self._policy.grace))
            while not track.book.synced:
                if not self._source.is_streaming(pair):  # a snapshot would be traded on while nobody tells what changes
                    await self._time.sleep(self._policy.backoff_initial)
                    continue
                backoff.delay = min(max(2 * backoff.delay, self._policy.backoff_initial), self._policy.backoff_max)
                wait = await self._attempt(track)
                backoff.last_fetch = self._time.monotonic()
                if not track.book.synced:
                    await self._time.sleep(max(backoff.delay, wait))
        finally:
            if self._tasks.get(pair) is asyncio.current_task():
                del self._tasks[pair]
        self._on_synced(track)

    async def _attempt(self, track: TrackedBook) -> float:
        """Fetch and apply one snapshot; returns the seconds that the exchange asks us to wait before the next."""
        pair = track.book.trading_pair
        track.pending.forget_unnumbered()
        try:
            snapshot = await fetch_snapshot(self._source, pair, self._policy.fetch_timeout)
            if track.install(snapshot):
                self._on_snapshot(snapshot)
        except KitError as error:
            track.note_fetch_error(error)
            logger.warning("%s: no snapshot could be fetched: %s", pair, error)
            return (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
        except Exception as error:  # a defect of the port must not leave the book out of sync for good
            track.note_fetch_error(error)
            logger.exception("%s: fetching a snapshot failed", pair)
        return 0.0
