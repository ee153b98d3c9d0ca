"""A core's side of its guard, in this process, with a real guard and a real exchange."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

import kit
from kit.connectors.client_order_ids import ClientOrderIds
from kit.errors import InvalidInput, NotReady
from kit.guard import guard as guard_module
from kit.guard.guard import Guard
from kit.trading import preflight
from tests.support.guarded_core import alive
from tests.support.stack import PAIR, connected, until


def guards_of(name):
    """Return the pids of the guard processes of a core's name, as ``ps`` shows them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[-3:-1] == [b"kit.guard", name.encode()] and alive(int(entry.name)):
                found.append(int(entry.name))
    return found


async def test_a_core_s_guard_from_start_to_stop(testnet, monkeypatch):
    """In one test, as each guarded core costs seconds: one process, pings, pairs, command, death, clean stop."""
    async with connected(testnet, name="one life", guard=True) as stack:
        guard = stack.core.guard
        pid = guard.state.pid
        assert guards_of("one life") == [pid]
        assert os.getsid(pid) != os.getsid(0)
        await until(lambda: guard.state.prepared, "the guard has tried the keys")
        assert guard.state.accounts == ("binance",)
        assert guard.state.last_beat_age < 60
        assert await asyncio.to_thread(guard.ping, 60) < 60

        again = await stack.core.add_connector("binance", [PAIR, "ETH/USDT"], mode="live", endpoint=testnet)
        assert again is stack.market
        assert guards_of("one life") == [pid]
        await until(lambda: any("ETH/USDT" in entry.text for entry in guard.log()), "the guard knows the new pair")

        await check_command(stack, guard)
        await check_live_needs_its_answer(stack, guard, monkeypatch)
        await check_death(stack, guard, pid)
        last = guard.state.pid
    assert guards_of("one life") == []
    assert not alive(last)
    assert guard.log()[-1].text == "ended by the core, nothing to cancel"
    assert not guard.state.alive
    table = stack.core.guard_log
    assert list(table.columns) == ["time", "event", "text", "pid"]
    assert {"start", "command", "cancel", "stop"} <= set(table["event"])


async def check_command(stack, guard):
    class Quoter(kit.Strategy):
        def on_tick(self, timestamp):
            if not self.active_orders:
                self.buy("0.001", "50000")

    stack.core.strategy = Quoter(stack.market, PAIR)
    await stack.until(lambda: "BuyOrderCreated" in [name for name, _ in stack.events], "it quotes")
    report = await asyncio.wrap_future(guard.cancel_now("a test"))
    assert (report.count, report.verified, report.cause) == (1, True, "command")
    assert await stack.testnet.open_orders(stack.tag) == []
    await stack.until(lambda: not stack.open_orders, "the core knows")
    assert stack.core.strategy.paused
    assert "a test" in stack.core.strategy.pause_reason
    ticks = stack.core.clock.stats.ticks
    await stack.until(lambda: stack.core.clock.stats.ticks > ticks + 3, "ticks")
    assert not stack.open_orders
    assert guard.state.last_report == report
    stack.core.strategy = None
    await stack.until(lambda: stack.core.trading_state is kit.TradingState.OFF, "live trading has ended by itself")
    assert "a test" in stack.core.switch.reason


async def check_live_needs_its_answer(stack, guard, patch):
    """Being prepared is not enough: it must have heard that the loop runs, or it would cancel what is placed next."""
    os.kill(guard.state.pid, signal.SIGSTOP)
    with patch.context() as impatient:
        impatient.setattr(preflight, "PATIENCE", 2.0)
        checks = await stack.core.arm()
    assert "the guard of core" in next(check.text for check in checks if check.name == "guard")
    assert stack.core.trading_state is kit.TradingState.OFF
    os.kill(guard.state.pid, signal.SIGCONT)
    found = {check.name: check for check in await stack.core.go_live()}
    assert found["guard"].text.startswith(f"process {guard.state.pid} answered within ")
    assert stack.core.trading_state is kit.TradingState.LIVE


