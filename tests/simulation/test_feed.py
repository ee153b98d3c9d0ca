from __future__ import annotations

import logging
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from kit.errors import InvalidInput
from kit.simulation import kernel_layout as layout
from kit.simulation.feed import FeedColumns, cache_key
from kit.storage.events import EventKind, MarketEvents

DEPTH, TRADE, BBO, GAP = EventKind.DEPTH, EventKind.TRADE, EventKind.BBO, EventKind.GAP


def columns(*rows: tuple[object, ...], tick: str = "0.1", lot: str = "0.001", **options: bool) -> FeedColumns:
    return FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", rows), tick, lot, **options)


def test_rows_go_in_exchange_time_and_are_seen_in_one_order():
    feed = columns(
        (10, 20, DEPTH, 1, 100.0, 1.0, 0, 0),
        (30, 35, TRADE, 1, 100.1, 1.0, 0, 0),
        (20, 50, TRADE, -1, 100.2, 1.0, 0, 0),
    )
    assert feed.exch_ts.tolist() == [10, 20, 30]
    assert feed.local_ts.tolist() == [20, 50, 50]
    assert feed.tick.tolist() == [1000, 1002, 1001]
    assert feed.code.tolist() == [layout.DEPTH, layout.TRADE, layout.TRADE + 1]
    assert feed.nbytes == 29 * len(feed)


def test_trades_whose_taker_nobody_knows_are_left_out_and_told(caplog: pytest.LogCaptureFixture):
    feed = columns(
        (10, 20, DEPTH, 1, 1.0, 1.0, 0, 0), (11, 21, TRADE, 0, 1.0, 1.0, 0, 0), (12, 22, TRADE, 1, 1.0, 1.0, 0, 0)
    )
    assert feed.code.tolist() == [layout.DEPTH, layout.TRADE + 1]
    assert "1 of 2 trades do not tell whether the buyer or the seller took" in caplog.text


def test_a_row_without_exchange_time_stays_behind_the_row_before_it():
    feed = columns(
        (0, 5, DEPTH, 1, 1.0, 1.0, 0, 0),
        (10, 20, DEPTH, 1, 2.0, 1.0, 0, 0),
        (0, 25, GAP, 0, 0.0, 0.0, 0, 0),
        (12, 26, DEPTH, 1, 3.0, 1.0, 0, 0),
    )
    assert feed.tick.tolist() == [10, 20, 0, 30]
    assert feed.exch_ts.tolist() == [5, 10, 10, 12]
    assert columns((0, 5, DEPTH, 1, 1.0, 1.0, 0, 0)).exch_ts.tolist() == [5]


def test_a_snapshot_without_exchange_time_is_known_from_its_receipt(caplog: pytest.LogCaptureFixture):
    rows = [
        (0, 4, GAP, 0, 0.0, 0.0, 0, 0),
        (0, 5, EventKind.CLEAR, 0, 0.0, 0.0, 0, 0),
        (0, 5, EventKind.SNAPSHOT, 1, 1.0, 1.0, 0, 0),
        (10, 20, DEPTH, 1, 2.0, 1.0, 0, 0),
    ]
    feed = columns(*rows)
    assert feed.exch_ts.tolist() == [4, 5, 5, 10]
    assert feed.local_ts.tolist() == [4, 5, 5, 20]
    assert not caplog.text
    behind = columns(*((exch, local + 100, *row) for exch, local, *row in rows))
    assert behind.exch_ts.tolist() == [10, 10, 10, 10]


