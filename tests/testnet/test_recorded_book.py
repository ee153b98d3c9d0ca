"""The book rebuilt from recordings: Binance's sequence rules, gaps, snapshots in mid-stream."""

import logging

from kit.testnet.raw_files import DepthUpdate, Snapshot
from kit.testnet.recorded_book import RecordedBook


def update(first, last, bids=(), asks=(), *, previous=None):
    return DepthUpdate(0, "X", 0, first, last, previous, tuple(bids), tuple(asks))


def snapshot(last, bids=((10, 1),), asks=((20, 1),)):
    return Snapshot(0, last, tuple(bids), tuple(asks))


def test_updates_before_the_snapshot_are_kept_and_those_it_holds_are_dropped():
    book = RecordedBook()
    assert not book.apply_update(update(1, 4, [(9, 9)]))
    assert not book.apply_update(update(5, 8, [(8, 8)]))
    assert not book.apply_update(update(9, 9, [(7, 7)]))
    assert book.apply_snapshot(snapshot(6))
    assert book.bids == {10: 1, 8: 8, 7: 7}, "4 is older than 6, 5…8 straddles it, 9 follows"
    assert (book.update_id, book.sound, book.gaps) == (9, True, 0)
    assert (book.snapshot_low, book.snapshot_high) == (10, 20)


def test_a_level_with_amount_zero_goes():
    book = RecordedBook()
    book.apply_snapshot(snapshot(1, bids=[(10, 1), (9, 1)]))
    assert book.apply_update(update(2, 2, [(10, 0), (3, 0)], [(20, 5)]))
    assert (book.bids, book.asks) == ({9: 1}, {20: 5})


def test_futures_follow_the_previous_id():
    book = RecordedBook()
    book.apply_snapshot(snapshot(10))
    assert book.apply_update(update(8, 15, previous=5)), "the first may reach back before the snapshot"
    assert book.apply_update(update(100, 120, previous=15))
    assert book.sound
    book.apply_update(update(121, 130, previous=119))
    assert book.gaps == 1


def test_an_old_update_changes_nothing():
    book = RecordedBook()
    book.apply_snapshot(snapshot(10))
    assert not book.apply_update(update(3, 9, [(10, 0)]))
    assert book.bids == {10: 1}


def test_after_a_gap_the_newest_level_wins_and_a_snapshot_repairs(caplog):
    book = RecordedBook()
    book.apply_snapshot(snapshot(10, bids=[(10, 1), (9, 1)], asks=[(20, 1), (30, 1)]))
    with caplog.at_level(logging.WARNING):
        assert book.apply_update(update(15, 16, [(25, 4)]))
    assert "between ids 10 and 15" in caplog.text
    assert (book.sound, book.gaps) == (False, 1)
    assert book.asks == {30: 1}, "the ask at 20 cannot be there any more"
    assert book.dropped_asks == [20]
    assert book.apply_update(update(17, 17, [], [(26, 2)]))
    assert not book.apply_snapshot(snapshot(13)), "it is from before the gap's end and cannot join what followed"
    assert book.asks == {30: 1, 26: 2}
    assert book.apply_snapshot(snapshot(16, bids=[(25, 4)], asks=[(31, 1)]))
    assert (book.sound, book.gaps, book.update_id) == (True, 1, 17)
    assert (book.bids, book.asks) == ({25: 4}, {31: 1, 26: 2})


def test_a_snapshot_with_nothing_new_is_ignored():
    book = RecordedBook()
    book.apply_snapshot(snapshot(10))
    book.apply_update(update(11, 12, [(5, 5)]))
    assert not book.apply_snapshot(snapshot(11, bids=[(1, 1)]))
    assert book.bids == {10: 1, 5: 5}


def test_a_recording_without_snapshot_starts_from_what_it_names():
    book = RecordedBook()
    book.apply_update(update(5, 6, [(10, 1)], [(20, 1)]))
    book.apply_update(update(7, 9, [(10, 0), (9, 2)], []))
    book.start_without_snapshot()
    assert (book.bids, book.asks) == ({9: 2}, {20: 1})
    assert book.started
    assert not book.sound
    assert book.gaps == 0
    book.apply_update(update(10, 11, [(20, 3)]))
    assert (book.bids, book.asks) == ({9: 2, 20: 3}, {})
