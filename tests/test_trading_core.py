import asyncio
import logging
import threading
from decimal import Decimal

import pytest

import kit
from kit.connectors import connector_manager
from kit.connectors.client_order_ids import ClientOrderIds
from kit.errors import AuthenticationFailed, InvalidInput, MissingCredentials, NotReady
from kit.trading.strategy_place import MAX_STRATEGY_ERRORS
from kit.trading_core import TradingCore
from kit.types.orders import OrderState, OrderUpdate
from tests.support.fake_venue import PAIR, FakeVenue
from tests.support.faked_core import CREDENTIALS, Quoter, connect, until
from tests.support.stack import LENIENT


def lenient(name):
    """Make a core that a machine which stands still for some seconds does not take off live."""
    core = TradingCore(name, tick_size=0.05, guard=False)
    core.disarm_rules = LENIENT
    return core


@pytest.fixture
async def core(venue):
    core = lenient("test")
    yield core
    report = await core.stop()
    assert report.clean


class Failing(kit.Strategy):
    fail_from = 2
    seen = 0

    def on_tick(self, timestamp):
        self.seen += 1
        if self.seen == 1:
            self.buy("1", "99")
        if self.seen >= self.fail_from:
            raise ZeroDivisionError("planned")


async def test_a_live_name_hands_back_the_same_core(core, venue):
    await connect(core)
    assert TradingCore("test", tick_size=0.05) is core
    assert TradingCore("test") is core
    assert TradingCore("other") is not core
    await core.stop()
    assert TradingCore("test") is not core


async def test_it_runs_without_a_strategy(core, venue):
    await connect(core)
    await core.start()
    await until(lambda: core.clock.stats.ticks >= 2)
    assert core.running


async def test_start_and_stop_are_idempotent_and_leave_no_task(venue):
    before = set(asyncio.all_tasks())
    core = lenient("idempotent")
    await connect(core)
    await core.start()
    await core.start()
    assert sum("clock" in name for name in core.supervisor.names) == 1
    assert (await core.stop()).clean
    assert (await core.stop()).clean
    assert {task for task in asyncio.all_tasks() if not task.done()} <= before


async def test_asking_again_for_a_connector_hands_it_back(core, venue):
    market = await connect(core)
    assert await connect(core) is market
    await core.add_connector("binance", [PAIR, "ETH/USDT"], mode="live", credentials=CREDENTIALS)
    assert market.trading_pairs == (PAIR, "ETH/USDT")
    assert core.clock.children == (core.history, core["binance"])


async def test_another_configuration_replaces_the_connector_and_says_so(core, venue, caplog):
    market = await connect(core)
    with caplog.at_level(logging.WARNING):
        other = await core.add_connector("binance", [PAIR], mode="data")
    assert other is not market
    assert "replaced" in caplog.text
    assert core.clock.children == (core.history, other)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"mode": "sandbox"}, InvalidInput, "'data', 'paper', 'live'"),
        ({"mode": "live", "balances": {"USDT": 1}}, InvalidInput, "balances belong to mode 'paper'"),
        ({"mode": "paper", "balances": {"USDT": -1}}, InvalidInput, "balance of USDT is -1"),
        ({"mode": "paper", "balances": {"USDT": "many"}}, InvalidInput, "'many', which is no number"),
        ({"mode": "paper", "balances": {"USDT": float("nan")}}, InvalidInput, "balance of USDT is nan"),
        ({"mode": "paper", "balances": {"DOGE": 1}}, InvalidInput, "'DOGE', which binance on paper does not trade"),
        ({"mode": "paper", "latency": "slow"}, InvalidInput, "no latency model 'slow'"),
        ({"mode": "paper", "latency": -1}, InvalidInput, "between 0 and"),
        ({"mode": "paper", "queue": dict}, InvalidInput, "queue is <class 'dict'>"),
        ({"mode": "live"}, MissingCredentials, "credentials="),
        ({"endpoint": 7}, InvalidInput, "endpoint is 7"),
        ({"trading_pairs": PAIR}, InvalidInput, "give a list"),
        ({"trading_pairs": []}, InvalidInput, "empty"),
        ({"trading_pairs": ["BTC"]}, InvalidInput, "no trading pair"),
    ],
)
async def test_bad_connectors_are_refused_before_anything_starts(core, venue, options, error, words):
    arguments = {"exchange_id": "binance", "trading_pairs": [PAIR]} | options
    with pytest.raises(error, match=words):
        await core.add_connector(**arguments)
    assert core.connectors == {}
    assert venue.subscribed == set()


