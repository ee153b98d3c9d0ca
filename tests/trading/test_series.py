import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.trading.series import Series


def test_samples_come_at_most_every_interval():
    series = Series(1.0)
    assert [series.add(time, time) for time in (0.0, 0.5, 1.0, 1.25, 1.95, 3.0)] == [
        True,
        False,
        True,
        False,
        True,
        True,
    ]
    assert series.rows() == [(0.0, 0.0), (1.0, 1.0), (1.95, 1.95), (3.0, 3.0)]
    assert series.rows(since=1.0) == [(1.95, 1.95), (3.0, 3.0)]
    assert series.last == (3.0, 3.0)
    assert series.version == 4


def test_a_clock_that_was_set_back_begins_anew():
    series = Series()
    series.add(100.0, 1)
    assert series.add(50.0, 2)
    assert series.rows() == [(50.0, 2)]


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_a_time_that_is_none_is_passed_over(time):
    series = Series()
    assert not series.add(time, 1)
    assert series.rows() == []
    assert series.last is None


def test_a_day_is_bounded_and_covered_and_its_end_is_whole():
    series = Series()
    for second in range(86_400):
        series.add(float(second), second)
    rows = series.rows()
    assert len(rows) <= 2700
    assert [row[0] for row in rows[-900:]] == list(map(float, range(85_500, 86_400)))
    older = [row[0] for row in rows[:-900]]
    assert older[0] < 100
    assert max(after - before for before, after in itertools.pairwise(older)) <= 64


@given(st.integers(0, 3000), st.integers(1, 20), st.integers(2, 20))
def test_rows_stay_in_order_and_bounded(count, recent, kept):
    series = Series(recent=recent, kept=kept)
    for second in range(count):
        series.add(float(second))
    times = [row[0] for row in series.rows()]
    assert times == sorted(set(times))
    assert len(times) == len(series) <= recent + kept
    assert times[-recent:] == list(map(float, range(max(count - recent, 0), count)))
