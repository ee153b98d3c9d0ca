import asyncio
import itertools
import logging
import math
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.core.clock import Clock, ClockMode
from kit.core.manual_time import ManualTime
from kit.core.network_iterator import Backoff, NetworkIterator, NetworkStatus
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, NetworkUnavailable, NotReady
from tests.support.kit_logs import kit_records

Step = Callable[[], Coroutine[Any, Any, None]]


async def fine() -> None: ...


async def hang() -> None:
    await asyncio.Event().wait()


async def refuse() -> None:
    raise NetworkUnavailable("no route")


class Network(NetworkIterator):
    """Does what the test says, and keeps a log of (time, call)."""

    def __init__(self, time: ManualTime, supervisor: TaskSupervisor, **options: Any) -> None:
        options.setdefault("rng", random.Random(1))
        super().__init__("venue", supervisor, time_source=time, **options)
        self.log: list[tuple[float, str]] = []
        self.checks: list[Step] = []
        self.starts: list[Step] = []
        self.stops: list[Step] = []

    async def check_network(self) -> None:
        await self._step("check", self.checks)

    async def start_network(self) -> None:
        await self._step("start", self.starts)

    async def stop_network(self) -> None:
        await self._step("stop", self.stops)

    async def _step(self, name: str, steps: list[Step]) -> None:
        self.log.append((self.time_source.monotonic(), name))
        await (steps.pop(0) if steps else fine)()

    def times(self, name: str) -> list[float]:
        return [at for at, call in self.log if call == name]

    @property
    def calls(self) -> list[str]:
        return [call for _, call in self.log]


@pytest.fixture
def time() -> ManualTime:
    return ManualTime(start=1000.0)


@pytest.fixture
def supervisor() -> TaskSupervisor:
    return TaskSupervisor("core")


async def test_a_good_network_is_started_once_and_checked_every_interval(
    time: ManualTime, supervisor: TaskSupervisor
) -> None:
    network = Network(time, supervisor, check_interval=10.0)
    assert network.network_status is NetworkStatus.STOPPED
    network.open()
    assert network.network_status is NetworkStatus.NOT_CONNECTED
    await time.advance(30.0)
    assert network.network_status is NetworkStatus.CONNECTED
    assert network.times("check") == [0.0, 10.0, 20.0, 30.0]
    assert network.times("start") == [0.0]
    assert network.last_connected_timestamp == 1030.0
    assert network.last_error == ""
    await network.close()
    assert network.calls[-1] == "stop"
    assert network.network_status is NetworkStatus.STOPPED
    assert (len(supervisor), time.pending) == (0, 0)


