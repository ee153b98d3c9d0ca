import asyncio
import contextlib
import gc
import hashlib
import json
import subprocess
import sys
import weakref
from decimal import Decimal

import numpy as np
import pytest

import kit
from kit.backtest.replay import Outages
from kit.backtest.runner import merge, prepare
from kit.backtest.session import Session
from kit.errors import BacktestError, InvariantBroken, NotSupported
from kit.simulation.engine import MatchingEngine
from kit.simulation.feed import FeedColumns
from kit.simulation.timeline import Timeline
from kit.storage.events import EventKind, MarketEvents
from kit.trading_core import TradingCore
from kit.types.market import PriceType
from tests.support.made_market import (
    BALANCES,
    NS,
    PAIR,
    RULES,
    START,
    KnownBook,
    last_trade_price,
    made_events,
)

D = Decimal
PMM = {"bid_spread": "0.00001", "ask_spread": "0.00001", "order_amount": "0.01", "order_refresh_time": 3}


@pytest.fixture(scope="module")
def events():
    return made_events(60)


def run(strategy, data, **options):
    return kit.backtest(
        strategy, data, **{"rules": RULES, "balances": BALANCES, "latency": 0.01, "progress": False, **options}
    )


class Idle(kit.Strategy):
    def on_tick(self, timestamp):
        pass


# what a run does


def test_market_making_places_fills_and_is_written_down(events):
    result = run(kit.PureMarketMaking, events, **PMM, filled_order_delay=1)
    record = result.run
    assert len(record.orders) > 20
    assert len(record.fills) > 5
    assert {decision.action for decision in record.decisions} == {"place", "cancel"}
    assert record.counts["ticks"] == 60
    assert len(record.samples) == 61  # the begin counts
    assert sum(fill.event.amount for fill in record.fills) == sum(
        order.executed_amount_base for _, order in record.orders
    )
    for account in record.accounts:
        change = record.final_balances[account] - record.initial_balances[account]
        assert (change != 0) == bool(record.fills)
    assert result.pnl.unexplained == 0
    assert len(result.decisions) == len(record.decisions)
    assert all(START <= decision.timestamp <= START + 60 for decision in record.decisions)


def test_one_strategy_class_serves_live_and_backtest(events):
    seen = {}

    class Looker(kit.Strategy):
        def on_tick(self, timestamp):
            market = self.market
            seen.update(ready=market.ready, mode=market.mode, status=market.status, name=market.name)
            seen.update(time=timestamp, clock=self.clock.time(), pairs=market.trading_pairs)

    run(Looker, events)
    assert seen["ready"] is True
    assert (seen["name"], seen["mode"], seen["pairs"]) == ("binance", "paper", (PAIR,))
    assert seen["time"] == seen["clock"] == START + 59
    assert seen["status"]["books"][PAIR].ready


def test_a_function_makes_the_strategy_and_parameters_reach_it(events):
    made = []

    def make(markets, order_amount):
        made.append(markets)
        return kit.PureMarketMaking(markets["binance"], PAIR, **{**PMM, "order_amount": order_amount})

    result = run(make, events, order_amount="0.02")
    assert {order.amount for _, order in result.run.orders} == {D("0.02")}
    assert list(made[0]) == ["binance"]


def test_start_and_end_cut_the_run_but_not_the_book(events):
    times = []

    class Looker(kit.Strategy):
        def on_tick(self, timestamp):
            times.append(timestamp)
            assert self.market.ready

    run(Looker, events, start=START + 10, end="2024-08-09T00:00:20")
    assert times == [START + second for second in range(11, 21)]


def test_stop_iteration_ends_the_run_early(events):
    class Quits(kit.Strategy):
        ticks = 0

        def on_tick(self, timestamp):
            self.ticks += 1

    def make(markets):
        strategy = Quits(markets["binance"], PAIR)
        tick = strategy.tick

        def quits(timestamp):
            tick(timestamp)
            if strategy.ticks == 5:
                raise StopIteration

        strategy.tick = quits
        return strategy

    result = run(make, events)
    assert result.run.ended == START + 4
    assert "StopIteration" in result.run.notes[0]


