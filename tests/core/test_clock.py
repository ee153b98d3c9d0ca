import asyncio
import contextlib
import logging
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.clock import SYSTEM_TIME, Clock, ClockMode
from kit.core.manual_time import ManualTime
from kit.core.ticks import TickGrid
from kit.core.time_iterator import TimeIterator
from kit.errors import InvalidInput, NotReady, StrategyError
from kit.types.events import ClockLateEvent, MarketEvent
from tests.support.kit_logs import kit_records

BACKTEST = ClockMode.BACKTEST


class Probe(TimeIterator):
    """Records what happens to it, into its own list and, if given, into one shared with others."""

    def __init__(self, name: str = "probe", shared: list[tuple[str, str]] | None = None) -> None:
        super().__init__(name)
        self.ticks: list[float] = []
        self.starts: list[float] = []
        self.stops = 0
        self.shared = shared if shared is not None else []
        self.on_tick: Callable[[float], None] = lambda _timestamp: None

    def start(self, clock: Clock, timestamp: float) -> None:
        super().start(clock, timestamp)
        self.starts.append(timestamp)
        self.shared.append((self.name, "start"))

    def tick(self, timestamp: float) -> None:
        super().tick(timestamp)
        self.ticks.append(timestamp)
        self.shared.append((self.name, "tick"))
        self.on_tick(timestamp)

    def stop(self, clock: Clock) -> None:
        super().stop(clock)
        self.stops += 1
        self.shared.append((self.name, "stop"))


class Failing(Probe):
    def tick(self, timestamp: float) -> None:
        super().tick(timestamp)
        raise ValueError(f"bad tick {timestamp}")


@asynccontextmanager
async def running(clock: Clock, time: ManualTime) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(clock.run())
    await time.settle()
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def lates(clock: Clock) -> list[ClockLateEvent]:
    heard: list[ClockLateEvent] = []
    clock.pubsub.add_listener(MarketEvent.ClockLate, heard.append)
    return heard


# --- ticks in real time -------------------------------------------------------------------------------------------


async def test_ticks_fall_on_multiples_of_the_tick_size_since_the_epoch() -> None:
    time = ManualTime(start=1000.3)
    clock, probe = Clock(tick_size=0.5, time_source=time), Probe()
    clock.add_iterator(probe)
    assert math.isnan(clock.current_timestamp)
    async with running(clock, time):
        assert probe.starts == [1000.0]
        assert clock.current_timestamp == 1000.0
        await time.advance(2.0)
        assert probe.ticks == [1000.5, 1001.0, 1001.5, 1002.0]
        assert clock.current_timestamp == 1002.0
        assert clock.time() == pytest.approx(1002.3)
    assert clock.stats.ticks == 4
    assert clock.stats.ticks_late == 0


async def test_children_tick_in_order_of_insertion_and_stop_in_reverse() -> None:
    time = ManualTime()
    shared: list[tuple[str, str]] = []
    clock = Clock(time_source=time)
    for name in "abc":
        clock.add_iterator(Probe(name, shared))
    async with running(clock, time):
        await time.advance(1.0)
    assert shared == [(name, "start") for name in "abc"] + [(name, "tick") for name in "abc"] + [
        (name, "stop") for name in "cba"
    ]


async def test_run_til_ticks_its_end_and_returns_at_it() -> None:
    time = ManualTime(start=100.2)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    task = asyncio.create_task(clock.run_til(103.0))
    await time.advance(2.7)
    assert not task.done()
    await time.advance(0.2)
    assert task.done()
    assert probe.ticks == [101.0, 102.0, 103.0]
    assert (probe.stops, clock.running) == (1, False)


async def test_run_til_between_ticks_does_not_overshoot() -> None:
    time = ManualTime(start=100.2)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    ended_at: list[float] = []
    task = asyncio.create_task(clock.run_til(102.5))
    task.add_done_callback(lambda _task: ended_at.append(time.time()))
    await time.advance(10.0)
    assert probe.ticks == [101.0, 102.0]
    assert ended_at == [pytest.approx(102.5)]


