"""The order books of a connector, kept in step with its streams."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, KitError
from kit.market.book_registry import BookRegistry
from kit.market.book_resync import ResyncPolicy
from kit.market.book_source import BookSource
from kit.market.book_tasks import BookTasks, BookTasksSetup
from kit.market.order_book import OrderBook
from kit.market.ready_waiters import ReadyWaiters
from kit.market.tracked_book import BookStatus, TrackedBook
from kit.types.market import MarketMessage, StreamLost

__all__ = ["BookStatus", "OrderBookTracker", "ResyncPolicy"]

logger = logging.getLogger(__name__)

MessageObserver: TypeAlias = Callable[[MarketMessage], None]

_STOPPED: Final = "the order book tracker is stopped"


class OrderBookTracker:
    """Keep an ``OrderBook`` per trading pair from the messages of a source, and say which can be relied on.

    Messages of all kinds wait in one queue, because the order between snapshots and diffs matters; the router task
    takes them to the books. Diffs that come before the first snapshot are kept (``pending_limit`` per pair) and
    replayed by their sequence. A gap, a lost stream (a failed checksum is told as one), a malformed or a crossing
    message puts a book out of sync: it is not ready until a snapshot came, streamed or fetched. A book that heard
    nothing for ``stale_after`` seconds is not ready either (``None`` is off), unless a fetched snapshot proves that
    nothing was missed.

    A pair's book is one object for the tracker's life, also when the pair is removed and added again.
    ``on_update(trading_pair)`` is called after a book's levels changed or became ready.

    All methods belong on the thread of the loop that ``start`` ran on. Simulations without a loop name the pairs in
    ``trading_pairs`` and hand messages to ``process`` themselves.
    """

    def __init__(
        self,
        source: BookSource,
        supervisor: TaskSupervisor,
        *,
        trading_pairs: Iterable[str] = (),
        time_source: TimeSource = SYSTEM_TIME,
        stale_after: float | None = 30.0,
        pending_limit: int = 2000,
        resync: ResyncPolicy | None = None,
    ) -> None:
        if stale_after is not None and not stale_after > 0:
            raise InvalidInput(f"stale_after is {stale_after!r}; give seconds above 0, or None to switch it off.")
        if pending_limit < 1:
            raise InvalidInput(f"pending_limit is {pending_limit!r}; 1 diff or more must be kept (default 2000).")
        self.on_update: Callable[[str], None] | None = None
        self.callback_errors = 0
        self.ignored_messages = 0
        self._observers: list[MessageObserver] = []
        self._source = source
        self._supervisor = supervisor
        self._registry = BookRegistry(
            lambda book: TrackedBook(
                book, now=time_source.monotonic, stale_after=stale_after, pending_limit=pending_limit
            )
        )
        self._waiters = ReadyWaiters(self._registry, time_source)
        self._setup = BookTasksSetup(
            source=source,
            registry=self._registry,
            time_source=time_source,
            policy=resync or ResyncPolicy(),
            stale_after=stale_after,
            process=self.process,
            announce=self._announce,
            observe=self._observe,
        )
        self._tasks: BookTasks | None = None
        self._registry.add(trading_pairs)

    # -- life ---------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Tell whether the tracker is started."""
        return self._tasks is not None

    async def start(self, trading_pairs: Sequence[str] = ()) -> None:
        """Stream the given pairs and those known already; returns when the streams are asked for, not yet ready.

        When it runs already, the pairs that are new are added. Errors of ``subscribe`` (such as ``UnknownPair`` and
        ``NetworkUnavailable``) are raised; what this call started is undone then.
        """
        if self._tasks is not None:
            await self._add(trading_pairs)
            return
        self._tasks = BookTasks(self._setup, self._supervisor)
        new = self._registry.add(trading_pairs)
        self._source.attach_market_sink(self._tasks.receive)
        try:
            await self._subscribe(tuple(self._registry.tracks))
        except BaseException:
            await self.stop()
            self._forget(new, "subscribing failed")
            raise

    async def stop(self) -> None:
        """End every stream and task; the books keep their levels but are out of sync. Idempotent."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        for track in self._registry.tracks.values():
            track.suspend(_STOPPED)
            self._lose(track.book.trading_pair, _STOPPED)
        self._waiters.fail_all("because the tracker was stopped")
        await tasks.close()
        await self._unsubscribe(tuple(self._registry.tracks))

    async def add_trading_pair(self, trading_pair: str) -> None:
        """Stream one more pair; returns when its stream is asked for. A pair that is tracked already is left alone.

        Raises what the source's ``subscribe`` raises; the pair is not tracked then.
        """
        await self._add((trading_pair,))

    async def remove_trading_pair(self, trading_pair: str) -> None:
        """Stop streaming a pair; its book keeps its levels but is out of sync. Raises ``UnknownPair``."""
        self._registry.find(trading_pair)
        self._forget((trading_pair,), "the pair was removed from the order book tracker")
        if self._tasks is not None:
            await self._unsubscribe((trading_pair,))

    def process(self, message: MarketMessage) -> None:
        """Take one message to its book, at once; those of pairs that are not tracked are counted and ignored."""
        track = self._registry.tracks.get(message.trading_pair)
        if track is None:
            self.ignored_messages += 1
            return
        changed = track.process(message)
        if self._observers:
            self._observe(message)
        if self._tasks is not None:
            self._tasks.care_for(track)
        if changed:
            self._announce(track)

    def add_observer(self, observer: MessageObserver) -> Callable[[], None]:
        """Call ``observer(message)`` for every message, in order, as soon as its book has taken it.

        Fetched snapshots that a book was set to are told too, and a ``StreamLost`` when the tracker itself stops or
        drops a pair. Returns the function that ends it. Errors of observers are logged and counted.
        """
        self._observers.append(observer)

        def remove() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return remove

    # -- what users read ----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<OrderBookTracker: {', '.join(self.order_books) or 'no books'}>"

    @property
    def order_books(self) -> dict[str, OrderBook]:
        """Return the books of the tracked pairs, by pair."""
        return {pair: track.book for pair, track in self._registry.tracks.items()}

    @property
    def ready(self) -> bool:
        """Tell whether every pair's book is synced and fresh; False while no pair is tracked."""
        return self._registry.ready()

    def is_ready(self, trading_pair: str) -> bool:
        """Tell whether the pair's book is synced and fresh. Raises ``UnknownPair``."""
        return self._registry.find(trading_pair).ready

    def status(self, trading_pair: str) -> BookStatus:
        """Return how the pair's book stands. Raises ``UnknownPair``."""
        return self._registry.find(trading_pair).status()

    @property
    def backlog(self) -> int:
        """Return how many messages wait for the router."""
        return self._tasks.backlog if self._tasks is not None else 0

    async def wait_ready(self, timeout: float = 30.0, trading_pairs: Sequence[str] | None = None) -> None:
        """Wait until the given pairs (``None``: all) are ready.

        Raises ``NotReady``, saying which are not and why, after ``timeout`` seconds or when the tracker is stopped,
        and ``UnknownPair`` at once for a pair that is not tracked.
        """
        for pair in trading_pairs or ():
            self._registry.find(pair)
        await self._waiters.wait(timeout, trading_pairs)

    # -- inside -------------------------------------------------------------------------------------------------

    async def _add(self, trading_pairs: Sequence[str]) -> None:
        new = self._registry.add(trading_pairs)
        if self._tasks is None:
            return
        try:
            await self._subscribe(new)
        except BaseException:
            self._forget(new, "subscribing failed")
            await self._unsubscribe(new)
            raise

    async def _subscribe(self, trading_pairs: Sequence[str]) -> None:
        if trading_pairs:
            await self._source.subscribe(trading_pairs)
        for pair in trading_pairs:
            if self._tasks is not None and pair in self._registry.tracks:
                self._tasks.care_for(self._registry.tracks[pair])

    async def _unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        if not trading_pairs:
            return
        try:
            await self._source.unsubscribe(trading_pairs)
        except KitError as error:  # what still comes is ignored, so this is no reason to fail
            logger.warning("unsubscribing %s failed: %s", ", ".join(trading_pairs), error)

    def _forget(self, trading_pairs: Iterable[str], reason: str) -> None:
        for pair in trading_pairs:
            self._registry.remove(pair, reason)
            self._lose(pair, reason)
            if self._tasks is not None:
                self._tasks.drop(pair)

    def _lose(self, trading_pair: str, reason: str) -> None:
        if self._observers:
            self._observe(StreamLost(trading_pair, self._setup.time_source.time(), reason))

    def _observe(self, message: MarketMessage) -> None:
        for observer in tuple(self._observers):
            try:
                observer(message)
            except Exception:  # an observer is foreign code; the books must go on
                self.callback_errors += 1
                logger.exception("an observer of %s failed", message.trading_pair)

    def _announce(self, track: TrackedBook) -> None:
        self._waiters.wake()
        if self.on_update is None:
            return
        try:
            self.on_update(track.book.trading_pair)
        except Exception:  # the callback is foreign code; the books must go on
            self.callback_errors += 1
            logger.exception("on_update failed for %s", track.book.trading_pair)
