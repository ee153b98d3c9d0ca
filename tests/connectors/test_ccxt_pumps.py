"""Pumps against a ccxt that answers, fails, hangs and closes on command."""

import asyncio
import math
import random

import pytest

from kit.connectors.ccxt_pumps import REARM_INTERVAL, StreamPump
from kit.connectors.ccxt_taps import WATCHER
from kit.core.clock import ManualTime


class Connection:
    """What a pump sees of ccxt's connection."""

    def __init__(self, *, connected=True):
        self.connected = asyncio.get_running_loop().create_future()
        if connected:
            self.connected.set_result(True)


class Stream:
    """A stream whose watch call does what the test says."""

    def __init__(self, time):
        self.time = time
        self.calls = 0
        self.waiting = None
        self.client = None
        self.events = []
        self.pump = StreamPump(
            "stream",
            self.watch,
            time,
            on_up=lambda: self.events.append("up"),
            on_down=lambda reason: self.events.append(f"down: {reason}"),
            on_failure=lambda failure: self.events.append(f"failure {failure.count}: {failure.error}"),
            rng=random.Random(1),
        )
        self.task = asyncio.get_running_loop().create_task(self.pump.run())

    async def watch(self):
        self.calls += 1
        if self.client is not None:
            WATCHER.get().bind(self.client)
        self.waiting = asyncio.get_running_loop().create_future()
        return await self.waiting

    async def answer(self):
        self.waiting.set_result("update")
        await self.time.settle()

    async def fail(self, error):
        self.waiting.set_exception(error)
        await self.time.settle()


@pytest.fixture
def time():
    return ManualTime()


@pytest.fixture
async def stream(time):
    stream = Stream(time)
    stream.client = Connection()
    await time.settle()
    yield stream
    stream.task.cancel()
    await asyncio.wait([stream.task])


async def test_it_is_up_when_the_connection_stands(time):
    stream = Stream(time)
    stream.client = Connection(connected=False)
    await time.settle()
    assert stream.events == []
    assert math.isnan(stream.pump.age)
    stream.client.connected.set_result(True)
    await time.settle()
    assert stream.events == ["up"]
    stream.task.cancel()


async def test_it_asks_again_once_a_second(stream, time):
    assert stream.calls == 1
    await stream.answer()
    await time.advance(REARM_INTERVAL - 0.01)
    assert stream.calls == 1
    await time.advance(0.02)
    assert stream.calls == 2
    assert stream.events == ["up"]


async def test_it_asks_at_once_when_something_was_rejected(stream, time):
    await stream.answer()
    stream.pump.wake()
    await time.settle()
    assert stream.calls == 2


async def test_it_is_up_by_an_answer_alone(time):
    stream = Stream(time)
    await time.settle()
    await stream.answer()
    assert stream.events == ["up"]
    stream.task.cancel()


async def test_a_failure_is_one_loss_and_is_retried_at_once(stream, time):
    await stream.fail(ConnectionError("cut"))
    assert stream.events == ["up", "down: ConnectionError", "failure 1: cut", "up"]
    assert stream.calls == 2
    assert stream.pump.state.losses == 1


async def test_failures_in_a_row_wait_longer_and_longer(stream, time):
    stream.client = None
    waits = []
    for _ in range(14):
        await stream.fail(ConnectionError("no"))
        before = time.monotonic()
        while stream.waiting.done():
            await time.advance(0.01)
        waits.append(time.monotonic() - before)
    assert waits[0] == 0.0
    assert waits[1] <= 0.06
    assert 15 <= waits[-1] <= 30.1
    assert stream.events.count("down: ConnectionError") == 1, "one loss, however often it fails then"
    stream.client = Connection()
    await stream.answer()
    stream.pump.wake()
    await time.settle()
    await stream.fail(ConnectionError("again"))
    assert stream.events[-2] == "failure 1: again", "a success begins the count anew"


async def test_a_closed_connection_is_not_taken_for_our_own_end(stream, time):
    stream.waiting.cancel()  # what ccxt does to the waiters of a connection that it closes
    await time.settle()
    assert not stream.task.done()
    assert stream.calls == 2
    assert stream.events[1] == "down: ConnectionError"


async def test_our_own_end_is_an_end(stream, time):
    stream.task.cancel()
    await time.settle()
    assert stream.task.cancelled()
    assert stream.waiting.cancelled()
    assert stream.calls == 1


async def test_a_lost_connection_is_told_once_and_watched_anew(stream, time):
    await stream.answer()
    lost, stream.client = stream.client, Connection()
    stream.pump.client_lost(Connection(), "another one")
    assert stream.events == ["up"]
    stream.pump.client_lost(lost, "closed by the exchange")
    stream.pump.client_lost(lost, "closed by the exchange")
    await time.settle()
    assert stream.events == ["up", "down: closed by the exchange", "up"]
    assert stream.calls == 2


async def test_the_age_counts_from_the_last_item_or_from_coming_up(stream, time):
    await time.advance(5)
    assert stream.pump.age == 5.0
    stream.pump.item()
    await time.advance(2)
    assert stream.pump.age == 2.0
    assert stream.pump.status()["items"] == 1
    await stream.fail(ConnectionError("cut"))
    assert stream.pump.age == 0.0, "what came over an earlier connection does not count"


async def test_a_connection_that_never_came_about_is_not_up(time):
    stream = Stream(time)
    stream.client = Connection(connected=False)
    await time.settle()
    stream.client.connected.set_exception(ConnectionError("refused"))
    await time.settle()
    assert stream.events == []
    await stream.fail(ConnectionError("refused"))
    assert stream.events[:1] == ["failure 1: refused"], "what was never up is not lost"
    stream.task.cancel()