async def test_run_til_a_time_that_has_passed_returns_without_a_tick() -> None:
    time = ManualTime(start=100.2)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    await clock.run_til(50.0)
    assert (probe.ticks, len(probe.starts), probe.stops) == ([], 1, 1)


async def test_run_ends_at_the_clocks_end_time() -> None:
    time = ManualTime(start=10.0)
    clock, probe = Clock(end_time=12.0, time_source=time), Probe()
    clock.add_iterator(probe)
    task = asyncio.create_task(clock.run())
    await time.advance(5.0)
    assert task.done()
    assert probe.ticks == [11.0, 12.0]


@settings(max_examples=60)
@given(
    st.sampled_from([0.01, 0.1, 0.25, 0.3, 1.0, 7.0]),
    st.floats(0, 2e9),
    st.floats(0.001, 12),
    st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=6),
)
def test_whatever_happens_to_the_loop_ticks_are_multiples_increase_and_end_exactly(
    size: float, start: float, length: float, moves: list[tuple[bool, float]]
) -> None:
    grid = TickGrid(size)
    time = ManualTime(start)
    clock, probe = Clock(tick_size=size, time_source=time), Probe()
    clock.add_iterator(probe)
    heard = lates(clock)
    end = start + length * size
    seen_at: list[float] = []
    probe.on_tick = lambda _timestamp: seen_at.append(time.time())

    async def drive() -> None:
        task = asyncio.create_task(clock.run_til(end))
        await time.settle()
        for blocked, ticks in moves:
            if blocked:
                time.jump(ticks * size)
            else:
                await time.advance(ticks * size)
        await time.advance((length + 40) * size)
        assert task.done()

    asyncio.run(drive())
    indices = [grid.index_at(timestamp) for timestamp in probe.ticks]
    assert [grid.time_of(index) for index in indices] == probe.ticks
    assert indices == sorted(set(indices))
    first, last = grid.index_at(start) + 1, grid.index_at(end)
    assert all(first <= index <= last for index in indices)
    assert clock.stats.ticks == len(indices)
    assert clock.stats.ticks + clock.stats.ticks_skipped == last - first + 1  # every tick ran or was reported
    assert sum(event.skipped for event in heard) == clock.stats.ticks_skipped
    assert all(at >= timestamp for at, timestamp in zip(seen_at, probe.ticks, strict=True))


async def test_a_day_of_ticks_does_not_drift() -> None:
    time = ManualTime(start=1.7e9 + 0.123)
    clock, probe = Clock(tick_size=60.0, time_source=time), Probe()
    clock.add_iterator(probe)
    async with running(clock, time):
        await time.advance(86_400.0)
    assert len(probe.ticks) == 1440
    assert all(timestamp % 60 == 0 for timestamp in probe.ticks)
    assert clock.stats.max_lateness < 1e-3


# --- lateness -----------------------------------------------------------------------------------------------------


async def test_a_cell_that_blocks_the_loop_skips_reports_and_goes_on_aligned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time = ManualTime(start=100.0)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    heard = lates(clock)
    async with running(clock, time):
        await time.advance(2.0)
        time.jump(3.5)  # nothing runs from 102.0 to 105.5
        with caplog.at_level(logging.WARNING):
            await time.advance(0.0)
        assert probe.ticks == [101.0, 102.0, 105.0]
        await time.advance(2.0)
        assert probe.ticks[3:] == [106.0, 107.0]
    assert heard == [ClockLateEvent(105.0, 0.5, 2)]
    stats = clock.stats
    assert (stats.ticks, stats.ticks_late, stats.ticks_skipped) == (5, 1, 2)
    assert (stats.max_lateness, stats.max_lag, stats.last_lateness) == (0.5, 2.5, 0.0)
    assert "2 ticks before it were skipped" in caplog.text


async def test_children_that_overrun_skip_ticks_which_are_reported() -> None:
    time = ManualTime(start=0.0)
    clock, probe = Clock(tick_size=0.1, time_source=time), Probe()
    probe.on_tick = lambda _timestamp: time.jump(0.25)
    clock.add_iterator(probe)
    heard = lates(clock)
    async with running(clock, time):
        await time.advance(1.0)
    assert probe.ticks == [0.1, 0.4, 0.7, 1.0]
    assert [event.skipped for event in heard] == [2, 2, 2]
    assert clock.stats.ticks_skipped == 6


