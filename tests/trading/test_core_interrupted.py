"""A core whose cells are interrupted while it adds, replaces, removes and stops: no order is left unnoticed."""

import asyncio
import contextlib
import threading
import time
from decimal import Decimal

import pytest

import kit
from kit.errors import NotReady
from kit.trading.instance import CoreInstance
from kit.trading.instance_lock import InstanceLock, core_file
from kit.trading.switch import TradingState
from kit.trading_core import TradingCore
from tests.support.fake_venue import PAIR
from tests.support.faked_core import Quoter, connect, until


@pytest.fixture
async def core(venue, make):
    core = make("interrupted", tick_size=0.05, tables=False, guard=False)
    yield core
    confirm_all(venue)
    await core.stop()


def confirm_all(venue):
    venue.auto = True
    for request in list({one.client_order_id: one for one in venue.cancelled}.values()):
        if request.client_order_id in venue.open:
            venue.confirm_cancel(request)


async def interrupted(work, begun):
    """Cancel what is done once it has begun, as an interrupted cell does."""
    task = asyncio.ensure_future(work)
    await until(begun)
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


class FakeGuard:
    """Notes what a core has its guard do."""

    stall_limit = 10.0

    def __init__(self) -> None:
        self.accounts = ("binance",)
        self.did = []

    def forget(self, name):
        self.did.append(f"forget {name}")
        self.accounts = ()

    async def stop(self):
        self.did.append("stop")

    def let_go(self, reason):
        self.did.append(f"cancel on {', '.join(self.accounts)}")


async def test_a_stop_that_is_interrupted_leaves_what_is_open_to_the_guard(core, venue, caplog):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    guard = core.guarding.guard = FakeGuard()
    venue.auto = False
    told = [core_file("interrupted", suffix) for suffix in ("json", "red")]
    await until(lambda: all(path.exists() for path in told))
    await interrupted(core.stop(timeout=60), lambda: venue.cancelled)
    assert not any(path.exists() for path in told)  # nothing of it runs here any more
    assert guard.did == ["cancel on binance"]
    assert core.trading_state is TradingState.OFF
    assert "may be open" in caplog.text


async def test_a_removal_that_is_interrupted_is_remembered_by_stop(core, venue):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    guard = core.guarding.guard = FakeGuard()
    venue.auto = False
    await interrupted(core.remove_connector("binance", timeout=60), lambda: venue.cancelled)
    assert core.trading_state is TradingState.OFF
    await core.stop()
    assert guard.did == ["cancel on binance"]


async def test_a_removal_that_leaves_orders_is_remembered_by_stop(core, venue):
    market = await connect(core)
    market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))
    guard = core.guarding.guard = FakeGuard()
    venue.auto = False
    assert await core.remove_connector("binance", timeout=0.1)
    await core.stop()
    assert guard.did == ["cancel on binance"]


async def test_a_live_connector_whose_checks_are_interrupted_does_not_stay(core, venue, monkeypatch):
    await core.add_connector("binance", [PAIR], name="data")
    await core.start()
    fast, asked = venue.fetch_server_time, asyncio.Event()

    async def slowly():
        if core.switch._checks.going:
            asked.set()
            await asyncio.Event().wait()
        return await fast()

    venue.fetch_server_time = slowly
    adding = asyncio.ensure_future(connect(core))
    await until(asked.is_set)
    adding.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await adding
    assert "binance" not in core.connectors
    assert core.trading_state is TradingState.OFF


async def test_an_admission_that_is_interrupted_leaves_the_name_to_other_processes(core, monkeypatch):
    acquire, loop, tried = InstanceLock.acquire, asyncio.get_running_loop(), threading.Event()

    def slowly(lock):
        loop.call_soon_threadsafe(adding.cancel)
        time.sleep(0.1)  # as a file system that is slow; in a thread the interrupt would come before the end of it
        try:
            return acquire(lock)
        finally:
            tried.set()

    monkeypatch.setattr(InstanceLock, "acquire", slowly)
    adding = asyncio.ensure_future(connect(core))
    with contextlib.suppress(asyncio.CancelledError):
        await adding
    assert adding.cancelled()
    await until(tried.is_set)
    assert not core._instance._lock.held
    assert not core.connectors
    await connect(core)
    assert core._instance._lock.held


async def test_an_interrupt_just_after_the_name_was_taken_gives_it_back(core, monkeypatch):
    own = CoreInstance._own

    async def slowly(instance):
        await own(instance)
        await asyncio.Event().wait()

    monkeypatch.setattr(CoreInstance, "_own", slowly)
    await interrupted(connect(core), lambda: core._instance._lock.held and core.supervisor.names)
    assert not core._instance._lock.held
    assert core.supervisor.names == ()


async def test_a_replacement_that_is_interrupted_leaves_the_old_one_usable(core, venue):
    market = await connect(core)
    market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))
    venue.auto = False
    await interrupted(connect(core, mode="data"), lambda: venue.cancelled)
    venue.auto = True
    assert core.connectors["binance"] is market
    market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(98))


async def test_a_replacement_that_is_refused_keeps_the_old_ones_paper_account(core, venue, monkeypatch):
    market = await connect(core)
    sweep = market.sweep
    monkeypatch.setattr(market, "sweep", lambda timeout=0.1: sweep(timeout))  # not 10 s
    paper = core.connector_manager._papers["binance"]
    market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))
    venue.auto = False
    with pytest.raises(NotReady, match="is not replaced"):
        await connect(core, mode="data")
    assert core.connector_manager._papers["binance"] is paper


async def test_a_replacement_that_fails_to_connect_is_followed(core, venue):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    assert core.trading_state is TradingState.LIVE
    with pytest.raises(kit.errors.UnknownPair):
        await core.add_connector("binance", ["NO/PAIR"], mode="data")
    assert core.connectors == {}
    assert core.trading_state is TradingState.OFF


async def test_waiting_for_a_predecessor_that_is_interrupted_waits_again(core, venue):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    venue.auto = False
    successor = TradingCore("interrupted", tick_size=0.1, tables=False, guard=False)
    await interrupted(connect(successor), lambda: venue.cancelled)
    assert TradingCore("interrupted", tick_size=0.1) is successor
    again = asyncio.ensure_future(connect(successor))
    await asyncio.sleep(0.2)
    assert core.connectors  # the old one is still at it: the new one waits
    assert not successor.connectors
    confirm_all(venue)
    await again
    assert not core.connectors
    assert (await successor.stop()).clean
