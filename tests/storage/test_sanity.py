"""The check of market events: every planted oddity is found, clean events are clean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.storage.clock_offset import correct_clock
from kit.storage.crossed_books import crossed_books
from kit.storage.events import EventKind, MarketEvents
from kit.storage.importers import import_raw
from kit.storage.sanity import check
from tests.support.market_recordings import recording
from tests.support.recordings import FUTURES

SECOND = 1_000_000_000
D, T, C, S, G, B = (EventKind[name] for name in ("DEPTH", "TRADE", "CLEAR", "SNAPSHOT", "GAP", "BBO"))


def events(*rows):
    """Rows of (kind, side, price, amount, id, more), a second apart, 10 ms after the exchange's time."""
    full = []
    for number, (kind, side, price, amount, update_id, *more) in enumerate(rows, 1):
        options = more[0] if more else {}
        local = options.get("local", number * SECOND)
        exch = options.get("exch", local - 10_000_000)
        full.append((exch, local, kind, side, price, amount, update_id, options.get("flags", 1)))
    return MarketEvents.from_rows("binance", "AAA/BBB", full)


BASE = (
    (C, 0, 0.0, 0.0, 5, {"flags": 0}),
    (S, 1, 10.0, 1.0, 5, {"flags": 0}),
    (S, -1, 11.0, 1.0, 5),
)


def problems(*rows, **options):
    return {one.problem: one for one in check(events(*BASE, *rows), **options).problems}


def test_clean_events_are_clean():
    report = check(events(*BASE, (D, 1, 10.5, 1, 6), (T, 1, 11.0, 1, 1), (T, -1, 10.5, 1, 2)))
    assert report.ok
    assert report.problems == ()
    assert report.frame().empty
    assert "no errors" in report._repr_html_()
    assert repr(report) == "<SanityReport of 6 rows: nothing odd>"


@pytest.mark.parametrize(
    ("name", "severity", "row"),
    [
        ("local time goes back", "error", (D, 1, 9.0, 1, 6, {"local": SECOND})),
        ("price not finite", "error", (D, 1, float("nan"), 1, 6)),
        ("amount not finite", "error", (D, 1, 9.0, float("inf"), 6)),
        ("amount negative", "error", (D, 1, 9.0, -1, 6)),
        ("price negative", "error", (D, 1, -9.0, 1, 6)),
        ("price zero", "error", (D, 1, 0.0, 1, 6)),
        ("unknown kind", "error", (77, 1, 9.0, 1, 6)),
        ("unknown side", "error", (D, 3, 9.0, 1, 6)),
        ("level without a side", "error", (D, 0, 9.0, 1, 6)),
        ("crossed book", "error", (D, 1, 12.0, 1, 6)),
        ("zero spread", "note", (D, 1, 11.0, 1, 6)),
        ("exchange time not told", "note", (D, 1, 9.0, 1, 6, {"exch": 0})),
        ("exchange time goes back", "note", (D, 1, 9.0, 1, 6, {"exch": SECOND})),
        ("arrives before it happened", "note", (D, 1, 9.0, 1, 6, {"exch": 9 * SECOND})),
        ("late", "note", (D, 1, 9.0, 1, 6, {"local": 9 * SECOND, "exch": 5 * SECOND})),
        ("silence", "note", (D, 1, 9.0, 1, 6, {"local": 99 * SECOND})),
        ("trade of nothing", "note", (T, 1, 11.0, 0, 6)),
        ("trade without a side", "note", (T, 0, 11.0, 1, 6)),
    ],
)
def test_planted_oddities_are_found(name, severity, row):
    found = problems(row)
    assert name in found
    assert (found[name].severity, found[name].count, found[name].first_row) == (severity, 1, 3)


def test_a_gap_has_something_before_and_after_it():
    """A recorder marks its own start and end with the same row."""
    gap = (G, 0, 0.0, 0.0, 0)
    found = problems(gap, (D, 1, 9.0, 1, 6), gap, gap)["gap"]
    assert (found.severity, found.count, found.first_row) == ("note", 1, len(BASE))
    assert "gap" not in {one.problem for one in check(events(gap, *BASE, gap)).problems}
    assert problems((D, 1, 9.0, 1, 6)).get("gap") is None


