"""A core on a loop in a thread of its own: the same calls from here as where it lives on the kernel's loop."""

import asyncio
import threading
import time
from decimal import Decimal

import pytest

import kit
from kit.core import affinity
from kit.errors import NotReady
from tests.support.fake_venue import PAIR
from tests.support.faked_core import Quoter, quoting, until


@pytest.fixture
async def core(venue, make):
    core = make("threaded", tick_size=0.02, guard=False, loop="thread")
    yield core
    assert (await core.stop()).clean
    assert threads() == []


def threads():
    return [thread.name for thread in threading.enumerate() if "threaded" in thread.name]


class Churner(kit.Strategy):
    """Replaces ten orders each tick."""

    def on_tick(self, timestamp):
        self.cancel_all()
        for number in range(10):
            self.buy("0.1", str(90 - number))


async def test_calls_of_this_thread_reach_it(core):
    market, strategy = await quoting(core)
    assert core.affinity.loop is not asyncio.get_running_loop()
    assert "kit core threaded" in threads()
    assert len(core.orders) == 1
    assert not core.status.empty
    assert not core.balances.empty
    (order_id,) = market.in_flight_orders
    assert strategy.cancel(order_id)
    await until(lambda: order_id not in market.in_flight_orders)
    core.strategy = other = Quoter(market, PAIR, name="other")
    assert core.strategy is other  # the assignment is done when the line is
    assert other.clock is core.clock
    strategy_id = other.buy("1", "91")
    assert strategy_id in [order.client_order_id for order in other.active_orders]
    own_id = market.buy(PAIR, Decimal(1), price=Decimal(90))
    await until(lambda: own_id in market.in_flight_orders)
    assert {result.order_id for result in await market.cancel_all()} >= {own_id, strategy_id}


async def test_hooks_and_listeners_run_there_and_what_they_print_is_logged(core, capsys):
    heard = []

    class Hearing(Quoter):
        def did_create_buy_order(self, event):
            print("created")
            heard.append(threading.current_thread().name)

    await quoting(core, Hearing)
    await until(lambda: heard)
    assert heard == ["kit core threaded"]
    print("a cell")
    assert "created" in repr(core.log)
    assert capsys.readouterr().out.endswith("a cell\n")


async def test_a_blocking_cell_stops_no_tick(core):
    await quoting(core)
    before, end = core.clock.stats.ticks, time.monotonic() + 60
    while core.clock.stats.ticks < before + 40:
        assert time.monotonic() < end
        time.sleep(0.1)  # the blocking is what is tested


async def test_what_is_read_from_here_is_of_one_moment(core, monkeypatch):
    monkeypatch.setattr(affinity, "READ_PATIENCE", 60.0)  # the loop is busy, but does not stand still
    market, strategy = await quoting(core, Churner)
    end = time.monotonic() + 1.5
    rounds = 0
    while time.monotonic() < end or rounds <= 5:
        rounds += 1
        for order in market.limit_orders:
            assert order.quantity == Decimal("0.1")
        orders = core.orders
        assert (orders["executed"] + orders["remaining"] == orders["amount"]).all()
        active = strategy.active_orders
        assert len({order.client_order_id for order in active}) == len(active)
        assert market.get_available_balance("USDT") <= market.get_balance("USDT")
        status = core.status.set_index(["part", "item"])["value"]
        assert status["binance", "orders_in_flight"] <= 20
        assert not core.balances.empty
        assert core.pnl is not None
        await asyncio.sleep(0)
    assert core.errors.items == ()
    assert not strategy.paused
    assert len(strategy.active_orders) <= 20


async def test_it_can_be_stopped_and_started_again(core):
    for _ in range(2):
        await quoting(core)
        assert (await core.stop()).clean
        assert threads() == []
        assert core.affinity.here
        core.strategy = None


async def test_it_can_be_stopped_by_a_task_of_its_own(core):
    await quoting(core)
    future = asyncio.run_coroutine_threadsafe(core.stop(), core.affinity.loop)
    assert (await asyncio.wrap_future(future)).clean
    await until(lambda: threads() == [])


async def test_a_loop_that_stands_still_is_told_and_read_nevertheless(core, monkeypatch):
    monkeypatch.setattr(affinity, "READ_PATIENCE", 0.2)
    market, strategy = await quoting(core)
    go_on = threading.Event()
    core.affinity.call(go_on.wait, 600)
    try:
        assert len(core.orders) == 1
        assert market.get_balance("BTC") == 10
        with pytest.raises(NotReady, match="did not answer"):
            core.affinity.run_sync(strategy.cancel_all, timeout=0.1)
    finally:
        go_on.set()


async def test_a_session_is_recorded_there(core, tmp_path):
    session = core.record_session(tmp_path)
    assert core.record_session(tmp_path) is session
    await quoting(core)
    await until(lambda: session.status["frames"] > 10)
    assert session.stop().exists()
    assert session.status["reentered"] == 0