async def test_an_error_stops_what_was_started_and_it_is_started_anew(
    time: ManualTime, supervisor: TaskSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(time, supervisor)
    network.checks = [fine, refuse, refuse, fine]
    network.open()
    with caplog.at_level(logging.WARNING):
        await time.advance(10.0)
    assert network.network_status is NetworkStatus.NOT_CONNECTED
    assert network.last_error == "NetworkUnavailable: no route"
    await time.advance(3.0)
    assert network.calls == ["check", "start", "check", "stop", "check", "check", "start"]
    assert network.network_status is NetworkStatus.CONNECTED
    assert network.last_error == ""
    assert len(kit_records(caplog)) == 1  # the same error again is not logged again
    assert kit_records(caplog)[0].exc_info is None  # an ordinary network error needs no traceback
    await network.close()


async def test_a_time_out_of_the_check_stops_what_was_started(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor, check_timeout=5.0)
    network.checks = [fine, hang]
    network.open()
    await time.advance(14.9)
    assert network.network_status is NetworkStatus.CONNECTED
    await time.advance(0.1)
    assert network.network_status is NetworkStatus.NOT_CONNECTED
    assert "TimeoutError" in network.last_error
    assert network.log[-1] == (15.0, "stop")
    await time.advance(1.0)
    assert network.calls[-2:] == ["check", "start"]
    await network.close()


@pytest.mark.parametrize("failure", [refuse, hang])
async def test_a_start_that_fails_or_hangs_is_stopped_before_the_next(
    time: ManualTime, supervisor: TaskSupervisor, failure: Step
) -> None:
    network = Network(time, supervisor, start_timeout=20.0)
    network.starts = [failure, failure]
    network.open()
    await time.advance(60.0)
    assert network.calls[:8] == ["check", "start", "stop", "check", "start", "stop", "check", "start"]
    assert network.network_status is NetworkStatus.CONNECTED
    await network.close()
    assert network.calls.count("stop") == 3


async def test_nothing_is_stopped_that_was_not_started(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor)
    network.checks = [refuse] * 100
    network.open()
    await time.advance(100.0)
    await network.close()
    assert set(network.calls) == {"check"}


async def test_a_stop_that_fails_or_hangs_does_not_prevent_the_next_start(
    time: ManualTime, supervisor: TaskSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(time, supervisor, stop_timeout=2.0)
    network.checks = [fine, refuse, fine, refuse]
    network.stops = [refuse, hang]
    network.open()
    await time.advance(60.0)
    assert network.times("start")[2:] != []
    assert network.network_status is NetworkStatus.CONNECTED
    assert caplog.text.count("stop_network failed") == 2
    await network.close()


async def test_a_programming_error_is_shown_with_its_traceback_and_retried(
    time: ManualTime, supervisor: TaskSupervisor, caplog: pytest.LogCaptureFixture
) -> None:
    async def defect() -> None:
        raise KeyError("oops")

    network = Network(time, supervisor)
    network.checks = [defect]
    network.open()
    await time.advance(1.0)
    assert network.network_status is NetworkStatus.CONNECTED
    assert "KeyError" in caplog.text
    assert kit_records(caplog)[0].exc_info is not None
    await network.close()


async def test_a_cancellation_that_leaks_from_a_library_is_a_failure_like_others(
    time: ManualTime, supervisor: TaskSupervisor
) -> None:
    async def leak() -> None:
        inner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner

    network = Network(time, supervisor)
    network.checks = [fine, leak]
    network.stops = [leak]
    network.open()
    await time.advance(12.0)
    assert network.calls == ["check", "start", "check", "stop", "check", "start"]
    assert network.network_status is NetworkStatus.CONNECTED
    await network.close()


async def test_pauses_grow_exponentially_with_jitter_up_to_the_maximum_and_reset(
    time: ManualTime, supervisor: TaskSupervisor
) -> None:
    network = Network(time, supervisor, backoff_initial=0.5, backoff_max=8.0)
    network.checks = [refuse] * 10
    network.open()
    await time.advance(100.0)
    checks = network.times("check")[:11]
    pauses = [after - before for before, after in itertools.pairwise(checks)]
    for pause, full in zip(pauses, [0.5, 1, 2, 4, 8, 8, 8, 8, 8, 8], strict=True):
        assert full / 2 <= pause <= full
    assert len({round(pause / 8, 6) for pause in pauses[4:]}) > 1  # not all the same
    network.checks = [refuse]
    await time.advance(10.0)  # one failure after successes: the smallest pause again
    before, after = network.times("check")[-2:]
    assert after - before <= 0.5
    await network.close()


async def test_request_check_ends_the_pause(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor)
    network.open()
    await time.advance(3.0)
    network.request_check()
    await time.settle()
    assert network.times("check") == [0.0, 3.0]
    await time.advance(10.0)
    assert network.times("check") == [0.0, 3.0, 13.0]
    await network.close()
    network.request_check()  # harmless


async def test_a_request_during_a_check_is_not_lost(time: ManualTime, supervisor: TaskSupervisor) -> None:
    async def slow() -> None:
        await time.sleep(2.0)

    network = Network(time, supervisor)
    network.checks = [slow]
    network.open()
    await time.advance(1.0)
    network.request_check()
    await time.advance(1.0)
    assert network.times("check") == [0.0, 2.0]
    await network.close()


async def test_a_cell_that_blocks_the_loop_does_not_bring_the_network_down(
    time: ManualTime, supervisor: TaskSupervisor
) -> None:
    network = Network(time, supervisor, check_timeout=5.0)
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def asks() -> None:
        await answer

    network.checks = [fine, asks]
    network.open()
    await time.advance(10.0)
    time.jump(30.0)
    await time.advance(0.0)
    answer.set_result(None)
    await time.settle()
    assert network.network_status is NetworkStatus.CONNECTED
    assert network.calls == ["check", "start", "check"]
    await network.close()


async def test_open_and_close_are_idempotent_and_it_opens_again(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor)
    await network.close()
    for _ in range(2):
        network.open()
        network.open()
        await time.advance(1.0)
        assert len(supervisor) == 1
        await network.close()
        await network.close()
    assert network.calls == ["check", "start", "stop"] * 2


async def test_open_during_close_is_refused(time: ManualTime, supervisor: TaskSupervisor) -> None:
    async def slow() -> None:
        await time.sleep(1.0)

    network = Network(time, supervisor)
    network.stops = [slow]
    network.open()
    await time.advance(1.0)
    closing = asyncio.create_task(network.close())
    await time.settle()
    with pytest.raises(NotReady, match="being closed"):
        network.open()
    await time.advance(1.0)
    await closing
    network.open()
    await network.close()


async def test_close_during_a_start_stops_it(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor)
    network.starts = [hang]
    network.open()
    await time.advance(1.0)
    await network.close()
    assert network.calls == ["check", "start", "stop"]


async def test_closing_the_supervisor_stops_the_network_too(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor)
    network.open()
    await time.advance(1.0)
    assert await supervisor.close() == []
    assert network.calls == ["check", "start", "stop"]
    assert network.network_status is NetworkStatus.STOPPED
    await network.close()
    assert network.calls.count("stop") == 1


def test_open_without_a_loop_says_so(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor)
    with pytest.raises(NotReady, match="no event loop"):
        network.open()
    assert network.network_status is NetworkStatus.STOPPED


async def test_a_clock_neither_opens_nor_closes_it(time: ManualTime, supervisor: TaskSupervisor) -> None:
    network = Network(time, supervisor)
    clock = Clock(ClockMode.BACKTEST, end_time=3.0)
    clock.add_iterator(network)
    clock.backtest_til(1.0)
    assert (network.clock, network.current_timestamp) == (clock, 1.0)
    assert network.network_status is NetworkStatus.STOPPED
    network.open()
    await time.advance(0.0)
    clock.backtest()
    assert network.clock is None
    assert math.isnan(network.current_timestamp)
    assert network.network_status is NetworkStatus.CONNECTED
    await network.close()


@pytest.mark.parametrize("option", ["check_interval", "check_timeout", "start_timeout", "stop_timeout"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_times_must_be_positive(time: ManualTime, supervisor: TaskSupervisor, option: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=option):
        Network(time, supervisor, **{option: value})


@pytest.mark.parametrize(("initial", "maximum"), [(0.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_back_off_refuses_nonsense(initial: float, maximum: float) -> None:
    with pytest.raises(InvalidInput, match="back-off"):
        Backoff(initial, maximum)


def test_back_off_never_overflows() -> None:
    backoff = Backoff(0.5, 60.0, random.Random(0))
    pauses = [backoff.next() for _ in range(5000)]
    assert all(30.0 <= pause <= 60.0 for pause in pauses[10:])


@settings(max_examples=60)
@given(st.lists(st.sampled_from([fine, fine, hang, refuse]), max_size=12), st.data())
def test_start_and_stop_always_alternate(checks: list[Step], data: st.DataObject) -> None:
    failures = st.lists(st.sampled_from([fine, hang, refuse]), max_size=5)
    starts, stops = data.draw(failures), data.draw(failures)

    async def drive() -> Network:
        time = ManualTime()
        network = Network(time, TaskSupervisor("core"), start_timeout=7.0, stop_timeout=3.0)
        network.checks, network.starts, network.stops = list(checks), list(starts), list(stops)
        network.open()
        await time.advance(400.0)
        closing = asyncio.create_task(network.close())
        await time.advance(10.0)
        assert closing.done()
        assert time.pending == 0
        return network

    logging.disable(logging.CRITICAL)
    try:
        network = asyncio.run(drive())
    finally:
        logging.disable(logging.NOTSET)
    changes = [call for call in network.calls if call != "check"]
    assert changes == ["start", "stop"] * (len(changes) // 2)
    assert changes
