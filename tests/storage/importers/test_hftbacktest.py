"""hftbacktest's files, written and read; two orders of one set of events."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.storage.clock_offset import correct_clock
from kit.storage.events import COLUMNS, EventKind, MarketEvents
from kit.storage.exporters import to_hftbacktest
from kit.storage.hftbacktest_form import EVENT_DTYPE, EXCH, LOCAL
from kit.storage.importers import BadFile, import_hftbacktest, import_raw
from tests.support.market_recordings import recording
from tests.support.recordings import FUTURES

NAMES = {"exchange": "x", "trading_pair": "A/B"}
ROWS = (
    (100, 200, EventKind.CLEAR, 1, 0.0, 0.0, 5, 0),
    (100, 200, EventKind.SNAPSHOT, 1, 10.0, 1.0, 5, 0),
    (100, 200, EventKind.SNAPSHOT, 1, 9.0, 1.0, 5, 0),
    (100, 200, EventKind.CLEAR, -1, 0.0, 0.0, 5, 0),
    (100, 200, EventKind.SNAPSHOT, -1, 11.0, 1.0, 5, 1),
    (150, 210, EventKind.DEPTH, -1, 11.0, 2.0, 6, 1),
    (140, 220, EventKind.TRADE, 1, 11.0, 0.5, 77, 1),
    (0, 225, EventKind.GAP, 0, 0.0, 0.0, 9, 1),
    (160, 230, EventKind.ADD, 1, 10.0, 0.5, 1234, 1),
)


def test_rows_are_64_bytes():
    assert EVENT_DTYPE.itemsize == 64
    assert [EVENT_DTYPE.fields[name][1] for name in EVENT_DTYPE.names] == list(range(0, 64, 8))


def test_what_is_written():
    rows = to_hftbacktest(MarketEvents.from_rows("x", "A/B", ROWS))
    both, buy, sell = EXCH | LOCAL, 1 << 29, 1 << 28
    events = [
        *((3 | buy | both, 9.0), (4 | buy | both, 10.0), (4 | buy | both, 9.0)),
        *((3 | sell | both, 11.0), (4 | sell | both, 11.0)),
        *((1 | sell | LOCAL, 11.0), (2 | buy | both, 11.0), (1 | sell | EXCH, 11.0), (10 | buy | both, 10.0)),
    ]
    assert list(zip(rows["ev"].tolist(), rows["px"].tolist(), strict=True)) == events
    assert rows["order_id"].tolist() == [0] * 8 + [1234]
    assert rows["ival"].tolist() == [5] * 5 + [6, 77, 6, 0]


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_there_and_back(tmp_path, name):
    events = MarketEvents.from_rows("x", "A/B", [row for row in ROWS if row[2] != EventKind.GAP])
    to_hftbacktest(events, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    back = import_hftbacktest(tmp_path / name, **NAMES)
    for column in COLUMNS:
        same = getattr(back, column) == getattr(events, column)
        assert same[events.kind != EventKind.CLEAR].all(), column


times = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 12)), max_size=60)


@given(times)
def test_both_orders_hold_every_event_once(pairs):
    rows = [(exch, exch + late, 1, 1, 10.0, float(number), 0, 1) for number, (exch, late) in enumerate(pairs)]
    rows.sort(key=lambda row: row[1])
    made = to_hftbacktest(MarketEvents.from_rows("x", "A/B", rows))
    for flag, column in ((EXCH, "exch_ts"), (LOCAL, "local_ts")):
        part = made[(made["ev"] & np.uint64(flag)) != 0]
        assert sorted(part["qty"].tolist()) == [float(number) for number in range(len(rows))]
        assert (np.diff(part[column]) >= 0).all()
        at_one_time = np.diff(part[column]) == 0
        places = {row[5]: place for place, row in enumerate(rows)}
        order = np.array([places[amount] for amount in part["qty"].tolist()])
        assert (np.diff(order)[at_one_time] > 0).all(), "events of one time keep their order"


def test_few_events_are_written_twice_when_one_is_late():
    rows = [(n, n + 5, 1, 1, 10.0, 1.0, 0, 1) for n in range(1, 100)]
    rows[50] = (2, 56, 1, 1, 10.0, 1.0, 0, 1)
    assert len(to_hftbacktest(MarketEvents.from_rows("x", "A/B", rows))) == 100


def test_clocks_must_be_corrected_first():
    events = MarketEvents.from_rows("x", "A/B", [(20, 10, 1, 1, 10.0, 1.0, 0, 1)])
    with pytest.raises(InvalidInput, match="correct_clock"):
        to_hftbacktest(events)
    assert len(to_hftbacktest(correct_clock(events))) == 1
    with pytest.raises(InvalidInput, match=r"'\.csv'; hftbacktest reads"):
        to_hftbacktest(events, "a.csv")


def test_files_that_are_none(tmp_path):
    path = tmp_path / "a.npz"
    to_hftbacktest(MarketEvents.from_rows("x", "A/B", ROWS), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-80])
    with pytest.raises(BadFile, match=r"a\.npz: the file is damaged"):
        import_hftbacktest(path, **NAMES)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(BadFile, match="holds other but no array 'data'"):
        import_hftbacktest(path, **NAMES)
    np.savez(path, data=np.zeros((3, 6)))
    with pytest.raises(BadFile, match=r"float64 and shape \(3, 6\); hftbacktest 2 writes"):
        import_hftbacktest(path, **NAMES)
    path.write_bytes(b"nothing")
    with pytest.raises(BadFile, match=r"a\.npz is no file of arrays"):
        import_hftbacktest(path, **NAMES)


def test_kinds_of_users_are_left_out(tmp_path):
    rows = np.zeros(3, dtype=EVENT_DTYPE)
    rows["ev"] = [2 | 1 << 29, 101, 103]
    rows["local_ts"] = 5
    np.save(tmp_path / "a.npy", rows)
    events = import_hftbacktest(tmp_path / "a.npy", **NAMES)
    assert (len(events), events.info["other_kinds"]) == (1, "2")


def test_a_recorded_stream_comes_back(tmp_path):
    events = correct_clock(import_raw(recording(FUTURES[0]), exchange="x", trading_pair="BTC/USDT:USDT"))
    rows = to_hftbacktest(events, tmp_path / "a.npz")
    assert len(rows) < 1.01 * len(events)
    back = import_hftbacktest(tmp_path / "a.npz", exchange="x", trading_pair="BTC/USDT:USDT")
    not_clear = events.kind != EventKind.CLEAR
    for column in COLUMNS:
        assert (getattr(back, column) == getattr(events, column))[not_clear].all(), column
