from __future__ import annotations

import asyncio
import logging
import math

import pytest

from kit.core.clock import ManualTime
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, NetworkUnavailable, NotReady, RateLimited, UnknownPair
from kit.market.order_book_tracker import OrderBookTracker, ResyncPolicy
from kit.types.market import Level, PublicTrade, StreamLost, TradeType
from tests.support.book_model import PAIR, diff, snapshot
from tests.support.fake_book_source import FakeBookSource

ETH = "ETH/USDT"
BIDS: list[Level] = [(99.0, 1.0), (98.0, 2.0)]
ASKS: list[Level] = [(101.0, 1.0), (102.0, 2.0)]


def trade(price: float = 100.0, pair: str = PAIR) -> PublicTrade:
    return PublicTrade(pair, "7", 1.0, TradeType.SELL, price, 0.5)


@pytest.fixture
async def ready(tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime) -> OrderBookTracker:
    """A running tracker whose one book is in sync at update 10."""
    await tracker.start([PAIR])
    source.sink(snapshot(10, BIDS, ASKS))
    await manual_time.settle()
    assert tracker.ready
    return tracker


# -- getting in sync -----------------------------------------------------------------------------------------------


async def test_a_streamed_snapshot_makes_a_book_ready(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    updates: list[str] = []
    tracker.on_update = updates.append
    await tracker.start([PAIR, ETH])
    assert source.subscribed == [(PAIR, ETH)]
    assert not tracker.ready
    source.sink(snapshot(10, BIDS, ASKS))
    source.sink(diff(11, [(99.5, 3.0)], first=11))
    await manual_time.settle()
    assert tracker.is_ready(PAIR)
    assert not tracker.ready
    source.sink(snapshot(5, BIDS, ASKS, pair=ETH))
    await manual_time.settle()
    assert tracker.ready
    assert tracker.order_books[PAIR].best_bid == (99.5, 3.0)
    assert updates == [PAIR, PAIR, ETH]
    await manual_time.advance(6)
    assert source.fetched == []
    await tracker.stop()


async def test_diffs_before_the_snapshot_are_replayed_by_sequence(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    await tracker.start([PAIR])
    source.sink(diff(8, [(97.0, 9.0)], first=6))  # in the snapshot: must not come back
    source.sink(diff(11, [(99.5, 1.0)], first=9))  # straddles it
    source.sink(diff(14, [(99.5, 0.0), (99.6, 4.0)], first=12))
    await manual_time.settle()
    assert tracker.status(PAIR).waiting == 3
    source.sink(snapshot(10, BIDS, ASKS))
    await manual_time.settle()
    assert tracker.ready
    assert tracker.order_books[PAIR].depth(9)[0] == [(99.6, 4.0), *BIDS]
    status = tracker.status(PAIR)
    assert (status.update_id, status.waiting, status.diffs, status.snapshots, status.resyncs) == (14, 0, 2, 1, 0)
    await tracker.stop()


async def test_without_a_streamed_snapshot_one_is_fetched(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(12, BIDS, ASKS)]
    await tracker.start([PAIR])
    source.sink(diff(11, [(50.0, 1.0)], first=11))
    source.sink(diff(13, [(60.0, 1.0)], first=12))
    await manual_time.advance(4.9)
    assert source.fetched == []
    await manual_time.advance(0.2)
    assert source.fetched == [PAIR]
    assert tracker.ready
    assert tracker.order_books[PAIR].depth(9)[0] == [*BIDS, (60.0, 1.0)]
    await tracker.stop()


async def test_a_snapshot_older_than_the_diffs_is_not_enough(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(15, BIDS, ASKS), snapshot(21, BIDS, ASKS)]
    await tracker.start([PAIR])
    source.sink(diff(22, [(99.5, 1.0)], first=20))
    source.sink(snapshot(10, BIDS, ASKS))
    await manual_time.advance(5)
    assert source.fetched == [PAIR]
    assert not tracker.ready
    await manual_time.advance(0.5)
    assert source.fetched == [PAIR, PAIR]
    assert tracker.ready
    assert tracker.order_books[PAIR].update_id == 22
    assert tracker.status(PAIR).gaps == 0, "the stream itself had none"
    await tracker.stop()


async def test_pairs_are_initialised_concurrently(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    pairs = [f"C{number}/USDT" for number in range(20)]
    source.books = {pair: [snapshot(1, BIDS, ASKS, pair=pair)] for pair in pairs}
    source.gate.clear()
    await tracker.start(pairs)
    await manual_time.advance(5)
    assert source.waiting == 20
    source.gate.set()
    await manual_time.settle()
    assert tracker.ready
    await tracker.stop()


async def test_when_too_many_diffs_wait_the_snapshot_must_contain_the_dropped_ones(
    source: FakeBookSource, supervisor: TaskSupervisor, manual_time: ManualTime
) -> None:
    tracker = OrderBookTracker(source, supervisor, time_source=manual_time, pending_limit=3)
    await tracker.start([PAIR])
    for number in range(11, 17):  # without first_update_id, so that only the drop itself can tell
        source.sink(diff(number, [(float(number), 1.0)]))
    source.sink(snapshot(12, BIDS, ASKS))
    await manual_time.settle()
    assert not tracker.ready
    assert "too old" in tracker.status(PAIR).last_error
    source.sink(snapshot(13, BIDS, ASKS))
    await manual_time.settle()
    assert tracker.ready
    assert tracker.order_books[PAIR].depth(9)[0] == [*BIDS, (16.0, 1.0), (15.0, 1.0), (14.0, 1.0)]
    await tracker.stop()


# -- losing sync ---------------------------------------------------------------------------------------------------


async def test_a_gap_is_healed_by_a_fetched_snapshot(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    book = ready.order_books[PAIR]
    source.books[PAIR] = [snapshot(16, [(90.0, 1.0)], [(91.0, 1.0)])]
    source.gate.clear()
    source.sink(diff(15, [(99.5, 1.0)], first=14))
    await manual_time.settle()
    assert not ready.ready
    assert book.best_bid == (99.0, 1.0), "the last good levels stay readable"
    assert "lost" in repr(book)
    source.sink(diff(17, [(90.5, 1.0)], first=16))
    source.gate.set()
    await manual_time.settle()
    assert ready.ready
    assert ready.order_books[PAIR] is book
    assert (book.update_id, book.best_bid) == (17, (90.5, 1.0))
    status = ready.status(PAIR)
    assert (status.gaps, status.resyncs, status.rejected, status.lost) == (1, 1, 0, 0)
    await ready.stop()


async def test_futures_sequence_is_checked_by_previous_update_id(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.sink(diff(20, first=15, previous=9))
    source.sink(diff(30, first=24, previous=20))
    await manual_time.settle()
    assert ready.ready
    source.sink(diff(40, first=31, previous=31))
    await manual_time.settle()
    assert not ready.ready
    assert ready.status(PAIR).gaps == 1
    await ready.stop()


async def test_after_stream_lost_the_source_sends_the_snapshot(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.sink(diff(11, first=11))
    source.sink(StreamLost(PAIR, 1.0, "socket closed"))
    source.sink(diff(300, [(80.0, 1.0)], first=299))
    await manual_time.settle()
    assert not ready.ready
    assert "socket closed" in ready.status(PAIR).last_error
    await manual_time.advance(4)
    source.sink(snapshot(299, BIDS, ASKS))
    await manual_time.advance(10)
    assert ready.ready
    assert source.fetched == []
    assert ready.order_books[PAIR].update_id == 300
    assert (ready.status(PAIR).lost, ready.status(PAIR).resyncs) == (1, 1)
    await ready.stop()


async def test_after_stream_lost_a_snapshot_is_fetched_when_none_comes(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(50, BIDS, ASKS)]
    source.sink(StreamLost(PAIR, 1.0, "socket closed"))
    await manual_time.advance(5)
    assert source.fetched == [PAIR]
    assert ready.ready
    await ready.stop()


async def test_no_snapshot_makes_a_book_ready_while_its_stream_is_down(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(50, BIDS, ASKS)]
    source.down.add(PAIR)
    source.sink(StreamLost(PAIR, 1.0, "socket closed"))
    await manual_time.advance(60)
    assert source.fetched == []
    assert not ready.ready
    source.down.clear()
    await manual_time.advance(0.5)
    assert source.fetched == [PAIR]
    assert ready.ready
    await ready.stop()


@pytest.mark.parametrize(
    ("bids", "count"),
    [
        ([(101.0, 1.0)], "crossed"),
        ([(math.nan, 1.0)], "rejected"),
        ([(99.0, -1.0)], "rejected"),
        ([(99.0, math.inf)], "rejected"),
        ([("99", "1")], "rejected"),
    ],
)
async def test_crossing_and_bad_diffs_lead_to_a_resync(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime, bids: list[Level], count: str
) -> None:
    source.books[PAIR] = [snapshot(10, BIDS, ASKS), snapshot(12, BIDS, ASKS)]
    source.sink(diff(11, bids, first=11))
    await manual_time.settle()
    assert getattr(ready.status(PAIR), count) == 1
    assert not ready.ready, "a snapshot without that update does not heal"
    await manual_time.advance(0.5)
    assert ready.ready
    assert ready.order_books[PAIR].update_id == 12
    assert ready.status(PAIR).resyncs == 1
    await ready.stop()


async def test_a_bad_snapshot_does_not_touch_a_good_book(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.sink(snapshot(20, [(101.5, 1.0)], [(101.0, 1.0)]))
    source.sink(snapshot(21, [(math.nan, 1.0)], []))
    await manual_time.settle()
    assert ready.ready
    assert (ready.status(PAIR).crossed, ready.status(PAIR).rejected) == (1, 1)
    assert ready.order_books[PAIR].update_id == 10
    await ready.stop()


async def test_old_and_repeated_messages_are_ignored(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.sink(diff(12, [(99.5, 1.0)], first=11))
    for message in (diff(12, [(99.5, 7.0)], first=11), diff(9, [(99.0, 0.0)], first=5), snapshot(11, [], [])):
        source.sink(message)
    await manual_time.settle()
    assert ready.ready
    assert ready.order_books[PAIR].depth(9)[0] == [(99.5, 1.0), *BIDS]
    assert ready.status(PAIR).ignored == 3
    await ready.stop()


async def test_unnumbered_streams_apply_in_order_of_arrival(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    await tracker.start([PAIR])
    source.sink(diff(0, [(99.5, 1.0)]))  # before the snapshot, so it is in there
    source.sink(snapshot(0, BIDS, ASKS))
    source.sink(diff(0, [(99.1, 1.0)]))
    await manual_time.settle()
    assert tracker.order_books[PAIR].depth(9)[0] == [(99.1, 1.0), *BIDS]
    source.sink(snapshot(0, [(95.0, 1.0)], ASKS))
    await manual_time.settle()
    assert tracker.order_books[PAIR].depth(9)[0] == [(95.0, 1.0)]
    source.books[PAIR] = [snapshot(0, BIDS, ASKS)]
    source.gate.clear()
    source.sink(diff(0, [(101.0, 1.0)]))  # crosses
    await manual_time.settle()
    assert source.waiting == 1
    source.sink(diff(0, [(99.2, 1.0)]))  # while the snapshot is being fetched: may be in it or not
    source.gate.set()
    await manual_time.settle()
    assert tracker.ready
    assert tracker.order_books[PAIR].depth(9)[0] == [(99.2, 1.0), *BIDS]
    await tracker.stop()


# -- fetching with patience ----------------------------------------------------------------------------------------


async def test_failed_fetches_back_off(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime, caplog: pytest.LogCaptureFixture
) -> None:
    source.books[PAIR] = [
        NetworkUnavailable("down"),
        RateLimited("slow down", retry_after=7.0),
        KeyError("a defect"),
        snapshot(50, BIDS, ASKS),
    ]
    with caplog.at_level(logging.CRITICAL, "kit.market.book_resync"):
        source.sink(diff(15, first=14))
        times = []
        for _ in range(80):
            before = len(source.fetched)
            await manual_time.advance(0.25)
            times += [manual_time.monotonic()] * (len(source.fetched) - before)
    assert times == [0.25, 0.5, 7.5, 9.5]  # at once (noticed a step later), +0.5, +7 as asked for, +2
    assert ready.ready
    assert ready.status(PAIR).fetch_errors == 3
    assert "KeyError" in ready.status(PAIR).last_error
    await ready.stop()


async def test_a_fetch_that_hangs_is_given_up(
    source: FakeBookSource, supervisor: TaskSupervisor, manual_time: ManualTime
) -> None:
    policy = ResyncPolicy(grace=0.0, fetch_timeout=0.02)
    tracker = OrderBookTracker(source, supervisor, time_source=manual_time, resync=policy)
    source.gate.clear()
    await tracker.start([PAIR])
    while not tracker.status(PAIR).fetch_errors:
        await asyncio.sleep(0.005)
    assert "did not come within 0.02 s" in tracker.status(PAIR).last_error
    source.gate.set()
    source.books[PAIR] = [snapshot(50, BIDS, ASKS)]
    for _ in range(20):  # a busy machine may take longer than 0.02 s again
        if not tracker.ready:
            await manual_time.advance(1)
    assert tracker.ready
    await tracker.stop()


async def test_a_stream_that_breaks_all_the_time_cannot_use_up_the_rate_limit(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    for step in range(600):  # 60 s, a gap in every message
        number = 1000 + 10 * step
        source.books[PAIR] = [snapshot(number, BIDS, ASKS)]
        source.sink(diff(number + 5, first=number + 3))
        await manual_time.advance(0.1)
    assert len(source.fetched) < 15
    await ready.stop()


async def test_a_rare_gap_is_healed_at_once_every_time(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    for step in range(1, 6):
        source.books[PAIR] = [snapshot(1000 * step, BIDS, ASKS)]
        source.sink(diff(1000 * step, first=1000 * step - 1))
        await manual_time.settle()
        assert ready.ready
        await manual_time.advance(11)
    assert ready.status(PAIR).resyncs == 5
    await ready.stop()


# -- silence -------------------------------------------------------------------------------------------------------


async def test_a_silent_stream_makes_the_book_stale_until_it_speaks(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(400, [(95.0, 1.0)], [(96.0, 1.0)])]  # the market went on
    source.sink(trade())  # trades do not prove that the book's stream lives
    await manual_time.advance(29.9)
    assert ready.ready
    await manual_time.advance(0.2)
    assert not ready.ready
    status = ready.status(PAIR)
    assert status.synced
    assert status.stale
    assert status.age == pytest.approx(30.1)
    with pytest.raises(NotReady, match="nothing was heard for"):
        await asyncio.gather(ready.wait_ready(5), manual_time.advance(5))
    await manual_time.advance(30)
    assert ready.order_books[PAIR].best_bid == (95.0, 1.0), "better a fetched book than an old one"
    assert not ready.ready, "but the stream has not spoken"
    assert len(source.fetched) <= 5
    source.sink(diff(405, [(95.5, 1.0)], first=401))
    await manual_time.settle()
    assert ready.ready
    assert ready.order_books[PAIR].best_bid == (95.5, 1.0)
    await ready.stop()


async def test_a_quiet_market_stays_ready_because_nothing_was_missed(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(10, BIDS, ASKS)]
    for _ in range(300):
        await manual_time.advance(1)
        assert ready.ready
    assert 10 <= len(source.fetched) <= 20
    await ready.stop()


async def test_an_update_on_its_way_does_not_make_the_stream_suspect(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(11, [(99.5, 1.0), *BIDS], ASKS)]
    await manual_time.advance(18)
    assert len(source.fetched) == 1
    source.sink(diff(11, [(99.5, 1.0)], first=11))
    for _ in range(100):
        await manual_time.advance(1)
        assert ready.ready
    await ready.stop()


async def test_a_comparison_under_way_does_not_touch_a_pair_that_was_added_anew(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.books[PAIR] = [snapshot(11, [(10.0, 1.0)], [(11.0, 1.0)])]
    source.gate.clear()
    await manual_time.advance(40)
    assert source.waiting == 1
    await ready.remove_trading_pair(PAIR)
    await ready.add_trading_pair(PAIR)
    source.sink(snapshot(900, BIDS, ASKS))
    await manual_time.settle()
    source.gate.set()
    await manual_time.settle()
    assert ready.ready
    assert (ready.order_books[PAIR].update_id, ready.order_books[PAIR].best_bid) == (900, (99.0, 1.0))
    await ready.stop()


async def test_a_quiet_unnumbered_market_is_compared_by_its_levels(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    await tracker.start([PAIR])
    source.sink(snapshot(0, BIDS, ASKS))
    source.books[PAIR] = [snapshot(0, BIDS[::-1], ASKS)]
    await manual_time.advance(100)
    assert tracker.ready
    source.books[PAIR] = [snapshot(0, BIDS[1:], ASKS)]
    await manual_time.advance(100)
    assert not tracker.ready
    await tracker.stop()


async def test_a_stale_book_that_proves_right_wakes_who_waits(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    await manual_time.advance(40)  # nothing planted: the comparison fails
    assert not ready.ready
    waiting = asyncio.create_task(ready.wait_ready(60))
    source.books[PAIR] = [snapshot(10, BIDS, ASKS)]
    await manual_time.advance(20)
    assert waiting.done()
    await waiting
    await ready.stop()


async def test_staleness_can_be_off(
    source: FakeBookSource, supervisor: TaskSupervisor, manual_time: ManualTime
) -> None:
    tracker = OrderBookTracker(source, supervisor, time_source=manual_time, stale_after=None)
    await tracker.start([PAIR])
    source.sink(snapshot(10, BIDS, ASKS))
    await manual_time.advance(10_000)
    assert tracker.ready
    assert source.fetched == []
    await tracker.stop()


# -- pairs come and go ---------------------------------------------------------------------------------------------


async def test_pairs_are_added_and_removed_while_running(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    await ready.add_trading_pair(ETH)
    await ready.add_trading_pair(ETH)
    await ready.start([ETH, PAIR])
    assert source.subscribed == [(PAIR,), (ETH,)]
    assert ready.is_ready(PAIR)
    assert not ready.ready
    source.sink(snapshot(5, BIDS, ASKS, pair=ETH))
    await manual_time.settle()
    assert ready.ready
    book = ready.order_books[ETH]
    await ready.remove_trading_pair(ETH)
    assert source.unsubscribed == [(ETH,)]
    assert list(ready.order_books) == [PAIR]
    assert ready.ready
    assert "removed" in repr(book)
    source.sink(diff(6, [(99.9, 1.0)], first=6, pair=ETH))
    await manual_time.settle()
    assert ready.ignored_messages == 1
    assert book.best_bid == (99.0, 1.0)
    await ready.add_trading_pair(ETH)
    assert ready.order_books[ETH] is book
    assert not ready.ready
    source.sink(snapshot(9, [(97.0, 1.0)], ASKS, pair=ETH))
    await manual_time.settle()
    assert ready.ready
    assert book.best_bid == (97.0, 1.0)
    await ready.stop()


async def test_removing_a_pair_ends_its_resync(
    ready: OrderBookTracker, source: FakeBookSource, supervisor: TaskSupervisor, manual_time: ManualTime
) -> None:
    source.gate.clear()
    source.sink(diff(15, first=14))
    await manual_time.settle()
    assert any("resync" in name for name in supervisor.names)
    await ready.remove_trading_pair(PAIR)
    await manual_time.settle()
    assert not any("resync" in name for name in supervisor.names)
    await ready.stop()


async def test_a_pair_that_cannot_be_subscribed_is_not_tracked(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.refuse = UnknownPair("no such pair")
    with pytest.raises(UnknownPair, match="no such pair"):
        await ready.add_trading_pair("NO/PAIR")
    assert list(ready.order_books) == [PAIR]
    assert ready.ready
    source.refuse = None
    await ready.stop()


async def test_a_start_that_fails_leaves_nothing_behind(
    tracker: OrderBookTracker, source: FakeBookSource, supervisor: TaskSupervisor, manual_time: ManualTime
) -> None:
    source.refuse = NetworkUnavailable("down")
    with pytest.raises(NetworkUnavailable):
        await tracker.start([PAIR])
    assert supervisor.names == ()
    assert not tracker.running
    assert tracker.order_books == {}
    source.refuse = None
    await tracker.start([PAIR])
    source.sink(snapshot(10, BIDS, ASKS))
    await manual_time.settle()
    assert tracker.ready
    await tracker.stop()


async def test_unknown_pairs_are_named_with_those_that_are_known(ready: OrderBookTracker) -> None:
    for ask in (ready.status, ready.is_ready):
        with pytest.raises(UnknownPair, match="'BTC-USDT' is not streamed here; streamed: BTC/USDT"):
            ask("BTC-USDT")
    with pytest.raises(UnknownPair):
        await ready.wait_ready(1, ["BTC-USDT"])
    with pytest.raises(UnknownPair):
        await ready.remove_trading_pair("BTC-USDT")
    await ready.stop()


# -- stopping ------------------------------------------------------------------------------------------------------


async def test_stop_leaves_no_task_and_restart_works(
    ready: OrderBookTracker, source: FakeBookSource, supervisor: TaskSupervisor, manual_time: ManualTime
) -> None:
    book = ready.order_books[PAIR]
    source.gate.clear()
    source.sink(diff(15, first=14))  # a resync is under way
    await manual_time.settle()
    assert len(supervisor) >= 4
    old_sink = source.sink
    await ready.stop()
    await ready.stop()
    assert supervisor.names == ()
    assert manual_time.pending == 0
    assert source.unsubscribed == [(PAIR,)]
    assert not ready.ready
    old_sink(snapshot(99, BIDS, ASKS))
    await manual_time.settle()
    assert old_sink.__self__.backlog == 0, "a source that goes on must not fill the queue of a stopped tracker"
    assert book.best_bid == (99.0, 1.0)
    assert "stopped" in repr(book)
    source.gate.set()
    await ready.start()
    assert source.subscribed == [(PAIR,), (PAIR,)]
    source.sink(snapshot(3, [(90.0, 1.0)], ASKS))
    await manual_time.settle()
    assert ready.ready
    assert ready.order_books[PAIR] is book
    assert book.best_bid == (90.0, 1.0)
    await ready.stop()


async def test_stop_goes_on_when_unsubscribing_fails(
    ready: OrderBookTracker, source: FakeBookSource, supervisor: TaskSupervisor
) -> None:
    source.refuse = NetworkUnavailable("down")
    await ready.stop()
    assert supervisor.names == ()


# -- waiting -------------------------------------------------------------------------------------------------------


async def test_wait_ready(tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime) -> None:
    await tracker.start([PAIR, ETH])
    one = asyncio.create_task(tracker.wait_ready(10, [PAIR]))
    both = asyncio.create_task(tracker.wait_ready(10))
    source.sink(snapshot(10, BIDS, ASKS))
    await manual_time.settle()
    assert one.done()
    assert not both.done()
    await manual_time.advance(10)
    with pytest.raises(NotReady, match=r"not ready within 10 s. ETH/USDT: no snapshot.*no book is planted") as caught:
        await both
    assert PAIR not in str(caught.value)
    stopped = asyncio.create_task(tracker.wait_ready(10))
    await manual_time.settle()
    await tracker.stop()
    with pytest.raises(NotReady, match="was stopped"):
        await stopped
    assert manual_time.pending == 0


# -- robustness ----------------------------------------------------------------------------------------------------


async def test_the_router_survives_junk_and_failing_callbacks(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: str) -> None:
        raise ValueError("planted")

    ready.on_update = fail
    with caplog.at_level(logging.ERROR):
        source.sink("junk")  # type: ignore[arg-type]
        source.sink(diff(11, [(99.5, 1.0)], first=11))
        await manual_time.settle()
    assert ready.order_books[PAIR].best_bid == (99.5, 1.0)
    assert ready.callback_errors == 1
    assert "planted" in caplog.text
    assert "junk" in caplog.text
    await ready.stop()


async def test_bad_trades_are_counted_and_the_book_stays(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    heard: list[PublicTrade] = []
    ready.order_books[PAIR].add_trade_listener(heard.append)
    source.sink(trade(math.nan))
    source.sink(trade(100.5))
    await manual_time.settle()
    assert ready.ready
    assert heard == [trade(100.5)]
    assert (ready.status(PAIR).rejected, ready.status(PAIR).trades) == (1, 1)
    await ready.stop()


async def test_trades_are_passed_on_while_the_book_is_out_of_sync(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    await tracker.start([PAIR])
    source.sink(trade(100.5))
    await manual_time.settle()
    assert tracker.order_books[PAIR].last_trade_price == 100.5
    await tracker.stop()


async def test_the_loop_gets_its_turn_in_a_burst(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    for number in range(11, 1_011):
        source.sink(diff(number, first=number))
    assert ready.backlog == 1000
    turns = 0
    while ready.backlog:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    assert ready.order_books[PAIR].update_id == 1010
    await ready.stop()


def test_simulations_need_no_loop(manual_time: ManualTime) -> None:
    tracker = OrderBookTracker(
        FakeBookSource(), TaskSupervisor("simulation"), trading_pairs=[PAIR], time_source=manual_time
    )
    assert not tracker.ready
    tracker.process(snapshot(10, BIDS, ASKS))
    tracker.process(diff(11, [(99.5, 1.0)], first=11))
    assert tracker.ready
    assert tracker.order_books[PAIR].best_bid == (99.5, 1.0)
    tracker.process(diff(20, first=15))
    assert not tracker.ready


# -- observers -----------------------------------------------------------------------------------------------------


async def test_observers_hear_each_message_once_its_book_has_taken_it_also_fetched_snapshots_and_the_end(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    book = ready.order_books[PAIR]
    heard: list[tuple[object, bool, int]] = []
    remove = ready.add_observer(lambda message: heard.append((message, book.synced, book.update_id)))
    fetched = snapshot(20, BIDS, ASKS)
    source.books[PAIR] = [fetched]
    sent = [diff(11, [(99.5, 1.0)], first=11), trade(), diff(15, first=14)]
    for message in sent:
        source.sink(message)
    await manual_time.settle()
    assert heard == [(sent[0], True, 11), (sent[1], True, 11), (sent[2], False, 11), (fetched, True, 20)]
    await ready.stop()
    assert heard[4] == (StreamLost(PAIR, manual_time.time(), "the order book tracker is stopped"), False, 20)
    remove()
    remove()
    ready.process(trade())
    assert len(heard) == 5


async def test_an_observer_that_fails_harms_nobody(
    ready: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []
    ready.add_observer(lambda _: 1 / 0)
    ready.add_observer(heard.append)
    with caplog.at_level(logging.CRITICAL, "kit.market.order_book_tracker"):
        source.sink(diff(11, first=11))
        await manual_time.settle()
    assert (len(heard), ready.callback_errors) == (1, 1)
    assert ready.order_books[PAIR].update_id == 11
    await ready.remove_trading_pair(PAIR)
    assert len(heard) == 2
    await ready.stop()


@pytest.mark.parametrize("options", [{"stale_after": 0}, {"stale_after": math.nan}, {"pending_limit": 0}])
def test_bad_options_are_refused(options: dict[str, float], manual_time: ManualTime) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        OrderBookTracker(FakeBookSource(), TaskSupervisor("test"), time_source=manual_time, **options)  # type: ignore[arg-type]


# -- last prices ---------------------------------------------------------------------------------------------------


async def test_last_prices_are_fetched_for_pairs_without_trades(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.prices = {PAIR: 100.0, ETH: math.nan}
    await tracker.start([PAIR, ETH])
    await manual_time.settle()
    assert source.price_requests == [(PAIR, ETH)]
    assert tracker.order_books[PAIR].last_trade_price == 100.0
    assert math.isnan(tracker.order_books[ETH].last_trade_price)
    assert tracker.status(ETH).rejected == 1
    source.sink(trade(101.0))
    source.prices = NetworkUnavailable("down")
    await manual_time.advance(60)
    assert source.price_requests[1:] == [(ETH,), (ETH,)]
    assert tracker.order_books[PAIR].last_trade_price == 101.0
    source.prices = {PAIR: 102.0, ETH: 50.0}
    await manual_time.advance(150)
    assert tracker.order_books[PAIR].last_trade_price == 102.0
    assert tracker.order_books[ETH].last_trade_price == 50.0
    await tracker.stop()


async def test_a_trade_that_comes_while_the_last_price_is_fetched_is_newer(
    tracker: OrderBookTracker, source: FakeBookSource, manual_time: ManualTime
) -> None:
    source.prices = {PAIR: 100.0}
    source.gate.clear()
    await tracker.start([PAIR])
    await manual_time.settle()
    source.sink(trade(105.0))
    await manual_time.settle()
    source.gate.set()
    await manual_time.settle()
    assert source.price_requests == [(PAIR,)]
    assert tracker.order_books[PAIR].last_trade_price == 105.0
    await tracker.stop()