def test_answers_come_between_ticks_at_their_local_time(events):
    heard = []

    class Pings(kit.Strategy):
        def on_tick(self, timestamp):
            if not self.active_orders:
                self.buy("0.01", self.market.get_price(PAIR, False) - 100)

        def did_create_buy_order(self, event):
            heard.append((self.clock.time(), event.timestamp, event.creation_timestamp))
            self.cancel(event.order_id)

        def did_cancel_order(self, event):
            heard.append((self.clock.time(), event.timestamp, None))

    run(Pings, events, latency={"request": 0.1, "answer": 0.2})
    (now, told, sent), (later, *_) = heard[:2]
    assert sent == START
    assert now == told == pytest.approx(START + 0.3, abs=1e-6)
    assert later == pytest.approx(START + 0.6, abs=1e-6)


# nothing of the future


class Comparer(kit.Strategy):
    """Reads everything public at each tick and compares it with what was received by then."""

    events = known = None
    compared = 0

    def on_tick(self, timestamp):
        now = round(timestamp) * NS
        bids, asks = type(self).known.at(now)
        market, book = self.market, self.market.get_order_book(PAIR)
        assert float(market.get_price(PAIR, True)) == min(asks)
        assert float(market.get_price(PAIR, False)) == max(bids)
        assert dict(zip(book.bids["price"], book.bids["amount"], strict=True)) == bids
        assert dict(book.depth(100)[1]) == asks
        assert book.best_bid == (max(bids), bids[max(bids)])
        assert float(market.get_price_for_volume(PAIR, True, D(5))) == pytest.approx(_worst(asks, 5))
        last = last_trade_price(type(self).events, now)
        price = market.get_price_by_type(PAIR, PriceType.LastTrade)
        assert price == last or (price.is_nan() and last.is_nan())
        assert book.last_trade is None or book.last_trade.timestamp <= timestamp
        type(self).compared += 1


def _worst(asks, volume):
    total = 0.0
    for price in sorted(asks):
        total += asks[price]
        if total >= volume:
            return price
    return None


def test_a_strategy_sees_what_was_received_and_nothing_else(events):
    class Compare(Comparer):
        pass

    Compare.events, Compare.known = events, KnownBook(events)
    run(Compare, events)
    assert Compare.compared == 60


def test_peeking_is_refused_in_every_public_way(events):
    class Peeks(kit.Strategy):
        def on_tick(self, timestamp):
            book, market = self.market.get_order_book(PAIR), self.market
            before = market.get_mid_price(PAIR)
            with pytest.raises(NotSupported, match="nothing can be applied"):
                book.apply_snapshot(_snapshot())
            with pytest.raises(kit.KitError, match="runs already"):
                self.clock.backtest_til(timestamp + 10)
            with pytest.raises(kit.KitError):
                self.clock.stop_backtest()
            assert market.get_mid_price(PAIR) == before

    def _snapshot():
        from kit.types.market import OrderBookSnapshot

        return OrderBookSnapshot(PAIR, 1, 0.0, ((1.0, 1.0),), ((2.0, 1.0),))

    run(Peeks, events, end=START + 3)


def test_a_runner_that_advances_too_far_is_caught(events, monkeypatch):
    times = [int(ns) for ns in events.local_ts]
    honest = Timeline.advance

    def one_event_too_far(self, local_ns):
        following = next((ns for ns in times if ns > local_ns), local_ns)
        honest(self, following)

    monkeypatch.setattr(Timeline, "advance", one_event_too_far)
    with pytest.raises(InvariantBroken, match="look-ahead"):
        run(Idle, events)


def test_a_view_that_lags_behind_is_caught(events, monkeypatch):
    honest = MatchingEngine.step
    monkeypatch.setattr(MatchingEngine, "step", lambda self, ns, **more: honest(self, ns - 500_000_000, **more))
    with pytest.raises(InvariantBroken, match="look-ahead check"):
        run(Idle, events)


# trades


def test_trades_come_one_by_one_at_their_time_to_those_who_listen(events):
    heard, known = [], KnownBook(events)

    class Listens(kit.Strategy):
        def on_start(self, timestamp):
            self.market.add_listener(kit.MarketEvent.Trade, self.on_trade)

        def on_tick(self, timestamp):
            pass

        def on_trade(self, event):
            heard.append((round(self.clock.time() * 1e6), event.price))
            bids, asks = known.at(self.clock._source.ns)
            assert float(self.market.get_price(PAIR, True)) == min(asks)
            assert float(self.market.get_price(PAIR, False)) == max(bids)

    run(Listens, events)
    rows = np.flatnonzero((events.kind == EventKind.TRADE) & (events.local_ts <= (START + 59) * NS))
    expected = [(round(events.local_ts[row] / 1000), events.price[row]) for row in rows]
    received = [pair for pair in expected if pair[0] > round(events.local_ts[0] / 1000)]
    assert [price for _, price in heard] == [price for _, price in received]
    assert max(abs(a[0] - b[0]) for a, b in zip(heard, received, strict=True)) <= 1


