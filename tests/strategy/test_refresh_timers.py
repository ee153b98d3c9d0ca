from __future__ import annotations

import math

from kit.strategy.refresh_timers import RefreshTimers


def test_a_placement_sets_both_times():
    timers = RefreshTimers()
    timers.placed(1, 5)
    assert (timers.create_at, timers.cancel_at) == (6, 6)


def test_a_fill_delays_placing_and_brings_the_rest_down_by_then():
    timers = RefreshTimers()
    timers.placed(1, 5)
    timers.filled(2, 1)
    assert (timers.create_at, timers.cancel_at) == (3, 3)
    timers.placed(4, 5)
    timers.filled(5, 60)
    assert (timers.create_at, timers.cancel_at) == (65, 9)


def test_after_a_withdrawal_quotes_come_back_at_once_but_not_within_a_delay():
    timers = RefreshTimers()
    timers.placed(1, 30)
    timers.withdrawn(3)
    assert timers.create_at == 3
    timers.placed(4, 30)
    timers.filled(5, 10)
    timers.withdrawn(6)
    assert timers.create_at == 15
    timers.reset()
    assert timers.create_at == -math.inf


def test_changed_times_count_from_the_placement_or_the_fill_that_set_them():
    timers = RefreshTimers()
    timers.reschedule(9, 9)
    assert timers.create_at == timers.cancel_at == -math.inf
    timers.placed(1, 3600)
    timers.reschedule(5, 60)
    assert (timers.create_at, timers.cancel_at) == (6, 6)
    timers.filled(2, 3600)
    timers.reschedule(5, 1)
    assert (timers.create_at, timers.cancel_at, timers.hold_until) == (3, 3, 3)
    timers.reschedule(5, 100)
    assert (timers.create_at, timers.cancel_at, timers.hold_until) == (102, 6, 102)
    timers.placed(103, 5)
    timers.reschedule(7, 1)
    assert (timers.create_at, timers.cancel_at) == (110, 110)
    assert timers.hold_until == 102
    timers.reschedule(7, 500)
    assert (timers.create_at, timers.hold_until) == (110, 102), "the pause was over when orders were placed"
    timers.withdrawn(104)
    timers.reschedule(50, 1)
    assert timers.create_at <= 104, "what was withdrawn does not wait"


def test_what_is_placed_after_a_withdrawal_rests_for_the_whole_time():
    timers = RefreshTimers()
    timers.placed(1, 30)
    timers.withdrawn(10)
    timers.placed(11, 30)
    assert (timers.create_at, timers.cancel_at) == (41, 41)
