"""``kit.run`` where it must not wait: within what a core runs by itself."""

import asyncio

import pytest

import kit
from kit.connectors import connector_manager
from kit.errors import NotReady
from kit.trading_core import TradingCore
from tests.support.fake_venue import PAIR, FakeVenue
from tests.support.faked_core import connect, until


@pytest.fixture(params=["kernel", "thread"])
async def core(request, monkeypatch):
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: FakeVenue())
    core = TradingCore("running", tick_size=0.02, guard=False, loop=request.param)
    yield core
    assert (await core.stop()).clean


async def quoting(core, strategy_class):
    market = await connect(core, mode="paper")
    core.strategy = strategy = strategy_class(market, PAIR)
    await core.start()
    return strategy


async def test_within_a_hook_it_is_refused_at_once_as_it_would_wait_for_the_hook_itself(core):
    refusals = []

    class Stopping(kit.Strategy):
        def on_tick(self, timestamp):
            if not refusals:
                with pytest.raises(NotReady) as caught:
                    kit.run(core.stop())
                refusals.append(str(caught.value))

    await quoting(core, Stopping)
    await until(lambda: refusals)
    assert "'running'" in refusals[0]
    assert "asyncio.get_running_loop().create_task(core.stop())" in refusals[0]
    assert core.running
    ticks = core.clock.stats.ticks
    await until(lambda: core.clock.stats.ticks > ticks)
    assert not hasattr(asyncio, "_nest_patched")


async def test_a_hook_can_stop_the_core_by_a_task_as_the_refusal_says(core):
    tasks = []

    class Stopping(kit.Strategy):
        def on_tick(self, timestamp):
            if not tasks:
                tasks.append(asyncio.get_running_loop().create_task(core.stop()))

    await quoting(core, Stopping)
    await until(lambda: tasks and tasks[0].done())
    assert tasks[0].result().clean
    assert not core.running