async def test_lateness_below_the_threshold_is_measured_but_not_an_event() -> None:
    time = ManualTime(start=0.0)
    clock = Clock(time_source=time, late_threshold=0.3)
    heard = lates(clock)
    async with running(clock, time):
        time.jump(1.2)
        await time.advance(0.0)
        assert clock.stats.last_lateness == pytest.approx(0.2)
        assert heard == []
        time.jump(1.2)
        await time.advance(0.0)
    assert [(event.timestamp, event.skipped) for event in heard] == [(2.0, 0)]
    assert heard[0].lateness == pytest.approx(0.4)
    assert clock.stats.ticks_late == 1


async def test_the_late_event_comes_before_the_children_tick() -> None:
    time = ManualTime(start=0.0)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    order: list[object] = []
    probe.on_tick = order.append
    clock.pubsub.add_listener(MarketEvent.ClockLate, lambda event: order.append(type(event).__name__))
    async with running(clock, time):
        time.jump(1.5)
        await time.advance(0.0)
    assert order == ["ClockLateEvent", 1.0]


async def test_ticks_missed_at_the_very_end_are_reported_too() -> None:
    time = ManualTime(start=0.0)
    clock, probe = Clock(time_source=time), Probe()
    probe.on_tick = lambda _timestamp: time.jump(5.5)
    clock.add_iterator(probe)
    heard = lates(clock)
    task = asyncio.create_task(clock.run_til(3.0))
    await time.advance(1.0)
    assert task.done()
    assert probe.ticks == [1.0]
    assert heard == [ClockLateEvent(3.0, 3.5, 2)]
    assert clock.stats.ticks_skipped == 2


async def test_late_logs_do_not_flood(caplog: pytest.LogCaptureFixture) -> None:
    time = ManualTime(start=0.0)
    clock, probe = Clock(tick_size=0.1, time_source=time), Probe()
    probe.on_tick = lambda _timestamp: time.jump(0.25)
    clock.add_iterator(probe)
    with caplog.at_level(logging.WARNING):
        async with running(clock, time):
            await time.advance(29.9)
    assert clock.stats.ticks_late > 90
    assert len(kit_records(caplog)) == 3


async def test_other_tasks_get_their_turn_beside_children_that_always_overrun() -> None:
    time = ManualTime(start=0.0)
    clock, probe = Clock(tick_size=0.1, time_source=time), Probe()
    probe.on_tick = lambda _timestamp: time.jump(0.1)  # ends exactly when the next is due
    clock.add_iterator(probe)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(other())
    async with running(clock, time):
        await time.advance(2.0)
    task.cancel()
    assert turns >= len(probe.ticks) > 5


async def test_a_wall_clock_set_back_does_not_freeze_the_ticks(caplog: pytest.LogCaptureFixture) -> None:
    time = ManualTime(start=10_000.0)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    async with running(clock, time):
        await time.advance(2.0)
        time.step_wall(-3600.0)
        await time.advance(3.0)
        assert probe.ticks == [10_001.0, 10_002.0, 10_003.0, 10_004.0, 10_005.0]
        time.step_wall(3600.0)  # set right again: no hour of skipped ticks
        await time.advance(2.0)
    assert probe.ticks[5:] == [10_006.0, 10_007.0]
    assert clock.stats.ticks_skipped == 0
    assert "set back" in caplog.text


async def test_a_machine_that_slept_skips_the_time_it_slept() -> None:
    time = ManualTime(start=10_000.0)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    async with running(clock, time):
        await time.advance(1.0)
        time.step_wall(3600.0)  # the monotonic clock stands still in sleep
        await time.advance(1.0)
    assert probe.ticks == [10_001.0, 13_602.0]
    assert clock.stats.ticks_skipped == 3600