async def test_the_strategy_trades_and_stop_cancels_and_reports(core, venue):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    client_id = next(iter(venue.open))
    venue.fill(client_id, "0.4", "99", timestamp=5.0)
    await until(lambda: len(core.fills) == 1)
    assert list(core.orders["client_order_id"]) == [client_id]
    assert core.fills["amount"].tolist() == [0.4]
    assert core.pnl["pnl_quote"].tolist() == pytest.approx([0.4 * (100.5 - 99)])
    assert set(core.balances["asset"]) == {"BTC", "USDT"}
    assert bool(core.status.query("part == 'core' and item == 'running'")["value"].item())
    report = await core.stop()
    assert report.clean
    assert venue.open == {}
    assert core.pnl["pnl_quote"].tolist() == pytest.approx([0.4 * (100.5 - 99)])


async def test_stop_reports_orders_that_the_exchange_does_not_confirm(venue):
    core = lenient("stubborn")
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    venue.auto = False
    report = await core.stop(timeout=0.1)
    assert not report.clean
    assert report.orders_left == {"binance": list(venue.open)}
    assert report.tasks_left == []


async def test_a_strategy_that_throws_three_ticks_in_a_row_is_paused_and_its_orders_cancelled(core, venue, caplog):
    market = await connect(core)
    core.strategy = failing = Failing(market, PAIR)
    await core.start()
    await until(lambda: failing.paused)
    assert failing.consecutive_errors == MAX_STRATEGY_ERRORS
    assert "planned" in failing.pause_reason
    await until(lambda: not venue.open)
    assert "paused" in caplog.text
    seen = failing.seen
    ticks = core.clock.stats.ticks
    await until(lambda: core.clock.stats.ticks > ticks + 2)
    assert failing.seen == seen
    assert core.running


async def test_single_errors_do_not_pause(core, venue, caplog):
    class Sometimes(kit.Strategy):
        seen = 0

        def on_tick(self, timestamp):
            self.seen += 1
            if self.seen % 3:
                raise ValueError("now and then")

    market = await connect(core)
    core.strategy = sometimes = Sometimes(market, PAIR)
    await core.start()
    await until(lambda: sometimes.seen >= 7)
    assert not sometimes.paused
    caplog.clear()


async def test_swapping_the_strategy_cancels_the_old_ones_orders(core, venue):
    market = await connect(core)
    core.strategy = first = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    old = set(venue.open)
    core.strategy = second = Quoter(market, PAIR, name="second")
    await until(lambda: venue.open and not old & set(venue.open))
    assert core.strategy is second
    assert first not in core.clock.children
    with pytest.raises(InvalidInput, match=r"kit\.Strategy subclass"):
        core.strategy = "make money"


async def test_a_refused_key_stops_the_start_with_its_reason(core, venue):
    venue.refuse = AuthenticationFailed("wrong signature")
    market = await connect(core)
    assert "wrong signature" in market.trading_refused
    core.strategy = Quoter(market, PAIR)
    with pytest.raises(AuthenticationFailed, match="wrong signature"):
        await core.start()
    core.strategy = None
    await core.start()
    assert core.running


