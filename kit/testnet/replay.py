"""Play recorded market streams into the test exchange, so that users' orders meet what really happened.

A market account holds, level by level, what the recording's book holds. Its orders stand in the same queues as
everybody's, so a user's order waits behind what rested at its price when it came, and recorded trades reach it when
those before it are gone. The rules:

* After each recorded depth message every level that it names, and every level where something traded since the message
  before, is set to its recorded amount. More is appended at the end of the queue. Less is taken from the end of the
  market's own orders: a recording does not tell which order of a level was cancelled, and this assumes that none of
  those ahead of a user was, so users advance by trades only. That is the cautious reading.
* A recorded level at or beyond the price of a user's order trades with it: the market came through. What a user took
  from the book is back after the next depth message: the recording does not know of it.
* A recorded trade is an order of the market account, limited to the recorded price: users with a better price come
  first, then the level's queue. The market's own orders at prices that the trade proves to be gone are removed before,
  and what the level lacks (it came and went between two depth messages) is added at its end.
* Book tickers are not played: the same changes come in the depth messages, and playing both would count them twice.

Without users' orders the book after each depth message is the recorded book, and the tape shows the recorded trades.
Prices must fit the symbol's ticks; amounts finer than its steps (far levels of the spot recordings hold a few) are
rounded, to one step at least.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain
from os import PathLike

from kit.errors import InvalidInput
from kit.testnet.mirror import Mirror
from kit.testnet.raw_files import NANOSECONDS, BookTicker, DepthUpdate, RawFiles, RawMessage, Snapshot, Trade
from kit.testnet.recorded_book import RecordedBook
from kit.testnet.venue import Market, Venue

log = logging.getLogger(__name__)

LOOK_AHEAD_SECONDS = 60.0
"""How far a recording is searched for its first snapshot."""
LONGEST_PAUSE_SECONDS = 10.0
"""Longer silence in a recording (a hole between two files) is cut to one second."""
LATE_SECONDS = 1.0
BATCH = 64


class Replay:
    """Plays the recording of one symbol: ``prepare`` fills the book, ``run`` paces it, ``step`` plays synchronously.

    ``files`` follow each other in time and are read as they are played. ``speed`` is recorded seconds a second.
    Recorded time starts at 0 with the first snapshot, or with the first depth message where the first minute holds
    none (the book then starts empty, fills with what the messages name, and a warning says so). ``on_publish`` is
    called with the market after each depth message, ``on_finished`` at the end, when ``finished`` is set and the book
    is left standing. Raises InvalidInput for a bad speed or files that do not fit the symbol, BadRecording for damage.
    """

    def __init__(
        self,
        venue: Venue,
        symbol: str,
        files: Sequence[str | PathLike[str]],
        speed: float = 1.0,
        *,
        on_publish: Callable[[Market], None] | None = None,
        on_finished: Callable[[], None] | None = None,
    ) -> None:
        if not (speed > 0 and math.isfinite(speed)):
            raise InvalidInput(f"speed is {speed}; it must be a finite number above zero, such as 1 or 10")
        if symbol not in venue.markets:
            raise InvalidInput(f"the exchange has no symbol {symbol!r}; it has {', '.join(venue.markets)}")
        self.speed = speed
        self.on_publish = on_publish
        self.on_finished = on_finished
        self.finished = asyncio.Event()
        self.recorded = RecordedBook()
        self.depth_updates = 0
        self.trades = 0
        self._files = RawFiles(files, symbol=symbol)
        self._market = venue.markets[symbol]
        self._mirror = Mirror(venue, self._market)
        self._messages: Iterator[RawMessage] = iter(())
        self._next: RawMessage | None = None
        self._next_ns = 0  # when it is due, in recorded time without the pauses that are cut
        self._played_ns = 0
        self._last_ns = 0
        self._prepared = False

    @property
    def position(self) -> float:
        """Recorded seconds played so far."""
        return self._played_ns / NANOSECONDS

    def prepare(self) -> None:
        """Open the recording and put its first book on the exchange; only the first call does anything."""
        if self._prepared:
            return
        self._prepared = True
        self._messages = self._opening()
        self._mirror.attach()
        self._mirror.set_all(self.recorded.bids, self.recorded.asks)
        self._advance()

    def step(self, until: float) -> None:
        """Play everything up to ``until`` seconds of recorded time; equal calls give equal books."""
        self.prepare()
        until_ns = round(until * NANOSECONDS)
        while self._next is not None and self._next_ns <= until_ns:
            self._play_next()

    async def run(self, *, time: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Play to the end at ``speed``; after a stall of more than a second it goes on from where it was."""
        self.prepare()
        origin = time() - self.position / self.speed
        while self._next is not None:
            due = (time() - origin) * self.speed
            behind = (due - self._next_ns / NANOSECONDS) / self.speed
            if behind > LATE_SECONDS:
                origin += behind
                due = self._next_ns / NANOSECONDS
            self._play_batch(round(due * NANOSECONDS))
            await sleep(max((self._next_ns / NANOSECONDS - due) / self.speed, 0.0))

    def _play_batch(self, until_ns: int) -> None:
        for _ in range(BATCH):
            if self._next is None or self._next_ns > until_ns:
                return
            self._play_next()

    def _opening(self) -> Iterator[RawMessage]:
        """Read up to the first snapshot, start the recorded book, and return what is to be played."""
        messages = iter(self._files)
        early: list[RawMessage] = []
        for message in messages:
            if isinstance(message, Snapshot):
                self.recorded.apply_snapshot(message)
                self._last_ns = message.local_ns
                return messages
            early.append(message)
            if isinstance(message, DepthUpdate):
                self.recorded.apply_update(message)
            if message.local_ns - early[0].local_ns > LOOK_AHEAD_SECONDS * NANOSECONDS:
                break
        return self._opening_without_snapshot(early, messages)

    def _opening_without_snapshot(self, early: list[RawMessage], rest: Iterator[RawMessage]) -> Iterator[RawMessage]:
        names = ", ".join(path.name for path in self._files.paths)
        first = next((index for index, message in enumerate(early) if isinstance(message, DepthUpdate)), None)
        if first is None:
            raise InvalidInput(
                f"{names}: no depth message of {self._market.symbol} in the first {LOOK_AHEAD_SECONDS:.0f} s; "
                "give a recording of that symbol that holds depth updates"
            )
        log.warning(
            "%s: no depth snapshot in the first minute; the book starts empty and fills as levels change", names
        )
        self.recorded = RecordedBook()
        self.recorded.start_without_snapshot()
        self._last_ns = early[first].local_ns
        return chain(early[first:], rest)

    def _advance(self) -> None:
        """Look at the message to come; at the end of the files tell so."""
        self._next = next(self._messages, None)
        if self._next is None:
            self._finish()
            return
        pause = max(self._next.local_ns - self._last_ns, 0)
        self._last_ns = self._next.local_ns
        if pause > LONGEST_PAUSE_SECONDS * NANOSECONDS:
            log.warning("the recording is silent for %.1f s, which is cut to one second", pause / NANOSECONDS)
            pause = NANOSECONDS
        self._next_ns = self._played_ns + pause

    def _finish(self) -> None:
        self._mirror.detach()
        log.info(
            "the recording is played: %d depth messages, %d trades in %.1f s; the book stays as it is",
            self.depth_updates,
            self.trades,
            self.position,
        )
        self.finished.set()
        if self.on_finished is not None:
            self.on_finished()

    def _play_next(self) -> None:
        message = self._next
        self._played_ns = self._next_ns
        if isinstance(message, Trade):
            self._mirror.trade(message.price, message.amount, buyer_is_maker=message.buyer_is_maker)
            self.trades += 1
        elif message is not None and not isinstance(message, BookTicker):
            self._play_depth(message)
        self._advance()

    def _play_depth(self, message: Snapshot | DepthUpdate) -> None:
        if isinstance(message, Snapshot):
            if not self.recorded.apply_snapshot(message):
                return
        elif not self.recorded.apply_update(message):
            return
        book = self.recorded
        if isinstance(message, Snapshot):
            self._mirror.set_all(book.bids, book.asks)
        else:
            bids = [price for price, _ in message.bids] + book.dropped_bids
            asks = [price for price, _ in message.asks] + book.dropped_asks
            self._mirror.set_levels(book.bids, book.asks, bids, asks)
        self.depth_updates += 1
        if self.on_publish is not None:
            self.on_publish(self._market)
