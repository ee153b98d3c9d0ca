"""Moves a backtest through its data: the first child of the clock, so that everybody after it sees the tick's world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kit.backtest.event_checks import CHUNK
from kit.backtest.moments import moment
from kit.backtest.run_record import Samples
from kit.connectors.connector import Connector
from kit.connectors.replay_exchange import NANOSECONDS, ReplayBook, ReplayTime
from kit.core.clock import Clock
from kit.core.time_iterator import TimeIterator
from kit.errors import InvariantBroken
from kit.simulation import kernel_layout as layout
from kit.simulation.engine import MatchingEngine, Trade
from kit.simulation.feed import FeedColumns
from kit.simulation.timeline import Timeline
from kit.types.events import MarketEvent
from kit.types.market import PublicTrade

_FAR: Final = 1 << 62


@dataclass(slots=True)
class Outages:
    """When a pair's book can be relied on: moments (ns, local) at which that changes, and what to say of each.

    An empty text means that a snapshot came; any other why the book is out of sync from then on.
    """

    moments: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, feed: FeedColumns) -> Outages:
        """Find the gaps, and the snapshots that ended them; without any snapshot the first level begins the book."""
        begins = _rows_of(feed, (layout.SNAPSHOT, layout.CLEAR, layout.CLEAR_ALL))
        if not len(begins):
            begins = _rows_of(feed, (layout.DEPTH, layout.ADD, layout.BBO))[:1]
        # By row, as a gap and the snapshot that ends it may have one time.
        found = {int(begins[0]): ""} if len(begins) else {}
        for gap in _rows_of(feed, (layout.GAP,)):
            after = begins[np.searchsorted(begins, gap) :]
            found[int(gap)] = f"the data have a gap at {moment(int(feed.local_ts[gap]))}"
            if len(after):
                found[int(after[0])] = ""
        return cls([(int(feed.local_ts[row]), found[row]) for row in sorted(found)])


def _rows_of(feed: FeedColumns, codes: Sequence[int]) -> NDArray[np.int64]:
    found = []
    for first in range(0, len(feed), CHUNK):
        rows = np.isin(feed.code[first : first + CHUNK] & 0xFE, codes)
        found.append(np.flatnonzero(rows) + first)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


class ReplayedPair:
    """One pair of the replay: its book, its readiness, and its public trades where somebody listens to them."""

    def __init__(self, trading_pair: str, engine: MatchingEngine) -> None:
        self._pair = trading_pair
        self._engine = engine
        self._feed = engine.columns
        self.book = ReplayBook(trading_pair, engine.bids, engine.asks, self._last_trade)
        self._changes = Outages.of(self._feed).moments
        self._next_change = self._changes[0][0] if self._changes else _FAR
        self._next_trade: int | None = None
        self._rows = len(self._feed)
        self._received: Callable[[int], int] = self._feed.local_ts.item

    def come_to(self, ns: int) -> float:
        """Bring the book's readiness up to a local time; return its mid price, NaN while a side is empty.

        Every tick is checked: a backtest that looks ahead is worth less than none. Raises ``InvariantBroken`` where the
        book shows an event that was received after ``ns``, or lacks one that was received by then.
        """
        seen = self._engine.view_row
        if (seen and self._received(seen - 1) > ns) or (seen < self._rows and self._received(seen) <= ns):
            raise self._other_time(ns, seen)
        if ns >= self._next_change:
            self._change(ns)
        return self.book.moved()

    def _other_time(self, ns: int, seen: int) -> InvariantBroken:
        last = moment(self._received(seen - 1)) if seen else "nothing"
        following = moment(self._received(seen)) if seen < self._rows else "nothing"
        return InvariantBroken(
            f"look-ahead check of {self._pair}: at {moment(ns)} the book shows what was received until {last} (row "
            f"{seen - 1}); the next event was received at {following}"
        )

    def _change(self, ns: int) -> None:
        while self._changes and self._changes[0][0] <= ns:
            _, reason = self._changes.pop(0)
            if reason:
                self.book.invalidate(reason)
            else:
                self.book.found()
        self._next_change = self._changes[0][0] if self._changes else _FAR

    # -- trades

    def next_trade(self, after: int) -> int:
        """Return the local time (ns) of the next trade that is not told yet; the first call begins after ``after``."""
        times, rows = self._feed.local_ts, self._engine.trade_rows
        if self._next_trade is None:
            self._next_trade = int(np.searchsorted(times[rows], after, side="right"))
        return int(times[rows[self._next_trade]]) if self._next_trade < len(rows) else _FAR

    def tell_trade(self) -> None:
        """Tell the next trade, which ``next_trade`` found, to those who listen."""
        if self._next_trade is not None:
            self._next_trade += 1
            self.book.apply_trade(self._public(self._engine.trade(int(self._engine.trade_rows[self._next_trade - 1]))))

    def _last_trade(self) -> PublicTrade | None:
        trade = self._engine.last_trade
        return None if trade is None else self._public(trade)

    def _public(self, trade: Trade) -> PublicTrade:
        price = float(trade.tick * self._feed.tick_size)
        return PublicTrade(self._pair, "", trade.exch_ns / NANOSECONDS, trade.taker, price, trade.qty)


class Replay(TimeIterator):
    """Drives time, venues and books to each tick, takes the samples, and raises what a hook or listener threw.

    Trades are told one by one, each at its local time, as soon as anybody listens to them, and cost nothing before.
    """

    def __init__(
        self,
        timeline: Timeline,
        time: ReplayTime,
        pairs: Sequence[ReplayedPair],
        connectors: Sequence[Connector],
        samples: Samples,
        balances: list[float],
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__("replay")
        self._timeline = timeline
        self._time = time
        self._pairs = tuple(pairs)
        self._listening = tuple((connector, connector.pubsub.listeners) for connector in connectors)
        self._tapped: set[int] = set()
        self._samples = samples
        self._mids = [nan] * len(self._pairs)
        self._balances = balances
        self._check_failures = on_failure
        self.ticks = 0

    def start(self, clock: Clock, timestamp: float) -> None:
        """Come to the begin of the run."""
        super().start(clock, timestamp)
        self._come_to(timestamp)

    def tick(self, timestamp: float) -> None:
        """Let everything happen that was known by then."""
        self.current_timestamp = timestamp
        self._come_to(timestamp)
        self.ticks += 1

    def _come_to(self, timestamp: float) -> None:
        whole = int(timestamp)  # nanoseconds since the epoch need more digits than a float has
        ns = whole * NANOSECONDS + round((timestamp - whole) * NANOSECONDS)
        for connector, listeners in self._listening:
            if listeners(MarketEvent.Trade):
                self._tap(connector)
        for pair in self._pairs:
            if pair.book.heard:
                self._tell_trades(ns)
                break
        self._timeline.advance(ns)
        self._time.set_tick(ns, timestamp)
        mids = self._mids
        for index, pair in enumerate(self._pairs):
            mids[index] = pair.come_to(ns)
        self._samples.add(timestamp, mids, self._balances)
        self._check_failures()

    def _tap(self, connector: Connector) -> None:
        if id(connector) not in self._tapped:
            self._tapped.add(id(connector))
            connector.tap_trades()

    def _tell_trades(self, ns: int) -> None:
        begun = self._time.ns
        while heard := [pair for pair in self._pairs if pair.book.heard]:
            pair = min(heard, key=lambda each: each.next_trade(begun))
            due = pair.next_trade(begun)
            if due > ns:
                return
            self._timeline.advance(due)
            self._time.set(due)
            for each in self._pairs:
                each.come_to(due)
            pair.tell_trade()
