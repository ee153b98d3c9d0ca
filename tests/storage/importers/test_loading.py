"""Events from whatever holds them."""

import numpy as np
import pytest

from kit.errors import InvalidInput
from kit.storage.events import MarketEvents
from kit.storage.exporters import to_hftbacktest
from kit.storage.importers import BadFile, load_events
from kit.storage.recording_writer import RecordingWriter
from kit.storage.recordings import open_recording
from tests.storage.importers import test_csv, test_raw

PAIR = {"trading_pair": "AAA/BBB"}
SECOND = 1_000_000_000


def events(start=1, count=3, pair="AAA/BBB"):
    rows = [((start + n) * SECOND, (start + n) * SECOND, 2, 1, 10.0, 1.0, n, 1) for n in range(count)]
    return MarketEvents.from_rows("binance", pair, rows)


def test_every_form_is_guessed(tmp_path):
    to_hftbacktest(events(), tmp_path / "a.npz")
    files = {
        test_raw.write(tmp_path / "a.raw.gz", [test_raw.snapshot(5), test_raw.depth(6, 6)]): 7,
        test_csv.write(tmp_path / "t.zip", test_csv.SPOT_TRADES): 2,
        test_csv.write(tmp_path / "a.csv.gz", test_csv.HEADED_AGG): 2,
        test_csv.write(tmp_path / "k.csv", test_csv.KLINES): 32,
        test_csv.write(tmp_path / "b.csv", test_csv.BOOK): 8,
        tmp_path / "a.npz": 3,
    }
    for path, rows in files.items():
        found = load_events(path, **PAIR)
        assert (len(found), found.trading_pair, found.exchange) == (rows, "AAA/BBB", "binance"), path.name
        assert len(load_events(str(path), **PAIR)) == rows


def test_files_of_one_form_go_on_from_each_other(tmp_path):
    first = test_raw.write(tmp_path / "1.raw", [test_raw.snapshot(5), test_raw.depth(6, 6)])
    second = test_raw.write(tmp_path / "2.raw", [test_raw.depth(7, 7)], start=(test_raw.T0 + 50) * 1_000_000)
    assert len(load_events([first, second], **PAIR)) == 9


def test_different_forms_are_merged_by_time():
    joined = load_events([events(1), events(2)])
    assert (joined.local_ts // SECOND).tolist() == [1, 2, 2, 3, 3, 4]
    with pytest.raises(InvalidInput, match="different markets"):
        load_events([events(), events(pair="CCC/DDD")])


def test_events_pass_and_are_cut():
    given = events(count=5)
    assert load_events(given).local_ts is given.local_ts
    assert len(load_events(given, start=2, end=4)) == 2
    with pytest.raises(InvalidInput, match=r"no events .* are left"):
        load_events(given, start=50)
    with pytest.raises(InvalidInput, match="those of AAA/BBB, not of CCC/DDD"):
        load_events(given, trading_pair="CCC/DDD")


def test_the_clock_is_corrected_unless_told_otherwise(tmp_path):
    messages = [test_raw.snapshot(5), test_raw.depth(6, 6, time=test_raw.T0 + 5000)]
    path = test_raw.write(tmp_path / "a.raw", messages)
    assert np.min((found := load_events(path, **PAIR)).local_ts - found.exch_ts) == 0
    assert np.min((found := load_events(path, correct_clock=False, **PAIR)).local_ts - found.exch_ts) < 0


def test_options_reach_the_importer(tmp_path):
    path = test_raw.write(tmp_path / "a.raw", [test_raw.depth(6, 6)])
    assert len(load_events(path, need_snapshot=False, **PAIR)) == 2


def test_recordings(tmp_path):
    with RecordingWriter(tmp_path) as writer:
        writer.append(events(1, 5))
    for source in (tmp_path, open_recording(tmp_path), next(tmp_path.rglob("*.parquet"))):
        assert len(load_events(source)) == 5
        assert len(load_events(source, start=2, end=4, trading_pair="AAA-BBB")) == 2
    assert len(load_events([tmp_path, events(9, 1)])) == 6
    with pytest.raises(InvalidInput, match="holds AAA/BBB of binance; name one market"):
        load_events(tmp_path, trading_pair="CCC/DDD")
    with RecordingWriter(tmp_path) as writer:
        writer.append(events(1, 5, pair="CCC/DDD"))
    with pytest.raises(InvalidInput, match="name one market"):
        load_events(tmp_path)
    assert load_events(tmp_path, **PAIR).trading_pair == "AAA/BBB"
    with pytest.raises(InvalidInput, match="no events of AAA/BBB are left"):
        load_events(tmp_path, start=900, **PAIR)


def test_sources_that_hold_no_events(tmp_path):
    with pytest.raises(InvalidInput, match="no source of events"):
        load_events([])
    with pytest.raises(InvalidInput, match="there is no"):
        load_events(tmp_path / "none.csv", **PAIR)
    with pytest.raises(InvalidInput, match="pass trading_pair="):
        load_events(test_csv.write(tmp_path / "t.csv", test_csv.SPOT_TRADES))
    with pytest.raises(InvalidInput, match="form is 'xml'"):
        load_events(tmp_path, form="xml")
    with pytest.raises(BadFile, match=r"a\.txt is of no form known here: its first line begins '\{\"a\": 1\}'"):
        load_events(test_csv.write(tmp_path / "a.txt", '{"a": 1}\n'), **PAIR)
    with pytest.raises(InvalidInput, match=r"not in order of local time: row 1 goes back, and 2 rows"):
        load_events(MarketEvents.from_rows("x", "A/B", [(0, 3 - n, 2, 1, 1.0, 1.0, 0, 1) for n in range(3)]))
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(BadFile, match=r"cut\.zip"):
        load_events(tmp_path / "cut.zip", **PAIR)


def test_a_span_of_a_recording_is_cut_by_corrected_times(tmp_path):
    rows = [((start + 1) * SECOND, start * SECOND, 2, 1, 10.0, 1.0, start, 1) for start in range(1, 9)]
    with RecordingWriter(tmp_path) as writer:
        writer.append(MarketEvents.from_rows("binance", "AAA/BBB", rows))
    whole = load_events(tmp_path)
    assert (whole.local_ts == whole.exch_ts).all()
    assert (load_events(tmp_path, start=4, end=7).local_ts // SECOND).tolist() == [4, 5, 6]
    assert (load_events(tmp_path, start=4, end=7, correct_clock=False).local_ts // SECOND).tolist() == [4, 5, 6]
