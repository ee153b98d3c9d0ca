from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.simulation.feed import FeedColumns
from kit.simulation.latency import ConstantLatency, FeedLatency, NoLatency, RecordedLatency
from kit.storage.events import EventKind, MarketEvents

MS = 1_000_000


def test_no_latency_is_zero():
    model = NoLatency()
    assert (model.entry(5), model.response(5), model.response_floor_ns) == (0, 0, 0)


def test_constant_latency_is_in_seconds():
    model = ConstantLatency(0.010, 0.0025)
    assert (model.entry(1), model.response(1), model.response_floor_ns) == (10 * MS, 2_500_000, 2_500_000)


@pytest.mark.parametrize("value", [-0.001, float("nan"), float("inf"), 10_000.0])
def test_a_latency_out_of_range_is_refused_with_the_range(value: float):
    with pytest.raises(InvalidInput, match="between 0 and 3600 seconds"):
        ConstantLatency(value, 0.0)


def test_recorded_latency_interpolates_and_holds_at_the_ends():
    model = RecordedLatency([[1000, 1100, 1300], [2000, 2300, 2400]])
    assert [model.entry(t) for t in (0, 1000, 1500, 2000, 9000)] == [100, 100, 200, 300, 300]
    assert [model.response(t) for t in (0, 1100, 1700, 2300, 9000)] == [200, 200, 150, 100, 100]
    assert model.response_floor_ns == 100
    farther = RecordedLatency([[1000, 1100, 1300]], offset=1e-6)
    assert (farther.entry(0), farther.response(0)) == (1100, 1200)


def test_a_lost_request_loses_those_next_to_it():
    model = RecordedLatency([[1000, 1100, 1300], [2000, 0, 2500], [3000, 3100, 3200], [4000, 4100, 4200]])
    assert [model.entry(t) for t in (999, 1500, 2500, 3000, 3500)] == [100, None, None, 100, 100]
    assert model.rejection(2000) == 500


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([[2, 3, 4], [1, 3, 4]], "row 1 is sent before"),
        ([[5, 3, 6]], "reaches the exchange before"),
        ([[1, 5, 4]], "answered before it reaches"),
        ([[1, 0, 4]], "every row"),
        ([1, 2, 3], "shape"),
    ],
)
def test_damaged_rows_are_refused(rows: list[object], word: str):
    with pytest.raises(InvalidInput, match=word):
        RecordedLatency(rows)


def test_feed_latency_follows_the_feed():
    rows = [(s * 10**9, s * 10**9 + took * MS, EventKind.TRADE, 1, 1.0, 1.0, 0, 0) for s, took in ((1, 10), (2, 30))]
    feed = FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", rows), "1", "1")
    model = FeedLatency(feed, request_factor=2.0, answer_factor=0.5, answer_offset=0.001)
    assert model.entry(0) == 20 * MS
    assert model.entry(10**10) == 60 * MS
    assert model.response(0) == 6 * MS
    assert model.response_floor_ns == 6 * MS
    assert 20 * MS < (model.entry(15 * 10**8) or 0) < 60 * MS
    with pytest.raises(InvalidInput, match="request_factor"):
        FeedLatency(feed, request_factor=-1.0)


@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 3), min_size=1, max_size=20), st.integers(0, 30_000))
def test_no_response_is_faster_than_the_floor(parts: list[tuple[int, int, int]], moment: int):
    rows = np.cumsum([part[0] for part in parts])[:, None] + np.array([[1, 1 + e, 1 + e + r] for _, e, r in parts])
    model = RecordedLatency(rows)
    assert model.response(moment) >= model.response_floor_ns >= 0
