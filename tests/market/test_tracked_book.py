from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.market.order_book import OrderBook
from kit.market.tracked_book import TrackedBook
from kit.types.market import Level, MarketMessage, OrderBookDiff, OrderBookSnapshot, StreamLost
from tests.support.book_model import PAIR, NaiveBook, diff, snapshot

History = dict[int, tuple[list[Level], list[Level]]]


class FakeExchange:
    """Moves a book at random, and remembers every state it was in."""

    def __init__(self, rng: random.Random, *, futures: bool) -> None:
        self.rng = rng
        self.futures = futures
        self.book = NaiveBook()
        self.book.load([(49.0, 1.0)], [(51.0, 1.0)])
        self.update_id = 100
        self.history: History = {}
        self._remember()

    def move(self) -> OrderBookDiff:
        before = self.update_id
        while True:
            bids, asks = self._changes(30, 55), self._changes(45, 70)
            if self.book.update(bids, asks):
                break
        # Futures ids have holes between messages, spot ids have none.
        first = before + (self.rng.randint(1, 5) if self.futures else 1)
        self.update_id = first + self.rng.randint(0, 3)
        self._remember()
        previous = before if self.futures else None
        return diff(self.update_id, bids, asks, first=first, previous=previous)

    def snapshot_at(self, update_id: int) -> OrderBookSnapshot:
        return snapshot(update_id, *self.history[update_id])

    def _changes(self, low: int, high: int) -> list[Level]:
        prices = self.rng.sample(range(low, high), self.rng.randint(0, 4))
        return [(float(price), float(self.rng.choice([0, 1, 2, 3]))) for price in prices]

    def _remember(self) -> None:
        self.history[self.update_id] = (self.book.sorted_bids(), self.book.sorted_asks())


def faulty(messages: list[MarketMessage], rng: random.Random, exchange: FakeExchange) -> list[MarketMessage]:
    """Drop, repeat and swap messages; put in old and new snapshots, losses and malformed updates."""
    out: list[MarketMessage] = []
    for message in messages:
        fate = rng.random()
        if fate < 0.05:
            continue
        if fate < 0.10:
            out.append(message)
        elif fate < 0.15 and out:
            out.insert(-1, message)
            continue
        elif fate < 0.20 and out:
            out.append(rng.choice(out))
        elif fate < 0.25:
            out.append(exchange.snapshot_at(rng.choice(list(exchange.history))))
        elif fate < 0.27:
            out.append(StreamLost(PAIR, 0.0, "cut"))
        elif fate < 0.29 and isinstance(message, OrderBookDiff):
            out.append(replace(message, bids=((50.0, float("nan")),)))
            continue
        out.append(message)
    return out


@pytest.mark.parametrize("futures", [False, True])
@given(seed=st.integers(0, 10**9))
@settings(max_examples=200)
def test_a_book_in_sync_is_always_the_exchange_s_book_at_that_update(futures: bool, seed: int) -> None:
    """Whatever the stream does, a book either says that it is out of sync or equals the exchange's at its id."""
    rng = random.Random(seed)
    exchange = FakeExchange(rng, futures=futures)
    stream: list[MarketMessage] = [exchange.move() for _ in range(60)]
    track = TrackedBook(OrderBook(PAIR), now=lambda: 0.0, pending_limit=8)
    for message in faulty(stream, rng, exchange):
        track.process(message)
        book = track.book
        if book.synced:
            assert book.depth(1000) == exchange.history[book.update_id]
        elif rng.random() < 0.2:  # what the resync task does
            known = [update_id for update_id in exchange.history if update_id <= exchange.update_id]
            track.install(exchange.snapshot_at(rng.choice(known)))
    track.install(exchange.snapshot_at(exchange.update_id))
    assert track.book.synced
    assert track.book.update_id == exchange.update_id
    assert track.book.depth(1000) == exchange.history[exchange.update_id]


def test_the_faults_do_happen() -> None:
    """Guard the test above against being about nothing."""
    total = dict.fromkeys(("gaps", "rejected", "lost", "resyncs", "ignored", "diffs"), 0)
    for seed in range(40):
        rng = random.Random(seed)
        exchange = FakeExchange(rng, futures=False)
        stream: list[MarketMessage] = [exchange.move() for _ in range(60)]
        track = TrackedBook(OrderBook(PAIR), now=lambda: 0.0)
        track.process(exchange.snapshot_at(100))
        for message in faulty(stream, rng, exchange):
            track.process(message)
            if not track.book.synced:
                track.install(exchange.snapshot_at(exchange.update_id))
        for name in total:
            total[name] += getattr(track.status(), name)
    assert all(count > 3 for count in total.values()), total


def test_status_before_anything_came() -> None:
    status = TrackedBook(OrderBook(PAIR), now=lambda: 5.0, stale_after=30.0).status()
    assert (status.synced, status.stale, status.ready, status.age, status.last_error) == (False, False, False, None, "")