def test_nobody_listens_nothing_is_tapped(events):
    session = prepare(merge(Idle, {}, data=events, rules=RULES, balances=BALANCES))
    for _ in session.steps():
        pass
    assert not any(pair.book.heard for pair in session._pairs)
    session.close()


# gaps


def test_in_a_gap_the_market_is_not_ready(events):
    events = made_events(60, gap_at=20)
    ready = {}

    class Looks(kit.Strategy):
        def on_tick(self, timestamp):
            ready[timestamp - START] = True

        def on_not_ready(self, timestamp):
            ready[timestamp - START] = False

    run(Looks, events)
    assert ready[15]
    assert not ready[22]
    assert ready[30]
    assert sum(not known for known in ready.values()) == 5


# several pairs and exchanges


def test_exchanges_and_pairs_are_replayed_in_one_time_order():
    data = {
        "binance": {PAIR: made_events(30, seed=1), "ETH/USDT": made_events(30, seed=2, pair="ETH/USDT", delay_ms=35)},
        "bybit": {PAIR: made_events(30, seed=3, exchange="x", delay_ms=50)},
    }
    rules = {PAIR: RULES[PAIR], "ETH/USDT": RULES[PAIR]}
    heard = []

    class Hedger(kit.Strategy):
        def on_tick(self, timestamp):
            for market in self.markets:
                assert market.ready
            if not self.active_orders:
                for pair in (PAIR, "ETH/USDT"):
                    price = self.markets[0].get_price(pair, False)
                    self.buy("0.01", price, kit.OrderType.LIMIT_MAKER, trading_pair=pair)

        def did_fill_order(self, event):
            heard.append((self.clock.time(), event.order_id))
            if self.order(event.order_id).market is self.markets[0]:
                self.sell("0.01", None, kit.OrderType.MARKET, market=self.markets[1], trading_pair=PAIR)

    def make(markets):
        strategy = Hedger(markets["binance"], PAIR)
        strategy.add_market(markets["bybit"], PAIR)
        return strategy

    money = {"binance": {"USDT": 100_000}, "bybit": {"BTC": 5}}
    result = kit.backtest(
        make, data, rules=rules, balances=money, latency={"binance": 0.01, "bybit": 0.03}, progress=False
    )
    times = [time for time, _ in heard]
    assert len(times) > 10
    assert times == sorted(times)
    venues = {fill.connector for fill in result.run.fills}
    assert venues == {"binance", "bybit"}
    assert "bybit: ConstantLatency" in result.run.assumptions["latency"]


# errors of the strategy


@pytest.mark.parametrize("hook", ["on_tick", "did_create_buy_order", "on_start", "on_stop", "listener"])
def test_an_error_of_the_strategy_raises_with_the_time(events, hook):
    class Fails(kit.Strategy):
        ticks = 0

        def on_start(self, timestamp):
            if hook == "listener":
                self.market.add_listener(kit.MarketEvent.BuyOrderCreated, lambda event: 1 / 0)
            self._maybe("on_start")

        def on_tick(self, timestamp):
            self.ticks += 1
            if self.ticks == 3:
                self.buy("0.01", 50000)
            if self.ticks == 5:
                self._maybe("on_tick")

        def did_create_buy_order(self, event):
            self._maybe("did_create_buy_order")

        def on_stop(self):
            self._maybe("on_stop")

        def _maybe(self, where):
            if where == hook:
                raise ZeroDivisionError("planned")

    with pytest.raises(BacktestError, match="Fails on BTC/USDT threw ZeroDivisionError at 2024-08-0") as caught:
        run(Fails, events)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.trading_pairs == (PAIR,)
    expected = {"on_tick": 4, "did_create_buy_order": 2.02, "listener": 2.02, "on_stop": 59}
    if hook in expected:
        assert caught.value.timestamp == pytest.approx(START + expected[hook], abs=1e-3)