async def test_orders_of_a_run_that_died_are_cancelled_by_stop(core, venue):
    await connect(core)
    earlier = ClientOrderIds("test").next()
    venue.open[earlier] = OrderUpdate(PAIR, OrderState.OPEN, 0.0, client_order_id=earlier, exchange_order_id="E9")
    assert (await core.stop()).clean
    assert venue.open == {}


async def test_two_cores_do_not_disturb_each_other(venue, monkeypatch):
    venues = {"one": FakeVenue(), "two": FakeVenue()}
    cores = {}
    for name, own in venues.items():
        monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, own=own, **__: own)
        cores[name] = lenient(name)
        market = await connect(cores[name])
        cores[name].strategy = Quoter(market, PAIR)
        await cores[name].start()
    await until(lambda: venues["one"].open and venues["two"].open)
    assert (await cores["one"].stop()).clean
    assert venues["one"].open == {}
    assert len(venues["two"].open) == 1
    ticks = cores["two"].clock.stats.ticks
    await until(lambda: cores["two"].clock.stats.ticks > ticks)
    assert (await cores["two"].stop()).clean


async def test_stop_and_start_from_another_threads_loop(core, venue):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)

    def other_thread():
        async def drive():
            await core.start()
            assert core.running
            await core.stop()

        asyncio.run(drive())

    await asyncio.to_thread(other_thread)
    assert not core.running
    assert venue.open == {}


async def test_buy_and_cancel_from_a_second_thread(core, venue):
    market = await connect(core)
    await core.start()
    loop_thread, threads = threading.get_ident(), []
    submit = venue.submit
    venue.submit = lambda request: (threads.append(threading.get_ident()), submit(request))
    order_id = await asyncio.to_thread(market.buy, PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))
    await until(lambda: venue.open)
    assert threads == [loop_thread]
    await asyncio.to_thread(market.cancel, PAIR, order_id)
    await until(lambda: not venue.open)


async def test_start_needs_a_connection(core, venue):
    market = await connect(core)
    await market.close()
    with pytest.raises(NotReady, match="no connection"):
        await core.start()


async def test_stop_after_an_interrupted_stop_ends_the_rest(core, venue):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    venue.auto = False
    first = asyncio.create_task(core.stop(timeout=60))
    await until(lambda: venue.cancelled)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    report = await core.stop()
    assert report.tasks_left == []
    assert venue.closed
    assert core.connectors == {}


async def test_stop_reports_what_a_connector_left_that_was_closed_before(venue):
    core = lenient("closed before")
    market = await connect(core)
    order_id = market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))
    await until(lambda: venue.open)
    await market.close()
    assert (await core.stop()).orders_left == {"binance": [order_id]}


# what a review reproduced once


async def test_a_replacement_is_refused_while_a_cancel_is_unconfirmed(core, venue, monkeypatch):
    market = await connect(core)
    market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))
    await until(lambda: venue.open)
    venue.auto = False
    sweep = market.sweep
    monkeypatch.setattr(market, "sweep", lambda timeout=10.0: sweep(0.05))
    with pytest.raises(NotReady, match="not replaced"):
        await core.add_connector("binance", [PAIR], mode="data")
    assert core.connectors == {"binance": market}
    venue.auto = True
    venue.confirm_cancel(venue.cancelled[0])
    await until(lambda: not venue.open)


async def test_removing_a_market_takes_its_strategy_out_first(core, venue):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: venue.open)
    assert await core.remove_connector("binance") == []
    assert core.strategy is None
    assert venue.open == {}
    assert core.running
    assert core.clock.children == ()


async def test_a_failed_replacement_leaves_no_dead_child_on_the_clock(core, venue):
    market = await connect(core)
    venue.offline = True
    with pytest.raises(NotReady):
        await core.add_connector("binance", [PAIR], mode="data", timeout=0.1)
    assert market not in core.clock.children
    venue.offline = False