async def test_stats_begin_anew_with_each_run() -> None:
    time = ManualTime(start=0.0)
    clock = Clock(time_source=time)
    clock.add_iterator(Failing())
    async with running(clock, time):
        time.jump(3.5)
        await time.advance(0.0)
    assert (clock.stats.ticks, clock.stats.ticks_skipped, clock.stats.child_errors) == (1, 2, 1)
    async with running(clock, time):
        assert (clock.stats.ticks, clock.stats.ticks_skipped, clock.stats.child_errors) == (0, 0, 0)


# --- begin, end, again --------------------------------------------------------------------------------------------


async def test_cancelling_the_run_stops_the_children_before_the_task_ends() -> None:
    time = ManualTime()
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    task = asyncio.create_task(clock.run())
    await time.advance(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (probe.stops, probe.clock, clock.running) == (1, None, False)
    assert time.pending == 0
    await time.advance(5.0)
    assert probe.ticks == [1.0]


async def test_the_clock_runs_again_and_starts_its_children_again() -> None:
    time = ManualTime(start=100.0)
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    for _ in range(3):
        async with running(clock, time):
            await time.advance(2.0)
        time.jump(10.0)
    assert probe.starts == [100.0, 112.0, 124.0]
    assert probe.ticks == [101.0, 102.0, 113.0, 114.0, 125.0, 126.0]
    assert probe.stops == 3


async def test_a_second_run_beside_the_first_is_refused_and_harmless() -> None:
    time = ManualTime()
    clock, probe = Clock(time_source=time), Probe()
    clock.add_iterator(probe)
    async with running(clock, time):
        with pytest.raises(NotReady, match="runs already"):
            await clock.run()
        with pytest.raises(NotReady, match="runs already"):
            await clock.run_til(5.0)
        assert clock.running
        await time.advance(2.0)
    assert probe.ticks == [1.0, 2.0]
    assert (len(probe.starts), probe.stops) == (1, 1)


async def test_stop_iteration_ends_the_run_quietly(caplog: pytest.LogCaptureFixture) -> None:
    time = ManualTime()
    clock, first, last = Clock(time_source=time), Probe("first"), Probe("last")

    def enough(timestamp: float) -> None:
        if timestamp == 2.0:
            raise StopIteration

    first.on_tick = enough
    clock.add_iterator(first)
    clock.add_iterator(last)
    task = asyncio.create_task(clock.run())
    with caplog.at_level(logging.WARNING):
        await time.advance(3.0)
    assert task.done()
    assert task.exception() is None
    assert (first.ticks, last.ticks) == ([1.0, 2.0], [1.0])
    assert (first.stops, last.stops) == (1, 1)
    assert clock.stats.child_errors == 0
    assert kit_records(caplog) == []


# --- children come and go -----------------------------------------------------------------------------------------


async def test_a_child_added_while_running_starts_at_once_and_ticks_next() -> None:
    time = ManualTime()
    clock, late = Clock(time_source=time), Probe("late")
    async with running(clock, time):
        await time.advance(1.5)
        clock.add_iterator(late)
        assert late.starts == [1.0]
        assert late.ticks == []
        await time.advance(1.0)
        assert late.ticks == [2.0]
        clock.add_iterator(late)  # twice is once
        assert len(late.starts) == 1
        await time.advance(1.0)
        assert late.ticks == [2.0, 3.0]
    assert late.stops == 1


@pytest.mark.parametrize("mode", ["backtest", "realtime"])
async def test_a_child_added_in_the_middle_of_a_tick_first_ticks_with_the_next(mode: str) -> None:
    time = ManualTime()
    clock = Clock(BACKTEST, end_time=3.0) if mode == "backtest" else Clock(end_time=3.0, time_source=time)
    first, added, last = Probe("first"), Probe("added"), Probe("last")
    first.on_tick = lambda timestamp: clock.add_iterator(added) if timestamp == 1.0 else None
    clock.add_iterator(first)
    clock.add_iterator(last)
    if mode == "backtest":
        clock.backtest()
    else:
        task = asyncio.create_task(clock.run())
        await time.advance(3.0)
        await task
    assert added.starts == [1.0]
    assert added.ticks == [2.0, 3.0]
    assert last.ticks == [1.0, 2.0, 3.0]
    assert clock.children == (first, last, added)


def test_a_child_that_removes_itself_does_not_make_the_next_one_miss_its_tick() -> None:
    clock = Clock(BACKTEST, end_time=3.0)
    first, last = Probe("first"), Probe("last")
    first.on_tick = lambda _timestamp: clock.remove_iterator(first)
    clock.add_iterator(first)
    clock.add_iterator(last)
    clock.backtest()
    assert first.ticks == [1.0]
    assert first.stops == 1
    assert last.ticks == [1.0, 2.0, 3.0]


def test_a_child_removed_in_the_middle_of_a_tick_is_not_ticked_any_more() -> None:
    clock = Clock(BACKTEST, end_time=2.0)
    first, victim, last = Probe("first"), Probe("victim"), Probe("last")
    first.on_tick = lambda _timestamp: clock.remove_iterator(victim)
    for child in (first, victim, last):
        clock.add_iterator(child)
    clock.backtest()
    assert (victim.ticks, victim.stops, victim.clock) == ([], 1, None)
    assert last.ticks == [1.0, 2.0]


def test_a_child_removed_and_added_again_in_one_tick_ticks_with_the_next() -> None:
    clock = Clock(BACKTEST, end_time=2.0)
    first, other = Probe("first"), Probe("other")

    def renew(timestamp: float) -> None:
        if timestamp == 1.0:
            clock.remove_iterator(other)
            clock.add_iterator(other)

    first.on_tick = renew
    clock.add_iterator(first)
    clock.add_iterator(other)
    clock.backtest()
    assert other.ticks == [2.0]
    assert (len(other.starts), other.stops) == (2, 2)


def test_removing_a_child_that_is_not_there_passes() -> None:
    clock, probe = Clock(BACKTEST, end_time=1.0), Probe()
    clock.remove_iterator(probe)
    clock.add_iterator(probe)
    clock.remove_iterator(probe)
    assert probe.stops == 0  # it was never started
    assert clock.children == ()


def test_children_are_told_apart_by_identity() -> None:
    class Equal(Probe):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    clock = Clock(BACKTEST, end_time=1.0)
    first, second = Equal("first"), Equal("second")
    clock.add_iterator(first)
    clock.add_iterator(second)
    clock.remove_iterator(second)
    clock.backtest()
    assert (first.ticks, second.ticks) == ([1.0], [])


@given(st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_any_changes_in_the_middle_of_ticks_leave_the_others_alone(changes: list[tuple[str, int, int]]) -> None:
    """Child ``actor`` adds or removes child ``target`` in its tick; a model follows along."""
    clock = Clock(BACKTEST, end_time=float(len(changes) + 1))
    shared: list[tuple[str, str]] = []
    probes = [Probe(str(number), shared) for number in range(4)]
    steady = Probe("steady", shared)

    def plan(actor: int) -> Callable[[float], None]:
        def act(timestamp: float) -> None:
            action, planned_actor, target = changes[int(timestamp) - 1] if timestamp <= len(changes) else ("", -1, 0)
            if planned_actor != actor:
                return
            if action == "add":
                clock.add_iterator(probes[target])
            else:
                clock.remove_iterator(probes[target])

        return act

    for number, probe in enumerate(probes):
        probe.on_tick = plan(number)
        clock.add_iterator(probe)
    clock.add_iterator(steady)
    clock.backtest()
    assert steady.ticks == [float(number + 1) for number in range(len(changes) + 1)]
    for probe in probes:
        history = [what for name, what in shared if name == probe.name]
        text = "".join({"start": "(", "tick": ".", "stop": ")"}[what] for what in history)
        assert set(text.replace(".", "").replace("()", "")) == set()  # starts and stops pair up
        assert ")." not in text  # no tick after a stop
        assert len(probe.ticks) == len(set(probe.ticks))


# --- errors of children -------------------------------------------------------------------------------------------


async def test_a_failing_child_is_isolated_counted_and_told() -> None:
    time = ManualTime()
    clock, bad, good = Clock(time_source=time), Failing("bad"), Probe("good")
    told: list[tuple[str, str, float]] = []
    clock.on_child_error = lambda child, error, at: told.append((child.name, str(error), at))
    clock.add_iterator(bad)
    clock.add_iterator(good)
    async with running(clock, time):
        await time.advance(3.0)
        assert good.ticks == [1.0, 2.0, 3.0]
        assert bad.ticks == [1.0, 2.0, 3.0]
    assert clock.stats.child_errors == 3
    assert clock.stats.errors_by_child == {"bad": 3}
    assert told == [("bad", f"bad tick {at}", at) for at in (1.0, 2.0, 3.0)]


def test_a_child_that_always_fails_is_logged_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(BACKTEST, end_time=2000.0)
    clock.add_iterator(Failing("bad"))
    with caplog.at_level(logging.ERROR):
        clock.backtest()
    assert clock.stats.child_errors == 2000
    assert [record.args[3] for record in kit_records(caplog) if record.args] == [1, 10, 100, 1000]  # type: ignore[index]
    assert "ValueError: bad tick 1.0" in caplog.text


def test_a_good_tick_ends_a_row_of_failures(caplog: pytest.LogCaptureFixture) -> None:
    clock, probe = Clock(BACKTEST, end_time=6.0), Probe()

    def fail_on_odd(timestamp: float) -> None:
        if timestamp % 2:
            raise ValueError("odd")

    probe.on_tick = fail_on_odd
    clock.add_iterator(probe)
    with caplog.at_level(logging.ERROR):
        clock.backtest()
    assert [record.args[3] for record in kit_records(caplog) if record.args] == [1, 1, 1]  # type: ignore[index]


def test_the_handler_may_end_the_run_with_a_stop_trading_error_and_nothing_else() -> None:
    clock, bad, good = Clock(BACKTEST, end_time=5.0), Failing("bad"), Probe("good")
    clock.add_iterator(bad)
    clock.add_iterator(good)

    def clumsy(*_args: object) -> None:
        raise RuntimeError("a defect of the handler")

    clock.on_child_error = clumsy
    clock.backtest()
    assert len(good.ticks) == 5

    def strict(_child: object, error: Exception, timestamp: float) -> None:
        raise StrategyError("the strategy failed", timestamp) from error

    clock.on_child_error = strict
    with pytest.raises(StrategyError) as caught:
        clock.backtest()
    assert caught.value.timestamp == 1.0
    assert isinstance(caught.value.__cause__, ValueError)
    assert (bad.stops, good.stops, clock.running) == (2, 2, False)


def test_a_child_that_fails_to_start_is_left_out_of_the_run() -> None:
    class Broken(Probe):
        def start(self, clock: Clock, timestamp: float) -> None:
            raise ValueError("no start")

    clock, broken, good = Clock(BACKTEST, end_time=2.0), Broken("broken"), Probe("good")
    clock.add_iterator(broken)
    clock.add_iterator(good)
    clock.backtest()
    assert (broken.ticks, broken.stops) == ([], 0)
    assert good.ticks == [1.0, 2.0]
    assert clock.stats.errors_by_child == {"broken": 1}


def test_a_child_that_fails_to_stop_does_not_keep_the_others_from_it() -> None:
    class Broken(Probe):
        def stop(self, clock: Clock) -> None:
            raise ValueError("no stop")

    clock, good, broken = Clock(BACKTEST, end_time=1.0), Probe("good"), Broken("broken")
    clock.add_iterator(good)
    clock.add_iterator(broken)
    clock.backtest()
    assert good.stops == 1
    assert clock.stats.errors_by_child == {"broken": 1}


def test_a_handler_that_stops_trading_at_a_failing_stop_does_not_keep_the_others_from_theirs() -> None:
    class Broken(Probe):
        def stop(self, clock: Clock) -> None:
            raise ValueError("no stop")

    def strict(_child: object, error: Exception, timestamp: float) -> None:
        raise StrategyError("the strategy failed", timestamp) from error

    clock, good, broken = Clock(BACKTEST, end_time=1.0), Probe("good"), Broken("broken")
    clock.on_child_error = strict
    clock.add_iterator(good)
    clock.add_iterator(broken)
    clock.backtest()
    assert good.stops == 1


def test_a_child_that_failed_to_start_is_tried_again_only_with_the_next_run() -> None:
    class Broken(Probe):
        def start(self, clock: Clock, timestamp: float) -> None:
            super().start(clock, timestamp)
            if len(self.starts) == 1:
                raise ValueError("no start")

    clock, broken = Clock(BACKTEST, end_time=3.0), Broken("broken")
    clock.add_iterator(broken)
    clock.backtest_til(1.0)
    clock.add_iterator(Probe("other"))
    clock.backtest()
    assert broken.starts == [0.0]
    clock.backtest()
    assert broken.ticks == [1.0, 2.0, 3.0]


def test_children_may_add_and_remove_children_while_they_start() -> None:
    clock, victim, added = Clock(BACKTEST, end_time=2.0), Probe("victim"), Probe("added")

    class Leaving(Probe):
        def start(self, clock: Clock, timestamp: float) -> None:
            super().start(clock, timestamp)
            clock.add_iterator(added)
            clock.remove_iterator(victim)
            clock.remove_iterator(self)

    leaving = Leaving("leaving")
    clock.add_iterator(leaving)
    clock.add_iterator(victim)
    clock.backtest()
    assert (leaving.ticks, len(leaving.starts), leaving.stops) == ([], 1, 1)
    assert (victim.ticks, victim.starts, victim.stops) == ([], [], 0)
    assert (added.starts, added.ticks, added.stops) == ([0.0], [1.0, 2.0], 1)


async def test_an_interrupt_in_a_tick_ends_the_run_and_stops_the_children() -> None:
    clock, probe = Clock(BACKTEST, end_time=5.0), Probe()

    def interrupt(_timestamp: float) -> None:
        raise KeyboardInterrupt

    probe.on_tick = interrupt
    clock.add_iterator(probe)
    with pytest.raises(KeyboardInterrupt):
        clock.backtest()
    assert (probe.stops, clock.running) == (1, False)
    probe.on_tick = lambda _timestamp: None
    clock.backtest()
    assert probe.ticks == [1.0, 1.0, 2.0, 3.0, 4.0, 5.0]


# --- backtest -----------------------------------------------------------------------------------------------------


@given(
    st.sampled_from([0.01, 0.1, 0.3, 1.0, 5.0]),
    st.floats(0, 2e9),
    st.floats(0, 50),
    st.lists(st.floats(-5, 60), max_size=4),
)
def test_backtest_ticks_every_multiple_after_the_start_up_to_the_end(
    size: float, start: float, length: float, stops: list[float]
) -> None:
    grid = TickGrid(size)
    end = start + length * size
    clock, probe = Clock(BACKTEST, size, start, end), Probe()
    clock.add_iterator(probe)
    for stop in sorted(stops):  # in steps or at once: the same ticks
        if start + stop * size < end:
            clock.backtest_til(start + stop * size)
    clock.backtest()
    expected = range(grid.index_at(start) + 1, grid.index_at(end) + 1)
    assert probe.ticks == [grid.time_of(index) for index in expected]
    assert probe.starts == [start]
    assert probe.stops == 1


def test_the_reference_example_does_not_overshoot() -> None:
    clock, probe = Clock(BACKTEST, 1.0, start_time=0.5), Probe()
    clock.add_iterator(probe)
    clock.backtest_til(3.0)
    assert probe.ticks == [1.0, 2.0, 3.0]
    clock.backtest_til(3.9)
    assert probe.ticks == [1.0, 2.0, 3.0]
    assert clock.time() == clock.current_timestamp == 3.0
    assert clock.running
    clock.stop_backtest()
    assert (probe.stops, clock.running) == (1, False)


def test_a_backtest_begins_anew_after_its_end() -> None:
    clock, probe = Clock(BACKTEST, start_time=10.0, end_time=12.0), Probe()
    clock.add_iterator(probe)
    clock.backtest()
    clock.backtest()
    assert probe.ticks == [11.0, 12.0, 11.0, 12.0]
    assert (probe.starts, probe.stops) == ([10.0, 10.0], 2)


def test_a_tick_that_drives_its_own_clock_is_refused_as_that_childs_error() -> None:
    clock, probe = Clock(BACKTEST, end_time=2.0), Probe()
    errors: list[Exception] = []
    clock.on_child_error = lambda _child, error, _at: errors.append(error)
    probe.on_tick = lambda _timestamp: clock.backtest_til(2.0)
    clock.add_iterator(probe)
    clock.backtest()
    assert probe.ticks == [1.0, 2.0]
    assert [type(error) for error in errors] == [NotReady, NotReady]


def test_stop_iteration_ends_a_backtest() -> None:
    clock, probe = Clock(BACKTEST, end_time=100.0), Probe()

    def enough(timestamp: float) -> None:
        if timestamp == 3.0:
            raise StopIteration

    probe.on_tick = enough
    clock.add_iterator(probe)
    clock.backtest()
    assert (probe.ticks, probe.stops) == ([1.0, 2.0, 3.0], 1)


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"tick_size": 0.0},
        {"tick_size": 0.009},
        {"tick_size": -1.0},
        {"tick_size": math.nan},
        {"tick_size": math.inf},
        {"start_time": math.nan},
        {"start_time": -math.inf},
        {"start_time": 2.0, "end_time": 1.0},
        {"end_time": math.nan},
        {"late_threshold": -0.1},
        {"late_threshold": math.nan},
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        Clock(**arguments)


async def test_a_mode_refuses_the_other_modes_driver() -> None:
    with pytest.raises(InvalidInput, match="BACKTEST mode"):
        await Clock(BACKTEST, end_time=1.0).run()
    with pytest.raises(InvalidInput, match="REALTIME mode"):
        Clock().backtest()
    with pytest.raises(InvalidInput, match="never ends"):
        Clock(BACKTEST).backtest()
    for bad in (math.nan, -math.inf):
        with pytest.raises(InvalidInput, match="seconds since the epoch"):
            await Clock().run_til(bad)
        with pytest.raises(InvalidInput, match="seconds since the epoch"):
            Clock(BACKTEST, end_time=9.0).backtest_til(bad)


def test_what_cannot_be_ticked_is_refused_when_it_is_added() -> None:
    class Wrong(TimeIterator):
        async def tick(self, timestamp: float) -> None:  # type: ignore[override]
            """Nobody would await it."""

    with pytest.raises(InvalidInput, match="coroutine function"):
        Clock().add_iterator(Wrong())  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="no method start"):
        Clock().add_iterator(object())  # type: ignore[arg-type]