def test_nothing_is_seen_before_it_happened(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        feed = columns((2_000_000_000, 10, DEPTH, 1, 1.0, 1.0, 0, 0))
    assert feed.local_ts.tolist() == [2_000_000_000]
    assert "up to 2.000 s" in caplog.text


def test_dust_is_nothing_and_best_prices_only_where_there_is_no_depth():
    rows = [(1, 1, DEPTH, 1, 1.0, 0.0004, 0, 0), (1, 1, BBO, 1, 1.0, 1.0, 0, 0)]
    assert columns(*rows).qty.tolist() == [0.0]
    assert len(columns(*rows, use_bbo=True)) == 2
    assert columns(rows[1]).code.tolist() == [layout.BBO]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ((1, 1, DEPTH, 1, float("nan"), 1.0, 0, 0), "row 0 of A/B has the price nan"),
        ((1, 1, DEPTH, 1, 1e12, 1.0, 0, 0), "tick size"),
        ((1, 1, DEPTH, 1, -1.0, 1.0, 0, 0), "price -1.0"),
        ((1, 1, DEPTH, 1, 1.0, -1.0, 0, 0), "amount -1.0"),
        ((1, 1, DEPTH, 0, 1.0, 1.0, 0, 0), "have no side"),
        ((1, 1, 77, 1, 1.0, 1.0, 0, 0), "no known kind"),
    ],
)
def test_damaged_rows_are_named(row: tuple[object, ...], word: str):
    with pytest.raises(InvalidInput, match=word):
        columns(row)


@pytest.mark.parametrize("size", ["0", "-1", "NaN"])
def test_sizes_must_be_positive(size: str):
    with pytest.raises(InvalidInput, match="tick_size"):
        columns((1, 1, DEPTH, 1, 1.0, 1.0, 0, 0), tick=size)


def test_saved_columns_are_mapped_back(tmp_path: Path):
    feed = columns((1, 2, EventKind.ADD, 1, 1.0, 1.0, 42, 0), (3, 4, EventKind.CANCEL, 1, 1.0, 1.0, 42, 0))
    feed.save(tmp_path / "feed")
    again = FeedColumns.open(tmp_path / "feed")
    for name in ("exch_ts", "local_ts", "code", "tick", "qty", "order_id"):
        np.testing.assert_array_equal(getattr(again, name), getattr(feed, name))
        assert isinstance(getattr(again, name), np.memmap)
    assert (again.tick_size, again.lot_size) == (Decimal("0.1"), Decimal("0.001"))


def test_an_unfinished_folder_is_refused(tmp_path: Path):
    feed = columns((1, 2, DEPTH, 1, 1.0, 1.0, 0, 0))
    feed.save(tmp_path)
    np.save(tmp_path / "code.npy", np.zeros(3, np.uint8))
    with pytest.raises(InvalidInput, match="different lengths"):
        FeedColumns.open(tmp_path)
    (tmp_path / "feed.json").unlink()
    with pytest.raises(InvalidInput, match="no complete feed"):
        FeedColumns.open(tmp_path)


def test_another_file_or_step_has_another_key(tmp_path: Path):
    path = tmp_path / "a.gz"
    path.write_bytes(b"1")
    os.utime(path, ns=(1, 1))
    one = cache_key(path, Decimal("0.1"), Decimal(1))
    assert one == cache_key(path, Decimal("0.1"), Decimal(1)) != cache_key(path, Decimal("0.01"), Decimal(1))
    os.utime(path, ns=(1, 2))
    assert cache_key(path, Decimal("0.1"), Decimal(1)) != one


def test_feeds_of_different_steps_are_not_joined():
    one, other = columns((1, 1, DEPTH, 1, 1.0, 1.0, 0, 0)), columns((1, 1, DEPTH, 1, 1.0, 1.0, 0, 0), tick="0.01")
    with pytest.raises(InvalidInput, match="cannot be joined"):
        FeedColumns.concat(one, other)
    assert len(FeedColumns.concat(one, one)) == 2


def test_asks_beyond_every_tick_number_are_left_out_other_prices_there_are_refused():
    near, far = (
        (1, 1, EventKind.SNAPSHOT, -1, 101.0, 1.0, 1, 0),
        (1, 1, EventKind.SNAPSHOT, -1, 9_999_999_999.9, 1.0, 1, 1),
    )
    assert columns(near, far, (2, 2, DEPTH, -1, 9_999_999_999.9, 0.0, 2, 1)).tick.tolist() == [1010]
    for wrong in ((1, 1, DEPTH, 1, 9_999_999_999.9, 1.0, 1, 1), (1, 1, TRADE, -1, 9_999_999_999.9, 1.0, 1, 1)):
        with pytest.raises(InvalidInput, match=r"has the price 9999999999\.9"):
            columns(near, wrong)
