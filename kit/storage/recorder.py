"""Recording live: messages taken from order book trackers on the loop, written to files by a thread."""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from kit.core.time_source import TimeSource
from kit.errors import InvalidInput, NotReady, UnknownPair
from kit.storage.events import NANOSECONDS
from kit.storage.live_market import LiveMarket, Notes
from kit.storage.tape import Book, Room, Tape
from kit.storage.writer_thread import WriterThread
from kit.types.drawn import Drawn
from kit.types.market import MarketMessage

logger = logging.getLogger(__name__)

FLUSH_INTERVAL: Final = 3.0
"""Seconds between two writes: with what a write takes, at most 5 s are lost in a crash."""

MAX_WAITING: Final = 500_000
"""Rows that may wait for the disk, some 60 MB of memory; far more than comes in the time between two writes."""


class Observed(Protocol):
    """What is recorded: an ``OrderBookTracker``."""

    @property
    def order_books(self) -> Mapping[str, Book]:
        """Return the books by pair."""
        ...

    def add_observer(self, observer: Callable[[MarketMessage], None]) -> Callable[[], None]:
        """Call ``observer`` for each message once its book has taken it; returns the function that ends it."""
        ...


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """How a recorder stands.

    ``events`` are rows on disk since its start, ``waiting`` those in memory, ``lost`` those that are missing: there was
    no room, or the disk refused them. ``bytes`` is the size on disk of the days recorded (with what was there
    before), ``behind`` the age in seconds of the oldest row in memory.
    """

    running: bool
    events: int
    waiting: int
    lost: int
    bytes: int
    behind: float
    errors: int
    last_error: str
    markets: tuple[tuple[str, str], ...]


class _Source:
    """The pairs of one tracker that are recorded."""

    def __init__(
        self, recorder: Recorder, exchange: str, tracker: Observed, pairs: frozenset[str] | None, notes: Notes
    ):
        self.exchange = exchange
        self._recorder = recorder
        self._tracker = tracker
        self._pairs = pairs
        self._notes = notes
        self._tapes: dict[str, Tape] = {}
        self._refused: set[str] = set()
        for pair in tracker.order_books if pairs is None else pairs:
            self._add(pair)
        self.remove = tracker.add_observer(self._take)

    def _take(self, message: MarketMessage) -> None:
        tape = self._tapes.get(message.trading_pair)
        if tape is not None:
            tape.take(message)
        elif self._pairs is None and message.trading_pair not in self._refused:
            self._add_later(message.trading_pair)

    def _add(self, pair: str) -> None:
        self._tapes[pair] = self._recorder.new_tape(self.exchange, pair, self._tracker.order_books[pair], self._notes)

    def _add_later(self, pair: str) -> None:
        """Record a pair that is streamed only now; the tape begins with its book, which has this message already."""
        try:
            if pair in self._tracker.order_books:
                self._add(pair)
        except (InvalidInput, OSError) as error:
            self._refused.add(pair)
            logger.error("%s of %s is not recorded: %s", pair, self.exchange, error)

    def end(self) -> None:
        self.remove()
        for tape in self._tapes.values():
            tape.mark_gap()


