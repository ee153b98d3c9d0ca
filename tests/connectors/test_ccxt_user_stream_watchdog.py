"""The watchdog of the private stream: word is expected of each accepted request, and of each subscription."""

import asyncio
from types import SimpleNamespace
from typing import ClassVar

import pytest

from kit.connectors.ccxt_errors import judge
from kit.connectors.ccxt_profiles import ClientIdCodec, profile_of
from kit.connectors.ccxt_taps import WATCHER, ConnectionHealth
from kit.connectors.ccxt_user_stream import UserStream
from kit.core.clock import ManualTime
from kit.core.tasks import TaskSupervisor


class FakeClient:
    """A connection of ccxt's that stands at once and remembers why it was ended."""

    def __init__(self) -> None:
        self.connected = asyncio.get_running_loop().create_future()
        self.connected.set_result(True)
        self.ended: list[str] = []

    def on_error(self, error: Exception) -> None:
        self.ended.append(str(error))

    async def close(self) -> None:
        """End."""


class FakeExchange:
    """As much of a guarded ccxt instance as a user stream uses; whoever watches waits for ever."""

    id = "fake"
    has: ClassVar = {"watchOrders": True}

    def __init__(self, time: ManualTime, *, answers: bool) -> None:
        self.answers = answers
        self.client = FakeClient()
        self.clients = {"url": self.client}
        health = {id(self.client): ConnectionHealth(time.monotonic(), time.monotonic())}
        self.kit_taps = SimpleNamespace(last_data=None, health=health, network_error=ConnectionError)

    async def watch_orders(self) -> None:
        if self.answers:
            WATCHER.get().bind(self.client)
        await asyncio.Event().wait()

    watch_my_trades = watch_balance = watch_orders


@pytest.fixture
async def supervisor():
    supervisor = TaskSupervisor("test")
    yield supervisor
    await supervisor.close()


async def opened(supervisor: TaskSupervisor, *, answers: bool = True) -> tuple[UserStream, FakeExchange, ManualTime]:
    time = ManualTime(1_000.0)
    exchange = FakeExchange(time, answers=answers)
    profile = profile_of("binance")
    stream = UserStream(
        exchange,
        supervisor,
        lambda _: None,
        time.time,
        time,
        profile=profile,
        codec=ClientIdCodec(profile),
        judge=lambda error: judge(error, "fake"),
        resync=lambda: None,
        refresh=dict,
    )
    supervisor.spawn(stream.open(), name="open")
    for _ in range(50):
        await asyncio.sleep(0)
    return stream, exchange, time


async def test_an_accepted_request_that_the_stream_does_not_tell_of_ends_the_connection(supervisor):
    stream, exchange, time = await opened(supervisor)
    assert stream.connected
    stream.expect_event(time.monotonic())
    time.jump(4.9)
    stream.check_silence()
    assert exchange.client.ended == []
    time.jump(0.2)
    stream.check_silence()
    assert exchange.client.ended == ["the private stream told nothing about an accepted request"]


async def test_word_of_an_earlier_request_does_not_answer_a_later_one(supervisor):
    stream, exchange, time = await opened(supervisor)
    stream.expect_event(time.monotonic())
    time.jump(0.1)
    exchange.kit_taps.last_data = time.monotonic()
    time.jump(0.1)
    stream.expect_event(time.monotonic())
    time.jump(5.1)
    stream.check_silence()
    assert len(exchange.client.ended) == 1


async def test_word_that_came_is_enough(supervisor):
    stream, exchange, time = await opened(supervisor)
    stream.expect_event(time.monotonic())
    exchange.kit_taps.last_data = time.monotonic()
    time.jump(60)
    stream.check_silence()
    assert exchange.client.ended == []


async def test_a_subscription_without_an_answer_is_given_up(supervisor):
    stream, exchange, time = await opened(supervisor, answers=False)
    assert not stream.connected
    time.jump(9.9)
    stream.check_silence()
    assert exchange.client.ended == []
    time.jump(0.2)
    stream.check_silence()
    assert exchange.client.ended == ["the private stream's subscription was not answered"]
