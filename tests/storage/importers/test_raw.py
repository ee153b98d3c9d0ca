"""The raw importer: Binance's sequence rules, rows, times, and what it says of damaged files."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.storage.events import EventKind
from kit.storage.importers import BadFile, import_raw
from tests.support.market_recordings import raw_lines, recording
from tests.support.recordings import FUTURES, SPOT

T0 = 1_700_000_000_000


def depth(first, last, bids=(("10.0", "1"),), asks=(("11.0", "2"),), previous=None, time=T0, symbol="AAABBB"):
    levels = {"b": [list(level) for level in bids], "a": [list(level) for level in asks]}
    message = {"e": "depthUpdate", "E": time, "s": symbol, "U": first, "u": last, **levels}
    return message if previous is None else message | {"pu": previous, "T": time - 1}


def trade(number, maker=True, time=T0, **more):
    message = {"e": "trade", "E": time, "s": "AAABBB", "t": number, "p": "10.5", "q": "0.3", "T": time - 2, "m": maker}
    return message | more


def snapshot(last, bids=(("10", "5"), ("9", "5")), asks=(("11", "5"),), **more):
    return {"lastUpdateId": last, "bids": [list(one) for one in bids], "asks": [list(one) for one in asks]} | more


def write(path, messages, start=T0 * 1_000_000, step=1_000_000):
    lines = []
    for index, message in enumerate(messages):
        body = message if isinstance(message, str) else json.dumps({"stream": "x", "data": message})
        if isinstance(message, dict) and "lastUpdateId" in message:
            body = json.dumps(message)
        lines.append(f"{start + index * step} {body}\n")
    text = "".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def load(path, **options):
    return import_raw(path, exchange="binance", trading_pair="AAA/BBB", **options)


def kinds(events):
    return [EventKind(kind).name for kind in events.kind]


@pytest.mark.parametrize("name", ["a.raw", "a.raw.gz"])
def test_rows_of_every_message(tmp_path, name):
    path = write(tmp_path / name, [snapshot(5), depth(6, 7, time=T0 + 3), trade(1), trade(2, maker=False)])
    events = load(path)
    assert kinds(events) == ["CLEAR", "SNAPSHOT", "SNAPSHOT", "CLEAR", "SNAPSHOT", "DEPTH", "DEPTH", "TRADE", "TRADE"]
    assert events.side.tolist() == [1, 1, 1, -1, -1, 1, -1, -1, 1]
    assert events.price.tolist() == [0, 10, 9, 0, 11, 10, 11, 10.5, 10.5]
    assert events.amount.tolist() == [0, 5, 5, 0, 5, 1, 2, 0.3, 0.3]
    assert events.update_id.tolist() == [5] * 5 + [7, 7, 1, 2]
    assert events.flags.tolist() == [0, 0, 0, 0, 1, 0, 1, 1, 1]
    assert events.exch_ts.tolist() == [(T0 + 3) * 1_000_000] * 7 + [T0 * 1_000_000] * 2
    assert np.diff(events.local_ts)[[4, 6, 7]].tolist() == [1_000_000] * 3
    assert events.info["source"] == name


def test_one_sided_updates_and_empty_sides_end_once(tmp_path):
    messages = [snapshot(5, asks=()), depth(6, 6, asks=()), depth(7, 7, bids=()), depth(8, 8, bids=(), asks=())]
    events = load(write(tmp_path / "a.raw", messages))
    assert kinds(events) == ["CLEAR", "SNAPSHOT", "SNAPSHOT", "CLEAR", "DEPTH", "DEPTH"]
    assert events.flags.tolist() == [0, 0, 0, 1, 1, 1]


def test_updates_around_the_snapshot(tmp_path):
    messages = [depth(1, 3), trade(1), depth(4, 6), snapshot(5), depth(7, 7), depth(6, 7)]
    events = load(write(tmp_path / "a.raw", messages))
    assert kinds(events) == ["CLEAR", "SNAPSHOT", "SNAPSHOT", "CLEAR", "SNAPSHOT"] + ["DEPTH"] * 4
    assert events.update_id.tolist()[5:] == [6, 6, 7, 7], "the update that straddles the snapshot came before it"
    assert events.local_ts[5] == events.local_ts[0], "it counts from when it could be applied"
    assert events.info["trades_before_snapshot"] == "1"
    assert "gaps" not in events.info


def test_futures_sequence_and_trades(tmp_path):
    messages = [
        snapshot(5, E=T0 + 9, T=T0 + 8),
        depth(2, 9, previous=1),
        depth(15, 19, previous=9),
        trade(1, X="MARKET"),
        trade(2, X="INSURANCE_FUND"),
    ]
    events = load(write(tmp_path / "a.raw", messages))
    assert kinds(events)[5:] == ["DEPTH"] * 4 + ["TRADE"]
    assert events.exch_ts[0] == (T0 + 8) * 1_000_000
    assert events.exch_ts[5] == (T0 - 1) * 1_000_000, "T, not E"
    assert events.exch_ts[-1] == (T0 - 2) * 1_000_000
    assert events.info["trades_off_book"] == "1"


def test_a_gap_is_marked_and_the_next_snapshot_used(tmp_path):
    messages = [snapshot(5), snapshot(5), depth(6, 6), depth(9, 9), depth(10, 11), snapshot(9), depth(12, 12)]
    events = load(write(tmp_path / "a.raw", messages))
    assert kinds(events)[5:] == [
        *("DEPTH", "DEPTH", "GAP", "DEPTH", "DEPTH", "DEPTH", "DEPTH"),
        *("CLEAR", "SNAPSHOT", "SNAPSHOT", "CLEAR", "SNAPSHOT"),
        *("DEPTH", "DEPTH", "DEPTH", "DEPTH"),
    ]
    assert events.update_id[-4:].tolist() == [11, 11, 12, 12], "what the snapshot does not hold follows it"
    assert events.info["gaps"] == "1"
    assert events.info["snapshots_not_needed"] == "1"


def test_microseconds(tmp_path):
    messages = [snapshot(5), depth(6, 6, time=T0 * 1000 + 7)]
    assert load(write(tmp_path / "a.raw", messages)).exch_ts[-1] == T0 * 1_000_000 + 7_000


def test_book_tickers_on_request(tmp_path):
    ticker = {"u": 6, "s": "AAABBB", "b": "10", "B": "1", "a": "11", "A": "2"}
    path = tmp_path / "a.raw"
    write(path, [snapshot(5), json.dumps({"stream": "aaabbb@bookTicker", "data": ticker}), depth(6, 6)])
    assert "BBO" not in kinds(load(path))
    events = load(path, book_tickers=True)
    rows = events.kind == EventKind.BBO
    assert events.price[rows].tolist() == [10, 11]
    assert events.flags[rows].tolist() == [0, 1]


def test_several_files_go_on_from_each_other(tmp_path):
    first = write(tmp_path / "1.raw", [snapshot(5), depth(6, 6)])
    second = write(tmp_path / "2.raw", [depth(7, 7), depth(8, 8)], start=(T0 + 50) * 1_000_000)
    events = load([first, second])
    assert events.update_id[-1] == 8
    assert "gaps" not in events.info
    with pytest.raises(BadFile, match=r"1\.raw starts 0\.051 s before 2\.raw ends"):
        load([second, first], need_snapshot=False)


def test_without_a_snapshot(tmp_path):
    path = write(tmp_path / "a.raw", [depth(7, 7), trade(1), depth(9, 9)])
    with pytest.raises(InvalidInput, match="need_snapshot=False"):
        load(path)
    assert kinds(load(path, need_snapshot=False)) == ["DEPTH", "DEPTH", "TRADE", "GAP", "DEPTH", "DEPTH"]


def test_another_symbol(tmp_path):
    with pytest.raises(InvalidInput, match="no message of AAABBB, but of CCCDDD"):
        load(write(tmp_path / "a.raw", [depth(1, 1, symbol="CCCDDD")]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ('{"stream":"x","data":{"e":"depthUpdate","E":1', r"line 3: .*"),
        (depth(7, 7, bids=(("ten", "1"),)), r"line 3: price 'ten' is no finite number"),
        (depth(7, 7, asks=(("11", "nan"),)), r"line 3: amount 'nan' is no finite number"),
        (depth(7, 7, asks=(("11", "1", "3"),)), r"line 3: a level is not a pair"),
        (depth(7, 7, asks=(("11", "-1"),)), r"line 3: amount '-1' is no finite number"),
        ({key: value for key, value in depth(7, 7).items() if key != "u"}, r"line 3: field 'u' is missing"),
        (depth(7, "7"), r"line 3: "),
        (trade(1, maker="no"), r"line 3: m is 'no'"),
        (trade(1, q=None), r"line 3: amount None is no finite number"),
        ("[1, 2]", r"line 3: "),
    ],
)
def test_damaged_lines_are_named(tmp_path, wrong, words):
    path = write(tmp_path / "a.raw.gz", [snapshot(5), depth(6, 6), wrong, depth(8, 8)])
    with pytest.raises(BadFile, match=r"a\.raw\.gz, " + words):
        load(path)


def test_a_line_without_time(tmp_path):
    path = tmp_path / "a.raw"
    path.write_text('{"lastUpdateId":1,"bids":[],"asks":[]}\n')
    with pytest.raises(BadFile, match="line 1: not the form"):
        load(path)


def test_times_that_go_back(tmp_path):
    path = write(tmp_path / "a.raw", [snapshot(5), depth(6, 6), depth(7, 7)], step=-2_000_000)
    with pytest.raises(BadFile, match=r"line 2: the local time goes back by 0\.002000 s"):
        load(path)


@pytest.mark.parametrize("need_snapshot", [True, False])
def test_times_that_go_back_before_the_first_snapshot(tmp_path, need_snapshot):
    """Lines that make no row, or get the snapshot's time, are in order all the same."""
    first = write(tmp_path / "a", [trade(1), depth(4, 6)], step=-3_000_000).read_bytes()
    path = tmp_path / "both.raw"
    path.write_bytes(first + write(tmp_path / "b", [snapshot(5), depth(7, 7)], start=T0 * 1_000_000 + 1).read_bytes())
    with pytest.raises(BadFile, match=r"line 2: the local time goes back by 0\.003000 s"):
        load(path, need_snapshot=need_snapshot)