class Recorder(Drawn):
    """Record market messages into a folder until it is stopped; a context manager, plain or async.

    ``attach`` trackers to it. The loop only appends to memory; a thread turns messages into rows every
    ``flush_interval`` seconds and writes them as files that appear whole, so that the folder can be read at any moment
    (``kit.open_recording``) and a crash costs no more than the last seconds. At most ``max_waiting`` rows wait for the
    disk; what comes beyond is counted in ``status().lost``, logged, and marked by a GAP row. Starts and stops of the
    recorder and losses of streams are GAP rows too.

    Methods belong on the loop's thread, except for ``status`` and ``flush``.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        time_source: TimeSource,
        flush_interval: float = FLUSH_INTERVAL,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        if not 0 < flush_interval <= 60:
            raise InvalidInput(f"flush_interval is {flush_interval!r}; give seconds above 0, at most 60 (default 3)")
        if max_waiting < 1000:
            raise InvalidInput(f"max_waiting is {max_waiting!r}; give 1000 rows or more (default {MAX_WAITING})")
        self.folder = Path(folder).expanduser()
        self._time = time_source
        self._room = Room(max_waiting)
        self._sources: dict[str, _Source] = {}
        self._thread = WriterThread(self.folder, flush_interval)
        self._running = True
        atexit.register(self._finish)

    # -- on the loop ---------------------------------------------------------------------------------------------

    def attach(
        self,
        exchange: str,
        tracker: Observed,
        *,
        pairs: Iterable[str] | None = None,
        notes: Notes = lambda _: {},
    ) -> None:
        """Record a tracker's pairs (``None``: all, also those added later) under the name of an exchange.

        ``notes(pair)`` is asked at each write for what goes into the files' ``info``. An exchange that is recorded
        already is replaced. Raises ``UnknownPair``; ``InvalidInput`` when another recorder writes there or the folder
        holds later times; ``NotReady`` when the recorder was stopped; ``OSError``.
        """
        if not self._running:
            raise NotReady(f"the recorder of {self.folder} was stopped; start another one")
        wanted = None if pairs is None else frozenset(pairs)
        for pair in wanted or ():
            if pair not in tracker.order_books:
                raise UnknownPair(
                    f"{exchange} does not stream {pair}; it streams {', '.join(tracker.order_books) or 'nothing'}"
                )
        self.detach(exchange)
        self._sources[exchange] = _Source(self, exchange, tracker, wanted, notes)

    def detach(self, exchange: str) -> None:
        """Record an exchange no longer; harmless when it is not recorded."""
        source = self._sources.pop(exchange, None)
        if source is not None:
            source.end()

    def new_tape(self, exchange: str, trading_pair: str, book: Book, notes: Notes) -> Tape:
        """Make room on disk and in memory for a market."""
        key = exchange, trading_pair
        market = self._thread.markets.get(key)
        if market is None:
            market = LiveMarket(self.folder, exchange, trading_pair, self._room, now=self._time.time())
            self._thread.add(key, market)
        market.notes = notes
        return market.new_tape(book, self._time.time)

    # -- what is known -------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Tell whether it records."""
        return self._running

    def status(self) -> RecorderStatus:
        """Return how it stands; callable from any thread."""
        markets = self._thread.markets
        oldest = [since for market in markets.values() if (since := market.oldest) is not None]
        behind = self._time.time() - min(oldest) / NANOSECONDS if oldest else 0.0
        return RecorderStatus(
            running=self.running,
            events=sum(market.written for market in markets.values()),
            waiting=self._room.waiting,
            lost=sum(market.lost for market in markets.values()),
            bytes=sum(market.bytes for market in markets.values()),
            behind=max(behind, 0.0),
            errors=self._thread.errors,
            last_error=self._thread.last_error,
            markets=tuple(markets),
        )

    def __repr__(self) -> str:
        status = self.status()
        state = "recording" if status.running else "stopped"
        lost = f", {status.lost} lost" if status.lost else ""
        return f"<Recorder {self.folder}: {state}, {status.events} events, {status.bytes} bytes{lost}>"

    # -- the end -------------------------------------------------------------------------------------------------

    def flush(self, timeout: float = 10.0) -> None:
        """Write what waits and return when it is on disk; blocks. Raises ``NotReady`` after ``timeout`` seconds."""
        if not self._thread.flush(timeout):
            raise self._slow(timeout)

    def stop(self, timeout: float = 30.0) -> RecorderStatus:
        """End recording and return when its files are written and merged; idempotent.

        Blocks for a moment, up to a second or so a market: beside live trading await ``close`` instead. What the disk
        refuses is counted as lost. Raises ``NotReady`` when the disk did not answer within ``timeout`` seconds.
        """
        self._end()
        if not self._thread.join(timeout):
            raise self._slow(timeout)
        return self.status()

    async def close(self) -> RecorderStatus:
        """Stop without blocking the loop; returns when files are written and merged. Idempotent."""
        self._end()
        await asyncio.to_thread(self._thread.join)
        return self.status()

    def _end(self) -> None:
        if self._running:
            for exchange in list(self._sources):
                self.detach(exchange)
            self._running = False
            self._thread.finish()
            atexit.unregister(self._finish)

    def _finish(self) -> None:
        """Write the rest when Python ends and nobody has called ``stop``."""
        self._end()
        self._thread.join()

    def _slow(self, timeout: float) -> NotReady:
        return NotReady(
            f"{self.folder} did not take the recording within {timeout:g} s; last error: "
            f"{self._thread.last_error or 'none, the disk is slow'}"
        )

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
