"""Cells run again: what a core of a name, its strategy and its listeners become then."""

import asyncio
import logging
import sys
from typing import ClassVar

import pytest

import kit
from kit.errors import InvalidInput, NotReady
from kit.trading.core_run import StopReport
from kit.trading.predecessor import Predecessor, differences
from kit.trading_core import TradingCore
from tests.support.fake_venue import PAIR
from tests.support.faked_core import Quoter, connect, quoting, until


@pytest.fixture
async def core(venue, make):
    yield make("rerun", tick_size=0.05, guard=False)
    for core in list(TradingCore._cores.values()):
        if core.name == "rerun":
            await core.stop()


def cancels(venue):
    return [request.client_order_id for request in venue.cancelled]


class Other(Quoter):
    pass


async def test_the_same_configuration_hands_back_the_core(core):
    await connect(core)
    assert TradingCore("rerun") is core
    assert TradingCore("rerun", tick_size=0.05, guard=False, loop="kernel") is core


async def test_another_configuration_stops_the_old_core_first(core, venue, caplog):
    market, strategy = await quoting(core)
    (order_id,) = market.in_flight_orders
    new = TradingCore("rerun", tick_size=0.1, guard=False)
    assert new is not core
    assert "tick_size 0.1 instead of 0.05" in caplog.text
    assert "tick_size 0.1 instead of 0.05" in repr(core.log)
    assert "tick_size 0.1 instead of 0.05" in repr(new.log)
    assert TradingCore("rerun", tick_size=0.1) is new  # at once, before anything was awaited
    await connect(new)  # waits for the old one's end
    assert not core.running
    assert core.connectors == {}
    assert cancels(venue) == [order_id]
    assert new.connectors["binance"] is not market
    assert strategy.clock is None


async def test_it_is_stopped_also_when_nobody_awaits_the_new_one(core):
    await quoting(core)
    new = TradingCore("rerun", guard=False, tick_size=0.2)
    await until(lambda: not core.running and not core.connectors)
    assert (await new.stop()).clean


async def test_a_wrong_configuration_stops_nothing(core):
    await connect(core)
    with pytest.raises(InvalidInput, match="tick_size"):
        TradingCore("rerun", tick_size=-1)
    assert TradingCore("rerun") is core
    assert core.connectors


async def test_a_predecessor_that_leaves_orders_is_told_once():
    class Core:
        name = "x"
        affinity = kit.core.affinity.LoopAffinity(asyncio.get_running_loop())

        async def stop(self):
            return StopReport({"binance": ["id-1"]}, [])

    predecessor = Predecessor(Core(), "loop 'thread' instead of 'kernel'")
    with pytest.raises(NotReady, match=r"id-1.*run this again"):
        await predecessor.gone()
    await predecessor.gone()


def test_what_was_not_asked_for_is_no_difference():
    class Core:
        configuration: ClassVar = {"loop": "kernel", "tick_size": 1.0, "guard": False, "stall_limit": None}

    assert differences(Core(), {"loop": None, "tick_size": 1, "tables": False, "stall_limit": 5.0}) == ""
    assert differences(Core(), {"loop": "thread", "guard": True}) == (
        "loop 'thread' instead of 'kernel', guard True instead of False"
    )


# -- strategies ----------------------------------------------------------------------------------------------------


async def test_assigning_another_strategy_cancels_the_orders_of_the_old(core, venue):
    market, _ = await quoting(core)
    (order_id,) = market.in_flight_orders
    core.strategy = Other(market, PAIR)
    assert cancels(venue) == [order_id]


async def test_the_same_strategy_made_anew_takes_the_orders_over(core, venue):
    market, old = await quoting(core)
    (order_id,) = market.in_flight_orders
    core.strategy = new = Quoter(market, PAIR)
    assert core.strategy is new
    assert [(order.client_order_id, order.level) for order in new.active_orders] == [(order_id, 3)]
    assert old.active_orders == ()
    ticks = core.clock.stats.ticks
    await until(lambda: core.clock.stats.ticks > ticks + 2)
    assert cancels(venue) == []
    assert len(market.in_flight_orders) == 1
    assert "taken over" not in repr(core.errors)


@pytest.mark.parametrize("arguments", [{"name": "another"}])
async def test_other_arguments_make_another_strategy(core, venue, arguments):
    market, _ = await quoting(core)
    core.strategy = Quoter(market, PAIR, **arguments)
    assert len(cancels(venue)) == 1