def test_nothing_is_left_behind(events):
    before = dict(TradingCore._cores)
    references = []

    def make(markets):
        references.extend(weakref.ref(market) for market in markets.values())
        return kit.PureMarketMaking(markets["binance"], PAIR, **PMM)

    result = run(make, events)
    assert TradingCore._cores == before
    gc.collect()
    assert [reference() for reference in references] == [None]
    assert len(result.orders)


def test_an_interrupt_ends_the_run_and_leaves_nothing(events):
    stopped = []

    class Interrupted(kit.Strategy):
        def on_tick(self, timestamp):
            if timestamp > START + 10:
                raise KeyboardInterrupt

        def on_stop(self):
            stopped.append(True)

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted, events)
    assert stopped == [True]


# the same again


SCRIPT = """
import hashlib, json
import kit
from tests.support.made_market import BALANCES, PAIR, RULES, made_events
from tests.backtest.test_backtest import PMM, digest
result = kit.backtest(kit.PureMarketMaking, made_events(60), rules=RULES, balances=BALANCES, progress=False, seed=7,
                      **PMM, filled_order_delay=1)
print(digest(result.run), len(result.run.fills))
"""


def digest(record):
    told = [
        repr(record.decisions),
        repr([fill.event for fill in record.fills]),
        json.dumps([order.as_dict() for _, order in record.orders]),
        record.samples.rows().tobytes().hex(),
    ]
    return hashlib.sha256("".join(told).encode()).hexdigest()


def test_two_processes_give_the_same_bytes():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ".", "PATH": "", "HOME": "/nonexistent"},
        )
        for hash_seed in ("1", "2")
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[0] == said[1]
    assert int(said[0].split()[1]) > 5


def test_the_seed_changes_ids_only(events):
    one, other = (run(kit.PureMarketMaking, events, **PMM, seed=seed).run for seed in (1, 2))
    assert {order.client_order_id for _, order in one.orders}.isdisjoint(
        order.client_order_id for _, order in other.orders
    )
    assert [decision._replace(client_order_id="") for decision in one.decisions] == [
        decision._replace(client_order_id="") for decision in other.decisions
    ]


# beside a loop


async def test_async_gives_others_their_turn_and_the_same_result(events, monkeypatch):
    monkeypatch.setattr("kit.backtest.session.SLICE", 0.001)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(count())
    options = {"rules": RULES, "balances": BALANCES, "latency": 0.01, "progress": False, **PMM}
    result = await kit.backtest_async(kit.PureMarketMaking, events, **options)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert turns > 5
    assert digest(result.run) == digest(run(kit.PureMarketMaking, events, **PMM).run)


async def test_a_cancelled_run_stops_its_children(events, monkeypatch):
    monkeypatch.setattr("kit.backtest.session.SLICE", 0.0)
    stopped = []

    class Stops(kit.Strategy):
        def on_tick(self, timestamp):
            pass

        def on_stop(self):
            stopped.append(self.current_timestamp)

    task = asyncio.ensure_future(kit.backtest_async(Stops, events, rules=RULES, balances=BALANCES, progress=False))
    sessions = []
    original = Session.steps
    monkeypatch.setattr(Session, "steps", lambda self: sessions.append(self) or original(self))
    while not sessions or sessions[0].replay.ticks < 5:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(stopped) == 1
    assert stopped[0] < START + 59


def test_the_progress_bar_shows_on_wish(events, capsys):
    run(Idle, events)
    assert capsys.readouterr().err == ""
    run(Idle, events, progress=True)
    assert "backtest" in capsys.readouterr().err


def test_a_snapshot_at_the_time_of_a_gap_ends_it():
    kinds = EventKind.GAP, EventKind.CLEAR, EventKind.SNAPSHOT, EventKind.SNAPSHOT, EventKind.DEPTH
    rows = [(NS, NS, kind, 1, 1.0, 1.0, 0, 0) for kind in kinds]
    again = [(2 * NS, 2 * NS, kind, 1, 1.0, 1.0, 0, 0) for kind in (EventKind.CLEAR, EventKind.GAP)]
    feed = FeedColumns.from_events(MarketEvents.from_rows("binance", "BTC/USDT", rows + again), "0.1", "0.001")
    moments = Outages.of(feed).moments
    assert [at for at, _ in moments] == [NS, NS, 2 * NS]
    assert [bool(reason) for _, reason in moments] == [True, False, True]
