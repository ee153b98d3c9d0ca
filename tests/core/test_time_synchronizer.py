import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.core.manual_time import ManualTime
from kit.core.time_synchronizer import TimeSynchronizer
from kit.errors import InvalidInput, NetworkUnavailable

WALL = 1.7e9


class Server:
    """A server whose clock differs by ``offset`` seconds and whose answers take ``there`` and ``back`` seconds."""

    def __init__(self, time: ManualTime, offset: float) -> None:
        self.time, self.offset = time, offset
        self.there = self.back = 0.05
        self.origin = time.time() - time.monotonic()

    async def ask(self) -> float:
        self.time.jump(self.there)
        answer = self.origin + self.time.monotonic() + self.offset
        self.time.jump(self.back)
        return answer


async def test_before_the_first_sample_it_tells_the_local_time() -> None:
    time = ManualTime(WALL)
    synchronizer = TimeSynchronizer(time)
    time.jump(5.0)
    assert synchronizer.time() == WALL + 5.0
    assert (synchronizer.offset, synchronizer.sample_count) == (0.0, 0)
    assert math.isnan(synchronizer.round_trip)


async def test_the_server_answers_in_the_middle_of_the_round_trip() -> None:
    time = ManualTime(WALL)
    synchronizer, server = TimeSynchronizer(time), Server(time, offset=-7.25)
    await synchronizer.update(server.ask)
    assert synchronizer.offset == pytest.approx(-7.25, abs=1e-5)
    assert synchronizer.round_trip == pytest.approx(0.1)
    time.jump(100.0)
    assert synchronizer.time() == pytest.approx(time.time() - 7.25, abs=1e-5)


async def test_the_sample_with_the_shortest_round_trip_counts() -> None:
    time = ManualTime(WALL)
    synchronizer, server = TimeSynchronizer(time), Server(time, offset=1.0)
    for there, back in [(0.9, 0.1), (0.02, 0.02), (0.1, 0.7)]:
        server.there, server.back = there, back
        await synchronizer.update(server.ask)
    assert synchronizer.offset == pytest.approx(1.0, abs=1e-5)
    assert synchronizer.round_trip == pytest.approx(0.04)


async def test_a_blocked_loop_during_a_question_does_not_spoil_the_offset() -> None:
    time = ManualTime(WALL)
    synchronizer, server = TimeSynchronizer(time), Server(time, offset=0.5)
    await synchronizer.update(server.ask)
    server.back = 30.0
    await synchronizer.update(server.ask)
    assert synchronizer.offset == pytest.approx(0.5, abs=1e-5)


async def test_steps_of_the_wall_clock_do_not_move_the_servers_time() -> None:
    time = ManualTime(WALL)
    synchronizer, server = TimeSynchronizer(time), Server(time, offset=2.0)
    await synchronizer.update(server.ask)
    before = synchronizer.time()
    time.step_wall(-3600.0)
    assert synchronizer.time() == before
    assert synchronizer.offset == pytest.approx(3602.0, abs=1e-5)


async def test_a_sample_that_contradicts_the_old_ones_replaces_them() -> None:
    time = ManualTime(WALL)
    synchronizer, server = TimeSynchronizer(time), Server(time, offset=0.0)
    for _ in range(10):
        await synchronizer.update(server.ask)
    server.offset = 3600.0  # the machine slept an hour: its monotonic clock stood still
    server.there = server.back = 0.2  # although this round trip is longer than the old ones
    await synchronizer.update(server.ask)
    assert synchronizer.offset == pytest.approx(3600.0, abs=1e-5)
    assert synchronizer.sample_count == 1


async def test_only_the_last_ten_samples_are_kept() -> None:
    time = ManualTime(WALL)
    synchronizer, server = TimeSynchronizer(time), Server(time, offset=0.0)
    server.there = server.back = 0.001
    await synchronizer.update(server.ask)
    server.there = server.back = 0.05
    for _ in range(9):
        await synchronizer.update(server.ask)
    assert synchronizer.round_trip == pytest.approx(0.002)
    await synchronizer.update(server.ask)
    assert synchronizer.round_trip == pytest.approx(0.1)
    assert synchronizer.sample_count == 10


async def test_an_old_sample_gives_way_to_a_fresh_one_of_a_slightly_longer_round_trip() -> None:
    time = ManualTime(WALL)
    synchronizer, server = TimeSynchronizer(time), Server(time, offset=0.0)
    server.there = server.back = 0.020
    await synchronizer.update(server.ask)
    time.jump(3600.0)  # crystals may have parted by 180 ms meanwhile
    server.there = server.back = 0.025
    await synchronizer.update(server.ask)
    assert synchronizer.round_trip == pytest.approx(0.05)


async def test_an_error_of_the_question_is_raised_and_changes_nothing() -> None:
    time = ManualTime(WALL)
    synchronizer = TimeSynchronizer(time)

    async def refuse() -> float:
        raise NetworkUnavailable("no route")

    with pytest.raises(NetworkUnavailable):
        await synchronizer.update(refuse)
    assert synchronizer.sample_count == 0


@pytest.mark.parametrize(
    ("server_time", "before", "after"),
    [(1.7e12, 0, 1), (math.nan, 0, 1), (math.inf, 0, 1), (-1, 0, 1), (WALL, 2, 1), (WALL, math.nan, 1)],
)
def test_impossible_samples_are_refused(server_time: float, before: float, after: float) -> None:
    synchronizer = TimeSynchronizer(ManualTime(WALL))
    with pytest.raises(InvalidInput):
        synchronizer.add_sample(server_time, before, after)
    assert synchronizer.sample_count == 0


@given(
    st.floats(-1000, 1000),
    st.lists(st.tuples(st.floats(0.001, 2.0), st.floats(0.001, 2.0), st.floats(0, 60)), min_size=1, max_size=25),
    st.randoms(use_true_random=False),
)
def test_the_error_is_never_more_than_half_the_shortest_recent_round_trip(
    offset: float, trips: list[tuple[float, float, float]], rng: random.Random
) -> None:
    """With a server of whole milliseconds and clocks that do not drift."""
    synchronizer = TimeSynchronizer(ManualTime(WALL))
    now = rng.uniform(0, 1000)
    for there, back, pause in trips:
        stamped = math.floor((WALL + now + there + offset) * 1000) / 1000
        synchronizer.add_sample(stamped, now, now + there + back)
        now += there + back + pause
    shortest = min(there + back for there, back, _ in trips[-10:])
    estimate = synchronizer._best.offset - WALL  # type: ignore[union-attr]
    drift_allowance = 50e-6 * (now + 60)
    assert abs(estimate - offset) <= shortest / 2 + 0.0011 + drift_allowance
