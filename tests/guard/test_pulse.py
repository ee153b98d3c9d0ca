from kit.guard.pulse import Pulse


def look_until(pulse, start, end):
    """Look in time; return when the stall was told."""
    now, told = start, []
    while now < end:
        now += pulse.interval
        if pulse.look(now):
            told.append(now)
    return told


def test_a_stall_is_told_once():
    pulse = Pulse(10.0, 100.0)
    (told,) = look_until(pulse, 100.0, 200.0)
    assert 110 < told <= 110.3


def test_a_beat_puts_it_off_and_ends_it():
    pulse = Pulse(10.0, 0.0)
    assert look_until(pulse, 0.0, 9.0) == []
    assert pulse.beat(9.0) == 9.0
    (told,) = look_until(pulse, 9.0, 30.0)
    assert told > 19
    assert pulse.stalled
    pulse.beat(30.0)
    assert not pulse.stalled
    assert len(look_until(pulse, 30.0, 50.0)) == 1


def test_time_in_which_the_guard_itself_did_not_run_does_not_count():
    pulse = Pulse(10.0, 0.0)
    assert look_until(pulse, 0.0, 5.0) == []
    assert not pulse.look(1000.0)  # the machine slept
    (told,) = look_until(pulse, 1000.0, 1020.0)
    assert 1004 < told < 1006