async def test_a_class_defined_again_swaps_in_and_adopts_on_request(core, venue, monkeypatch):
    source = "import kit\nclass Mine(kit.Strategy):\n    def on_tick(self, t):\n        if not self.active_orders: {}"

    def run(body):
        space = {"__name__": "__main__"}
        exec(compile(source.format(body), "<cell>", "exec"), space)
        monkeypatch.setattr(sys.modules["__main__"], "Mine", space["Mine"], raising=False)
        return space["Mine"]

    market, first = await quoting(core, run("self.buy('1', '99')"))
    (order_id,) = market.in_flight_orders
    core.strategy = second = run("self.buy('1', '99')")(market, PAIR)  # the same source
    assert type(second) is not type(first)
    assert [order.client_order_id for order in second.active_orders] == [order_id]
    changed = run("self.buy('1', '98')")(market, PAIR)
    assert core.swap_strategy(changed, orders="adopt") == (order_id,)
    assert [order.client_order_id for order in changed.active_orders] == [order_id]
    core.strategy = run("self.buy('1', '97')")(market, PAIR)
    assert cancels(venue) == [order_id]


async def test_a_swap_is_done_with_or_without_await(core, venue):
    market, _ = await quoting(core)
    (order_id,) = market.in_flight_orders
    swapped = await core.swap_strategy(new := Other(market, PAIR), orders="adopt")
    assert swapped == (order_id,)
    assert repr(swapped) == repr((order_id,))
    assert core.strategy is new
    assert await core.swap_strategy(new) == ()
    core.swap_strategy(None)  # the forgotten await leaves nothing undone
    assert core.strategy is None
    assert cancels(venue) == [order_id]


async def test_adopted_orders_are_heard_of(core, venue):
    heard = []

    class Hearing(Other):
        def did_cancel_order(self, event):
            heard.append(event.order_id)

    market, _ = await quoting(core)
    (order_id,) = market.in_flight_orders
    core.swap_strategy(new := Hearing(market, PAIR), orders="adopt")
    new.cancel(order_id)
    await until(lambda: heard)
    assert heard == [order_id]


async def test_kept_orders_stay_and_are_named(core, venue):
    market, old = await quoting(core)
    (order_id,) = market.in_flight_orders
    assert core.swap_strategy(None, orders="keep") == (order_id,)
    assert cancels(venue) == []
    assert order_id in repr(core.log)

    def unattended():
        status = core.status
        return status[(status["part"] == "core") & (status["item"] == "unattended")]["value"].item()

    assert unattended() == order_id
    core.strategy = old  # who comes back looks after them again
    assert unattended() == ""
    assert [order.client_order_id for order in old.active_orders] == [order_id]
    core.swap_strategy(Other(market, PAIR), orders="keep")
    await core.stop()
    assert cancels(venue).count(order_id) == 1


async def test_what_cannot_be_adopted_is_cancelled(core, venue):
    market, _ = await quoting(core)
    (order_id,) = market.in_flight_orders
    assert core.swap_strategy(kit.Strategy(), orders="adopt") == ()
    assert cancels(venue) == [order_id]


@pytest.mark.parametrize("choice", ["leave", "", None])
async def test_other_choices_are_refused(core, choice):
    _, strategy = await quoting(core)
    with pytest.raises(InvalidInput, match="orders is"):
        core.swap_strategy(None, orders=choice)
    assert core.strategy is strategy


# -- listeners -----------------------------------------------------------------------------------------------------


async def test_a_listener_defined_again_replaces_its_older_self(core, monkeypatch):
    market = await connect(core)

    def run(source):
        space = {"__name__": "__main__"}
        exec(compile(source, "<cell>", "exec"), space)
        monkeypatch.setattr(sys.modules["__main__"], "on_trade", space["on_trade"], raising=False)
        market.add_listener(kit.MarketEvent.Trade, space["on_trade"])
        market.get_order_book(PAIR).add_trade_listener(space["on_trade"])

    for _ in range(3):
        run("def on_trade(event): pass")
        run("def on_trade(event): print(event)")
    assert len(market.pubsub.listeners(kit.MarketEvent.Trade)) == 1
    assert sum(getattr(fn, "__name__", "") == "on_trade" for fn in market.get_order_book(PAIR)._listeners) == 1


# -- what fails and prints -----------------------------------------------------------------------------------------


async def test_what_fails_and_prints_behind_shows_in_errors_and_log(core, venue, capsys, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)

    class Failing(kit.Strategy):
        def on_tick(self, timestamp):
            print("tick")
            raise ZeroDivisionError("planned")

    market = await connect(core)
    core.strategy = Failing(market, PAIR)
    await core.start()
    await until(lambda: core.strategy.paused)
    (failure,) = core.errors.items
    assert failure.count == 3
    assert failure.where == "Failing"
    assert failure.traceback.splitlines()[1].startswith(f'  File "{__file__}"')
    (printed,) = [entry for entry in core.log.entries() if entry.text == "tick"]
    assert (printed.source, printed.count) == ("Failing.on_tick", 3)
    assert [entry for entry in core.log.entries(logging.ERROR) if "is paused" in entry.text]
    assert "tick" not in capsys.readouterr().out
