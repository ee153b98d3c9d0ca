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