# --- with real time, and with a patched loop ----------------------------------------------------------------------


async def test_real_time_ticks_are_never_early_and_all_told_of() -> None:
    clock, probe = Clock(tick_size=0.01, late_threshold=60.0), Probe()
    lateness: list[float] = []
    probe.on_tick = lambda timestamp: lateness.append(SYSTEM_TIME.time() - timestamp)
    clock.add_iterator(probe)
    end = SYSTEM_TIME.time() + 0.1
    await clock.run_til(end)
    stats = clock.stats
    assert stats.ticks + stats.ticks_skipped == pytest.approx(max(0.0, (end - probe.starts[0]) / 0.01), abs=1)
    assert all(late >= 0 for late in lateness)


NESTED = """
import asyncio, nest_asyncio2
from kit.core.clock import Clock
from kit.core.time_iterator import TimeIterator
nest_asyncio2.apply()

class Nesting(TimeIterator):
    inside = False
    seen = []
    def tick(self, timestamp):
        assert not self.inside, "a tick inside a tick"
        self.inside = True
        asyncio.get_running_loop().run_until_complete(asyncio.sleep(0.25))
        self.inside = False
        self.seen.append(round(timestamp * 10))
        if len(self.seen) == 4:
            raise StopIteration

async def main():
    clock = Clock(tick_size=0.1, late_threshold=60)
    clock.add_iterator(Nesting())
    await clock.run()
    stats = clock.stats
    assert stats.child_errors == 0, stats
    assert len(Nesting.seen) == stats.ticks == 4 and stats.ticks_skipped >= 3, stats
    print("good")

asyncio.run(main())
"""


def test_a_tick_that_drives_the_loop_does_not_tick_inside_itself() -> None:
    done = subprocess.run([sys.executable, "-c", NESTED], capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout.strip() == "good", done.stderr