async def check_death(stack, guard, pid):
    order = await stack.rest()
    os.kill(pid, signal.SIGKILL)
    pressed = guard.cancel_now("pressed while the guard is dead")
    report = await asyncio.wait_for(asyncio.wrap_future(pressed), 60)
    assert report.cancelled == {"binance": (order,)}
    assert guard.state.restarts == 1
    assert guards_of("one life") == [guard.state.pid] != [pid]


async def test_a_stop_that_leaves_orders_leaves_the_guard_to_them(testnet, none_left):
    core = kit.TradingCore("unclean", tick_size=0.1)
    market = await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet)
    market.buy(PAIR, "0.001", kit.OrderType.LIMIT, "50000")
    await until(lambda: [order for order in market.in_flight_orders.values() if order.exchange_order_id], "it rests")
    await until(lambda: core.guard.state.prepared, "the guard has tried the keys")
    pid = core.guard.state.pid
    await testnet.fault("error", on="order.cancel", seconds=600)
    report = await core.stop(timeout=0.2)
    assert not report.clean
    await testnet.clear_faults()
    await none_left("unclean")
    await until(lambda: not alive(pid), "the guard ends")
    assert core.guard.state.accounts == ()


async def test_a_guard_that_cannot_start_refuses_live_trading(testnet, monkeypatch):
    core = kit.TradingCore("guardless", tick_size=0.1)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(NotReady, match="the guard cannot start"):
        await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet)
    assert core.connectors == {}
    monkeypatch.setattr(sys, "executable", "/bin/cat")
    monkeypatch.setattr(guard_module, "_START_PATIENCE", 0.5)
    with pytest.raises(NotReady, match="must not trade"):
        await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet)
    assert core.connectors == {}
    assert (await core.stop()).clean


async def test_data_and_guardless_cores_start_no_process(testnet):
    core = kit.TradingCore("reader", tick_size=0.1)
    await core.add_connector("binance", [PAIR], endpoint=testnet)
    assert not core.guard.running
    with pytest.raises(NotReady, match="nothing to cancel"):
        core.guard.cancel_now()
    with pytest.raises(NotReady):
        core.guard.ping(0.1)
    await core.stop()
    async with connected(testnet, name="without") as stack:
        assert stack.core.guard is None
        assert len(stack.core.guard_log) == 0
        assert guards_of("without") == []


async def test_a_hung_guard_is_replaced(monkeypatch, caplog):
    monkeypatch.setattr(guard_module, "_SILENCE", 1.0)
    guard = Guard("hung", ClientOrderIds("hung"))
    guard.begin()
    pid = guard.state.pid
    await until(lambda: guard.state.alive, "hello")
    os.kill(pid, signal.SIGSTOP)
    for _ in range(4):  # a second's worth
        guard.beat()
    assert alive(pid)
    await until(lambda: guard.beat() or not alive(pid), "it is killed")
    await until(lambda: not guard.running, "without accounts none is started")
    assert "does not answer" in caplog.text
    await guard.stop()


async def test_a_guard_that_always_dies_is_given_up_aloud(monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", "/bin/true")
    guard, lost = Guard("dying", ClientOrderIds("dying")), []
    guard.on_lost = lost.append
    guard._accounts["a"] = guard_module.GuardedAccount("a", "binance", None, kit.Credentials("k", "s"), (PAIR,))
    guard.begin()
    await until(lambda: lost, "it is given up")
    assert "5 times in a minute" in lost[0]
    assert not guard.running
    guard.forget("a")


@pytest.mark.parametrize("limit", [0, 0.4, -1, float("inf"), float("nan")])
def test_a_stall_limit_that_cannot_work_is_refused(limit):
    with pytest.raises(InvalidInput, match="stall_limit"):
        Guard("x", ClientOrderIds("x"), stall_limit=limit)


async def test_secrets_do_not_show_in_reprs(testnet):
    keys = kit.Credentials("the key", "the secret")
    account = guard_module.GuardedAccount("a", "binance", None, keys, (PAIR,))
    guard = Guard("shown", ClientOrderIds("shown"))
    guard._accounts["a"] = account
    for shown in (repr(account), repr(guard), str(guard.state)):
        assert "the " not in shown.replace("<Guard of", "")