def test_ids():
    assert problems((D, 1, 9.0, 1, 7), (D, 1, 9.0, 2, 6))["update id goes back"].first_row == 4
    assert "update id goes back" not in problems((D, 1, 9.0, 1, 7), (G, 0, 0.0, 0.0, 0), (D, 1, 9.0, 2, 6))
    assert problems((D, 1, 9.0, 1, 7, {"flags": 0}), (D, 1, 9.0, 2, 7))["level twice in a message"].count == 1
    assert problems((T, 1, 11.0, 1, 7), (T, 1, 11.0, 1, 7))["trade id twice"].first_row == 4
    trades = [(T, 1, 11.0, 1, number) for number in range(1, 300) if number != 200]
    assert problems(*trades)["trade ids missing"].detail.startswith("1 trades")
    assert "trade ids missing" not in problems(*[(T, 1, 11.0, 1, number * 2) for number in range(1, 9)])
    assert check(events((D, 1, 9.0, 1, 7), *BASE)).problems[0].problem == "update before a snapshot"
    found = problems((B, 1, 10.0, 1, 7, {"flags": 0}), (B, -1, 10.0, 1, 7))
    assert found["crossed ticker"].count == 1


def test_errors_come_first_in_the_frame():
    frame = check(events(*BASE, (D, 1, 9.0, 1, 6, {"exch": 0}), (D, 1, 12.0, 1, 7)), late=2).frame()
    assert frame["severity"].tolist() == ["error", "note"]
    assert str(frame["first_time"].dtype).endswith("UTC]")
    assert "crossed book" not in problems((D, 1, 12.0, 1, 6), books=False)


levels = st.tuples(st.sampled_from([1, -1]), st.integers(1, 12), st.integers(0, 2), st.booleans())


@given(st.lists(levels, max_size=60))
def test_crossed_books_are_those_of_a_plain_book(rows):
    made = MarketEvents.from_rows(
        "x", "A/B", [(0, 0, D, side, float(p), float(q), 0, int(end)) for side, p, q, end in rows]
    )
    book, crossed, locked = {1: {}, -1: {}}, [], []
    for row, (side, price, amount, end) in enumerate(rows):
        book[side][price] = amount
        bid = max((p for p, q in book[1].items() if q), default=0)
        ask = min((p for p, q in book[-1].items() if q), default=99)
        if end and bid > ask:
            crossed.append(row)
        elif end and bid == ask:
            locked.append(row)
    found = crossed_books(made)
    assert (found[0].tolist(), found[1].tolist()) == (crossed, locked)


def test_the_clock_is_corrected_by_one_constant():
    late = events((D, 1, 9.0, 1, 6, {"exch": 3 * SECOND}), (D, 1, 9.0, 1, 6), (D, 1, 9.0, 1, 6, {"exch": 0}))
    right = correct_clock(late, least_latency=0.25)
    assert (right.local_ts - late.local_ts).tolist() == [2_250_000_000] * 3
    assert right.info["clock_offset"] == "2.250000000"
    assert correct_clock(right) is right
    assert correct_clock(events((D, 1, 9.0, 1, 6, {"exch": 0}))).local_ts[0] == SECOND
    with pytest.raises(InvalidInput, match="least_latency"):
        correct_clock(late, least_latency=-1)


def test_a_recorded_stream_has_no_errors():
    found = import_raw(recording(FUTURES[0]), exchange="binance", trading_pair="BTC/USDT:USDT")
    report = check(found)
    assert report.ok
    assert {one.problem for one in report.problems} == {"exchange time goes back", "arrives before it happened"}
    right = correct_clock(found)
    assert np.min(right.local_ts - right.exch_ts) == 0
    assert {one.problem for one in check(right, books=False).problems} == {"exchange time goes back"}