def test_a_cut_file(tmp_path):
    path = write(tmp_path / "a.raw.gz", [snapshot(5), *(depth(6 + n, 6 + n) for n in range(500))])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(BadFile, match=r"after line \d+: the compressed file ends early.*cut_ok=True"):
        load(path)
    events = load(path, cut_ok=True)
    assert 100 < len(events) < 1005
    path.write_bytes(whole[:300] + b"\xff" * 50 + whole[350:])
    with pytest.raises(BadFile, match="the compressed file is damaged"):
        load(path, cut_ok=True)


def test_files_in_several_gzip_members(tmp_path):
    path = tmp_path / "a.raw.gz"
    write(path, [snapshot(5)])
    first = path.read_bytes()
    write(path, [depth(6, 6)], start=T0 * 1_000_000 + 1)
    path.write_bytes(first + path.read_bytes())
    assert load(path).update_id[-1] == 6


def test_no_file():
    with pytest.raises(InvalidInput, match="does not exist"):
        load("nothing.raw")
    with pytest.raises(InvalidInput, match="no file given"):
        load([])


amounts = st.integers(0, 10**9).map(lambda n: f"{n / 10**8:.8f}")
prices = st.integers(1, 10**10).map(lambda n: f"{n / 100:.2f}")


@given(st.lists(st.tuples(*(st.lists(st.tuples(prices, amounts), max_size=4),) * 2), max_size=6))
def test_levels_come_out_as_they_went_in(tmp_path_factory, updates):
    path = tmp_path_factory.mktemp("raw") / "a.raw"
    messages = [depth(6 + n, 6 + n, bids, asks) for n, (bids, asks) in enumerate(updates)]
    events = load(write(path, [snapshot(5), *messages]))
    rows = events.rows(5, len(events))
    expected = [
        (float(price), float(amount), side, 6 + n)
        for n, (bids, asks) in enumerate(updates)
        for side, levels in ((1, bids), (-1, asks))
        for price, amount in levels
    ]
    got = zip(rows.price.tolist(), rows.amount.tolist(), rows.side.tolist(), rows.update_id.tolist(), strict=True)
    assert list(got) == expected
    assert rows.flags.sum() == sum(bool(bids or asks) for bids, asks in updates)