async def test_stop_interrupts_a_connect_that_takes_long(venue):
    core = TradingCore("hasty", guard=False)
    venue.offline = True
    connecting = asyncio.ensure_future(connect(core))
    await until(lambda: core.connectors)
    assert (await core.stop()).clean
    with pytest.raises(NotReady, match="was stopped while it connected"):
        await connecting


async def test_start_refuses_a_strategy_whose_market_is_gone(venue):
    core = lenient("again")
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.stop()
    await connect(core)
    with pytest.raises(NotReady, match="closed or belongs to another core"):
        await core.start()
    await core.stop()


async def test_the_session_outlives_stops_and_replacements(core, venue):
    market = await connect(core)
    market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))
    await until(lambda: venue.open)
    venue.fill(next(iter(venue.open)), "1", "99", timestamp=5.0)
    await until(lambda: len(core.fills) == 1)
    await core.stop()
    await core.stop()
    assert core.pnl["pnl_quote"].tolist() == pytest.approx([1.5])
    venue.open.clear()
    await connect(core)
    assert len(core.fills) == 1


def test_a_core_whose_loop_ended_without_stop_says_so_and_goes_on(venue, caplog):
    core = TradingCore("left behind", guard=False)

    async def leave():
        market = await connect(core)
        market.buy(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(99))

    async def come_back():
        await connect(core)
        return await core.stop()

    asyncio.run(leave())
    assert asyncio.run(come_back()).clean
    assert "ended without stop()" in caplog.text


async def test_a_clock_that_ends_by_itself_cancels_and_says_so(core, venue, caplog):
    class Ending(kit.TimeIterator):
        def tick(self, timestamp):
            super().tick(timestamp)
            if venue.open:
                raise StopIteration

    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    core.clock.add_iterator(Ending("ending"))
    await core.start()
    await until(lambda: not core.running)
    await until(lambda: not venue.open)
    assert "ended by itself" in caplog.text


async def test_a_stray_stop_iteration_of_a_strategy_is_an_error_like_others(core, venue, caplog):
    class Stray(kit.Strategy):
        def on_tick(self, timestamp):
            if not self.active_orders:
                self.buy("1", "99")
            next(iter(()))

    market = await connect(core)
    core.strategy = stray = Stray(market, PAIR)
    await core.start()
    await until(lambda: stray.paused)
    await until(lambda: not venue.open)
    assert core.running


async def test_a_paused_strategy_places_nothing_from_its_hooks(core, venue, caplog):
    class Stubborn(kit.Strategy):
        def on_tick(self, timestamp):
            if not self.active_orders:
                self.buy("1", "99")
            raise ValueError("planned")

        def did_cancel_order(self, event):
            self.buy("1", "98")

    market = await connect(core)
    core.strategy = stubborn = Stubborn(market, PAIR)
    await core.start()
    await until(lambda: stubborn.paused)
    await until(lambda: not venue.open)
    ticks = core.clock.stats.ticks
    await until(lambda: core.clock.stats.ticks > ticks + 1)
    assert venue.open == {}


async def test_a_strategy_that_fails_to_start_is_paused_and_its_orders_are_cancelled(core, venue, caplog):
    class Early(kit.Strategy):
        def on_start(self, timestamp):
            self.buy("1", "99")
            raise ValueError("planned")

    market = await connect(core)
    core.strategy = early = Early(market, PAIR)
    await core.start()
    await until(lambda: early.paused)
    assert "planned" in early.pause_reason
    await until(lambda: venue.cancelled)
    await until(lambda: not venue.open)


async def test_a_running_core_refuses_a_strategy_whose_market_is_closed(core, venue):
    late = Quoter(await connect(core), PAIR)
    await core.stop()
    core.strategy = present = Quoter(await connect(core), PAIR)
    await core.start()
    with pytest.raises(NotReady, match="closed or belongs to another core"):
        core.strategy = late
    assert core.strategy is present
    assert not present.paused
