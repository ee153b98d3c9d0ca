"""Books built from real recorded streams, against an independent rebuild and against the exchange's own best prices."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from kit.core.tasks import TaskSupervisor
from kit.market.order_book import OrderBook
from kit.market.order_book_tracker import OrderBookTracker
from kit.types.market import Level, OrderBookDiff, PublicTrade
from tests.support.book_model import PAIR, snapshot
from tests.support.fake_book_source import FakeBookSource
from tests.support.market_recordings import raw_lines, recording, to_message

SPOT = ("binance_spot_btcusdt_20240808.raw.gz", "binance_spot_btcusdt_20240809.raw.gz")
FUTURES = ("binance_usdm_btcusdt_20240808.raw.gz",)

Best = tuple[int, Level, Level]


@dataclass
class PlainRebuild:
    """Binance's recipe to the letter; knows nothing of the kit."""

    futures: bool
    last: int = 0
    started: bool = False
    bids: dict[float, float] = field(default_factory=dict)
    asks: dict[float, float] = field(default_factory=dict)
    before: list[dict[str, Any]] = field(default_factory=list)

    def take(self, data: dict[str, Any]) -> None:
        if "lastUpdateId" in data:
            self.last = data["lastUpdateId"]
            self._set(self.bids, data["bids"])
            self._set(self.asks, data["asks"])
            for update in self.before:
                self._update(update)
        elif data.get("e") == "depthUpdate":
            self._update(data) if self.last else self.before.append(data)

    def _update(self, data: dict[str, Any]) -> None:
        first, last = data["U"], data["u"]
        if last <= self.last and not self.started:
            return
        if not self.started:
            assert first <= self.last + 1 <= last + 1, "the first update must straddle the snapshot"
        elif self.futures:
            assert data["pu"] == self.last
        else:
            assert first == self.last + 1
        self.started, self.last = True, last
        self._set(self.bids, data["b"])
        self._set(self.asks, data["a"])

    @staticmethod
    def _set(side: dict[float, float], rows: list[list[str]]) -> None:
        for price, amount in rows:
            if float(amount):
                side[float(price)] = float(amount)
            else:
                side.pop(float(price), None)


def assert_same(book: OrderBook, plain: PlainRebuild) -> None:
    for side, expected, is_bid in zip(book.depth(100_000), (plain.bids, plain.asks), (True, False), strict=True):
        assert dict(side) == expected
        assert len(side) == len(expected), "a price twice"
        prices = [price for price, _ in side]
        assert prices == sorted(prices, reverse=is_bid)
    assert book.update_id == plain.last


def lines_of(paths: list[Path]) -> Iterator[tuple[float, dict[str, Any]]]:
    for path in paths:
        yield from raw_lines(path)


@pytest.mark.parametrize(
    ("names", "futures", "seconds", "updates"), [(SPOT, False, 640, 6_490), (FUTURES, True, 340, 6_545)]
)
def test_rebuild_equals_a_plain_one_at_every_second(
    names: tuple[str, ...], futures: bool, seconds: int, updates: int
) -> None:
    paths = [recording(name) for name in names]
    tracker = OrderBookTracker(FakeBookSource(), TaskSupervisor("replay"), trading_pairs=[PAIR], stale_after=None)
    book, plain = tracker.order_books[PAIR], PlainRebuild(futures)
    compared = trades = second = 0
    best: list[Best] = []
    tickers: list[Best] = []
    for time, data in lines_of(paths):
        if book.synced and int(time) != second:
            second = int(time)
            compared += 1
            assert_same(book, plain)
        message = to_message(PAIR, data)
        if message is None:
            tickers += [(data["u"], (float(data["b"]), float(data["B"])), (float(data["a"]), float(data["A"])))]
            continue
        trades += isinstance(message, PublicTrade)
        tracker.process(message)
        plain.take(data)
        if book.synced and isinstance(message, OrderBookDiff):
            assert book.best_bid is not None
            assert book.best_ask is not None
            best.append((book.update_id, book.best_bid, book.best_ask))
    status = tracker.status(PAIR)
    assert compared >= seconds
    assert status.diffs >= updates
    assert status.trades == trades > 9_000
    assert (status.gaps, status.crossed, status.rejected, status.resyncs) == (0, 0, 0, 0)
    assert_best_prices(best, tickers)


def assert_best_prices(best: list[Best], tickers: list[Best]) -> None:
    """Compare with the exchange's own best prices: the last ticker at or before an update tells them as of then.

    Under load the exchange merges tickers, so a few states have none of their own (twice in the spot files).
    """
    tickers.sort(key=itemgetter(0))
    ids = [ticker[0] for ticker in tickers]
    pairs = [(ours, tickers[bisect_right(ids, ours[0]) - 1]) for ours in best if ids[0] <= ours[0]]
    wrong = [pair for pair in pairs if pair[0][1:] != pair[1][1:]]
    assert len(pairs) > 3_000
    assert len(wrong) <= 2, f"{len(wrong)} of {len(pairs)}: {wrong[:5]}"


def test_a_missing_update_in_a_recording_is_noticed_and_healed() -> None:
    """Cut one update out of the real stream: the book must say so at once, and be right again after a snapshot."""
    path = recording(SPOT[0])
    tracker = OrderBookTracker(FakeBookSource(), TaskSupervisor("replay"), trading_pairs=[PAIR], stale_after=None)
    book, plain, number = tracker.order_books[PAIR], PlainRebuild(futures=False), 0
    for _, data in raw_lines(path):
        plain.take(data)
        message = to_message(PAIR, data)
        number += isinstance(message, OrderBookDiff)
        if message is None or number == 500:
            continue
        tracker.process(message)
        if number == 501:
            assert not book.synced
            assert tracker.status(PAIR).gaps == 1
        if number == 520 and not book.synced:
            tracker.process(snapshot(plain.last, plain.bids.items(), plain.asks.items()))
            assert book.synced
        if number == 700:
            break
    assert tracker.status(PAIR).resyncs == 1
    assert tracker.status(PAIR).waiting == 0
    assert_same(book, plain)