@pytest.mark.parametrize(("names", "pair"), [(FUTURES, "BTC/USDT:USDT"), (SPOT, "BTC/USDT")])
def test_recorded_streams_against_a_reader_of_messages(names, pair):
    files = [recording(name) for name in names]
    events = import_raw(files, exchange="binance", trading_pair=pair)
    assert "gaps" not in events.info
    messages = [data for path in files for _, data in raw_lines(path)]
    start = next(data for data in messages if "lastUpdateId" in data)
    book = tuple({float(p): float(q) for p, q in start[key]} for key in ("bids", "asks"))
    updates = [data for data in messages if data.get("e") == "depthUpdate" and data["u"] > start["lastUpdateId"]]
    for data in updates:
        for side, key in zip(book, ("b", "a"), strict=True):
            side.update({float(p): float(q) for p, q in data[key]})
    is_book = (events.kind == EventKind.DEPTH) | (events.kind == EventKind.SNAPSHOT)
    for side, expected in ((1, book[0]), (-1, book[1])):
        rows = is_book & (events.side == side)
        assert dict(zip(events.price[rows].tolist(), events.amount[rows].tolist(), strict=True)) == expected
    rows = events.kind == EventKind.DEPTH
    assert rows.sum() == sum(len(data["b"]) + len(data["a"]) for data in updates)
    trades = [data for data in messages if data.get("e") == "trade" and data.get("X", "MARKET") == "MARKET"]
    rows = events.kind == EventKind.TRADE
    count = int(rows.sum())
    assert events.update_id[rows].tolist() == [data["t"] for data in trades[-count:]]
    assert events.side[rows].tolist() == [-1 if data["m"] else 1 for data in trades[-count:]]
    assert len(trades) - count < 10, "a few came before the snapshot"


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=3), st.booleans())
def test_no_damage_gets_past_the_kit(tmp_path_factory, place, junk, zipped):
    path = tmp_path_factory.mktemp("raw") / ("a.raw.gz" if zipped else "a.raw")
    whole = bytearray(write(path, [snapshot(5), depth(6, 6), trade(1), depth(7, 9, previous=6)]).read_bytes())
    at = place % len(whole)
    whole[at : at + len(junk)] = junk
    path.write_bytes(whole)
    try:
        events = load(path, book_tickers=True)
    except InvalidInput:
        return
    assert np.isfinite(events.price).all()
    assert (events.amount >= 0).all()
