import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.core.ticks import TickGrid, TickMeter

SIZES = st.sampled_from([0.01, 0.03, 0.1, 0.25, 0.3, 0.7, 1.0, 1.5, 60.0])


@given(SIZES, st.integers(0, 10**12))
def test_ticks_are_the_floats_nearest_to_the_multiples(size: float, index: int) -> None:
    assert TickGrid(size).time_of(index) == float(Fraction(repr(size)) * index)


@given(SIZES, st.floats(0, 4e9))
def test_the_index_is_that_of_the_last_tick_not_after_the_time(size: float, timestamp: float) -> None:
    grid = TickGrid(size)
    index = grid.index_at(timestamp)
    assert grid.time_of(index) <= timestamp < grid.time_of(index + 1)


@given(SIZES, st.integers(0, 10**11))
def test_index_and_time_are_inverse(size: float, index: int) -> None:
    grid = TickGrid(size)
    assert grid.index_at(grid.time_of(index)) == index


@given(SIZES, st.integers(1, 10**11))
def test_a_moment_before_a_tick_belongs_to_the_one_before(size: float, index: int) -> None:
    grid = TickGrid(size)
    assert grid.index_at(math.nextafter(grid.time_of(index), 0.0)) == index - 1


def test_three_tenths_is_three_tenths() -> None:
    assert TickGrid(0.1).time_of(3) == 0.3
    assert TickGrid(0.1).index_at(0.3) == 3


def test_the_meter_counts_and_measures() -> None:
    meter = TickMeter(tick_size=1.0, late_threshold=0.25)
    assert [meter.record(0.1, 0), meter.record(0.3, 0), meter.record(0.0, 2), meter.record(0.25, 0)] == [
        False,
        True,
        True,
        False,
    ]
    stats = meter.stats({"a": 2, "b": 1})
    assert (stats.ticks, stats.ticks_late, stats.ticks_skipped) == (4, 2, 2)
    assert (stats.last_lateness, stats.max_lateness, stats.max_lag) == (0.25, 0.3, 2.0)
    assert (stats.child_errors, stats.errors_by_child) == (3, {"a": 2, "b": 1})


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_p99_is_the_smallest_lateness_that_99_percent_do_not_exceed(latenesses: list[float]) -> None:
    meter = TickMeter(1.0, 0.25)
    for lateness in latenesses:
        meter.record(lateness, 0)
    p99 = meter.stats({}).p99_lateness
    assert sum(lateness <= p99 for lateness in latenesses) >= 0.99 * len(latenesses)
    below = [lateness for lateness in latenesses if lateness < p99]
    assert len(below) < 0.99 * len(latenesses)


def test_the_window_of_p99_is_bounded_and_forgets() -> None:
    meter = TickMeter(1.0, 0.25)
    meter.record(9.0, 0)
    for _ in range(1000):
        meter.record(0.0, 0)
    assert meter.stats({}).p99_lateness == 0.0
    assert meter.stats({}).max_lateness == 9.0


def test_a_meter_without_ticks_has_figures() -> None:
    stats = TickMeter(1.0, 0.25).stats({})
    assert (stats.ticks, stats.p99_lateness, stats.max_lag) == (0, 0.0, 0.0)
    assert not math.isnan(stats.last_lateness)


def test_stats_do_not_change_afterwards() -> None:
    errors = {"a": 1}
    meter = TickMeter(1.0, 0.25)
    stats = meter.stats(errors)
    errors["a"] = 5
    meter.record(1.0, 1)
    assert stats.errors_by_child == {"a": 1}
    assert stats.ticks == 0
    with pytest.raises(AttributeError):
        stats.ticks = 3  # type: ignore[misc]
