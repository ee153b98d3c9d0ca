"""A recorded session, replayed without a loop, takes the same decisions; what does not is shown first."""

import asyncio
import contextlib
import os
import random
import time
from decimal import Decimal
from itertools import pairwise
from typing import ClassVar

import pytest

import kit
from kit.backtest.parity import parity
from kit.connectors import connector_manager
from kit.errors import InvalidInput, NotReady, RateLimited
from kit.storage.session_files import SessionLog, open_session
from kit.trading_core import TradingCore
from kit.types.market import OrderBookSnapshot, StreamLost
from kit.types.orders import Balance, BalanceUpdate, CancelFailed, OrderState, OrderUpdate, UserStreamStatus
from tests.support.fake_venue import PAIR, FakeVenue
from tests.support.faked_core import CREDENTIALS, connect, until
from tests.support.patient import be_patient

UNHURRIED = kit.DisarmRules(loop_lag=None, behind=None)


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    be_patient(monkeypatch.setattr)


@pytest.fixture
async def core(venue):
    core = TradingCore("parity", tick_size=0.02, guard=False)
    core.disarm_rules = UNHURRIED
    yield core
    await core.stop()


async def ticks(core, count):
    end = core.clock.stats.ticks + count
    async with asyncio.timeout(60):
        while core.clock.stats.ticks < end:
            await asyncio.sleep(0.002)


def move(venue, bid):
    """Put a snapshot with another best price on the stream."""
    venue.books[PAIR] = ((bid, 5.0), (bid + 1, 5.0))
    venue._update_id += 1
    venue.emit(OrderBookSnapshot(PAIR, venue._update_id, 0.0, ((bid, 5.0),), ((bid + 1, 5.0),)))


class Follower(kit.Strategy):
    """Quotes one below the best bid; replaces when the bid moved."""

    class Params(kit.Params):
        distance: Decimal = kit.param("1", gt=0, doc="distance from the best bid, quote")

    def on_tick(self, timestamp):
        price = self.market.get_price(PAIR, False) - self.params.distance
        resting = self.active_orders
        for order in resting:
            if order.price != price:
                self.cancel(order.client_order_id)
        if not resting and price.is_finite():
            self.buy("1", price)


class Peeker(Follower):
    """Looks at a variable that the market has not told yet."""

    future: ClassVar[list[Decimal]] = []

    def on_tick(self, timestamp):
        for order in self.active_orders:
            self.cancel(order.client_order_id)
        if not self.active_orders and Peeker.future:
            self.buy("1", Peeker.future.pop(0))


class Clumsy(Follower):
    """Throws in ticks and hooks, and places what the market refuses."""

    seen = 0

    def on_tick(self, timestamp):
        self.seen += 1
        if self.seen % 7 == 3:
            raise ZeroDivisionError("planned")
        if self.seen % 5 == 4:
            self.buy("0.000001", "50")
        super().on_tick(timestamp)

    def did_cancel_order(self, event):
        raise RuntimeError("planned")

    def did_create_buy_order(self, event):
        if len(self.active_orders) < 2:
            self.buy("1", "50")


async def record(core, venue, make, folder, *, during=None, count=40):
    market = await connect(core)
    session = core.record_session(folder)
    core.strategy = make(market)
    await core.start()
    rng = random.Random(1)
    for _ in range(count // 2):
        move(venue, 100.0 + rng.randrange(5))
        await ticks(core, 2)
    if during is not None:
        await during(market)
    await core.stop()
    return session


async def test_the_same_session_takes_the_same_decisions(core, venue, tmp_path):
    session = await record(core, venue, lambda market: Follower(market, PAIR), tmp_path)
    report = parity(session.path, Follower, fills=False)
    assert report.equal, report
    assert report.first is None
    assert report.ticks >= 40
    assert len(report.decisions) > 20
    assert not report.notes
    actions = set(report.frame()["action"])
    assert {"place", "cancel", "send cancel"} <= actions
    assert report.frame()["equal"].all()
    assert [act["order"]["client_order_id"] for act in acts(session.path) if act["a"] == "place"] == [
        request.client_order_id for request in venue.submitted
    ]


def acts(path):
    return [act for frame in open_session(path).frames for act in frame.acts]


async def test_parameters_errors_and_refusals_are_replayed(core, venue, tmp_path):
    async def change(market):
        for distance in ("2", "3.5", "1.25"):
            core.strategy.params.distance = distance
            await ticks(core, 4)
        core.strategy.pause("by hand")
        core.strategy.cancel_all()
        await ticks(core, 3)
        core.strategy.resume()
        await ticks(core, 5)

    session = await record(core, venue, lambda market: Clumsy(market, PAIR), tmp_path, during=change)
    report = parity(session, Clumsy, fills=False)
    assert report.equal, report
    assert report.param_changes == 3
    errors = [decision.live["error"] for decision in report.decisions if decision.live["a"] == "error"]
    assert {"ZeroDivisionError", "RuntimeError", "InvalidOrder"} <= set(errors)


async def test_losses_swaps_and_orders_by_hand_are_replayed(core, venue, tmp_path):
    async def trouble(market):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(venue, "fetch_order_book", lambda _: asyncio.Event().wait())  # so that it stays lost
            venue.emit(StreamLost(PAIR, 0.0, "planned"))
            await until(lambda: not market.ready)
            await ticks(core, 3)
            assert not market.ready
        move(venue, 103.0)
        await ticks(core, 3)
        by_hand = market.sell(PAIR, Decimal(1), kit.OrderType.LIMIT, Decimal(200))
        await ticks(core, 2)
        market.cancel(PAIR, by_hand)
        first, other = core.strategy, Follower(market, PAIR, name="other", distance="2")
        core.strategy = other
        await ticks(core, 4)
        core.strategy = first
        await ticks(core, 4)
        core.strategy.buy("1", "60")
        venue.fill(venue.submitted[-1].client_order_id, "0.25", "60", "t1")
        venue.report_balance("USDT", "9985", "9000")
        await ticks(core, 3)
        venue.auto = False
        move(venue, 104.0)
        await ticks(core, 4)
        for request in venue.cancelled[-1:]:
            venue.confirm_cancel(request)
        await ticks(core, 4)
        venue.auto = True
        for request in [*venue.submitted]:
            if request.client_order_id in market.in_flight_orders:
                venue.accept(request)

    session = await record(core, venue, lambda market: Follower(market, PAIR), tmp_path, during=trouble)
    report = parity(session, Follower, fills=False)
    assert report.equal, report
    assert {"place", "cancel", "swap", "account", "tick", "upkeep"} & {d.during for d in report.decisions}


async def test_answers_inside_of_a_call_are_replayed(core, venue, tmp_path):
    """A venue that refuses in ``submit`` itself."""
    submit, count = venue.submit, iter(range(10_000))

    def limited(request):
        if next(count) % 3 == 1:
            raise RateLimited("planned")
        submit(request)

    venue.submit = limited
    session = await record(core, venue, lambda market: Follower(market, PAIR), tmp_path)
    assert any(act["a"] == "submit" and act["error"] == "RateLimited" for act in acts(session.path))
    report = parity(session, Follower, fills=False)
    assert report.equal, report


async def test_the_price_source_answers_as_it_did(core, venue, tmp_path):
    rng = random.Random(5)
    session = await record(
        core,
        venue,
        lambda market: kit.PureMarketMaking(
            market,
            PAIR,
            bid_spread="0.01",
            ask_spread="0.01",
            order_amount="0.5",
            order_refresh_time=0.3,
            filled_order_delay=0.3,
            price_source=lambda: 100 + rng.random() if rng.random() < 0.8 else None,
            price_source_interval=0.5,
            price_type="custom",
        ),
        tmp_path,
        count=100,
    )
    report = parity(session, fills=False)
    assert report.equal, report
    assert len(report.decisions) >= 6


async def test_a_look_into_the_future_is_caught(core, venue, tmp_path):
    Peeker.future = [Decimal(90 + step % 7) for step in range(200)]
    session = await record(core, venue, lambda market: Peeker(market, PAIR), tmp_path)
    Peeker.future = []
    report = parity(session, Peeker, fills=False)
    assert not report.equal
    assert report.first.decision.live["a"] == "place"
    assert report.first.decision.replay is None


async def test_an_event_too_early_is_caught(core, venue, tmp_path):
    session = await record(core, venue, lambda market: Follower(market, PAIR), tmp_path)
    log = open_session(session.path)
    frames = list(log.frames)
    bids = [(n, frame.data[1]["bids"][0][0]) for n, frame in enumerate(frames) if frame.kind == "market"]
    at, early = next(
        (n, after)
        for (before, bid), (after, moved) in pairwise(bids)
        for n in range(before, after)
        if moved != bid and any(act["a"] == "place" for act in frames[n].acts)
    )
    assert not parity(log, Follower, fills=False).differences
    frames.insert(at, frames.pop(early))
    report = parity(SessionLog(log.header, frames), Follower, fills=False)
    assert not report.equal
    assert report.first.decision.number >= frames[at + 1].number


async def test_another_decision_is_shown_first_with_its_context(core, venue, tmp_path):
    session = await record(core, venue, lambda market: Follower(market, PAIR), tmp_path)
    log = open_session(session.path)
    placing = [frame for frame in log.frames if any(act["a"] == "place" for act in frame.acts)]
    planted = next(act for act in placing[3].acts if act["a"] == "place")
    planted["order"]["price"] = "77.77"
    report = parity(log, Follower, fills=False)
    assert report.differing == 1
    first = report.first
    assert first.decision.number == placing[3].number
    assert first.decision.tick == placing[3].data["ts"]
    assert first.decision.live["order"]["price"] == "77.77"
    assert first.decision.replay["order"]["price"] != "77.77"
    ((bid, ask),) = first.prices.values()
    assert 99 < bid < ask < 107
    assert first.params == {"distance": "1"}
    assert "77.77" in str(report)
    assert "77.77" in report._repr_html_()
    assert list(report.frame().query("not equal")["price"]) == ["77.77"]


async def test_a_changed_class_is_told(core, venue, tmp_path):
    session = await record(core, venue, lambda market: Follower(market, PAIR), tmp_path)

    class Bolder(Follower):
        def on_tick(self, timestamp):
            if not self.active_orders:
                self.buy("2", "50")

    report = parity(session, Bolder, fills=False)
    assert not report.equal
    assert report.first.decision.replay["order"]["amount"] == "2.00000"
    assert any("source differs" in note for note in report.notes)


async def test_a_class_that_cannot_be_imported_is_asked_for(core, venue, tmp_path):
    class Local(Follower):
        pass

    session = await record(core, venue, lambda market: Local(market, PAIR), tmp_path)
    with pytest.raises(InvalidInput, match=r"cannot be imported.*strategy=TheClass"):
        parity(session, fills=False)
    assert parity(session, Local, fills=False).equal
    assert parity(session, lambda markets: Local(markets["binance"], PAIR), fills=False).equal
    with pytest.raises(InvalidInput, match="makes it anew"):
        parity(session, 7, fills=False)


async def test_recording_begins_before_the_strategy(core, venue, tmp_path):
    market = await connect(core)
    core.strategy = Follower(market, PAIR)
    await core.start()
    with pytest.raises(NotReady, match="before start"):
        core.record_session(tmp_path)
    core.strategy = None
    session = core.record_session(tmp_path)
    assert core.record_session(tmp_path) is session
    with pytest.raises(InvalidInput, match="stop that first"):
        core.record_session(tmp_path / "other")
    core.strategy = Follower(market, PAIR)
    await ticks(core, 5)
    session.stop()
    report = parity(session, Follower, fills=False)
    assert report.equal, report
    assert report.decisions
    core.strategy = None
    assert core.record_session(tmp_path).path != session.path


async def test_nothing_is_left_on_the_core_afterwards(core, venue, tmp_path):
    market = await connect(core)
    strategy = core.strategy = Follower(market, PAIR)
    watched = [core, core.clock, market, market.desk, market.order_tracker, market.balances, strategy, strategy.health]
    before = [dict(vars(item)) for item in watched]
    session = core.record_session(tmp_path)
    assert [dict(vars(item)) for item in watched] != before
    session.stop()
    after = [dict(vars(item)) for item in watched]
    for item, was, now in zip(watched, before, after, strict=True):
        changed = {name for name in was.keys() | now.keys() if was.get(name) is not now.get(name)}
        assert not {name for name in changed if callable(was.get(name)) or callable(now.get(name))}, (item, changed)


async def test_a_session_without_a_strategy_says_so(core, venue, tmp_path):
    await connect(core)
    session = core.record_session(tmp_path)
    await core.start()
    await ticks(core, 3)
    session.stop()
    report = parity(session, fills=False)
    assert report.equal
    assert any("no strategy" in note for note in report.notes)


def test_what_is_no_session_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="there is no recorded session"):
        parity(tmp_path)
    with pytest.raises(InvalidInput, match="no file or folder"):
        parity(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match="session is 5"):
        parity(5)


async def test_skipped_ticks_and_a_strategy_that_asks_for_the_time(core, venue, tmp_path):
    class Timer(Follower):
        def on_tick(self, timestamp):
            if self.active_orders:
                self.cancel(self.active_orders[0].client_order_id)
            else:
                # Microseconds of the clock, and of the order's creation, decide about the amount.
                first, second = self.clock.time(), self.clock.time()
                self.buy(1 + int(first * 1e6) % 7 + int(second * 1e6) % 5, "50")

        def did_create_buy_order(self, event):
            created = self.market.in_flight_orders[event.order_id].creation_timestamp
            if int(created * 1e6) % 3 == 0:
                self.cancel(event.order_id)

    async def block(market):
        for _ in range(3):
            time.sleep(0.09)
            await ticks(core, 2)

    session = await record(core, venue, lambda market: Timer(market, PAIR), tmp_path, during=block)
    log = open_session(session.path)
    assert sum(frame.data["skipped"] for frame in log.of("tick")) >= 3
    report = parity(log, Timer, fills=False)
    assert report.equal, report
    for frame in log.of("tick"):
        frame.reads.pop("clock", None)
    assert not parity(log, Timer, fills=False).equal


async def test_connectors_and_pairs_that_come_and_go(core, venue, tmp_path, monkeypatch):
    class Both(kit.Strategy):
        def on_tick(self, timestamp):
            for market in self.markets:
                for order in self.active_orders:
                    if order.market is market:
                        self.cancel(order.client_order_id)
                for pair in market.trading_pairs:
                    price = market.get_price(pair, False)
                    if price.is_finite():
                        self.buy("1", price - len(market.trading_pairs), market=market, trading_pair=pair)

    market = await connect(core)
    session = core.record_session(tmp_path)
    other = FakeVenue(bid=90.0, ask=91.0)
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: other)
    await core.start()
    second = await core.add_connector("kraken", [PAIR], mode="live", credentials=CREDENTIALS)
    core.strategy = strategy = Both(market, PAIR)
    await ticks(core, 4)
    strategy.add_market(second)
    await ticks(core, 4)
    await market.add_trading_pair("ETH/USDT")
    await ticks(core, 4)
    core.strategy = None
    await core.remove_connector("kraken")
    core.strategy = Both(market, PAIR)
    await ticks(core, 4)
    await core.stop()
    report = parity(session, Both, fills=False)
    assert report.equal, report
    assert {"binance", "kraken"} <= set(report.frame()["connector"])
    assert {PAIR, "ETH/USDT"} <= set(report.frame()["pair"])


async def test_paper_that_goes_live_and_back_is_replayed(tmp_path, monkeypatch):
    """The account is exchanged under the strategy: balances, orders and fills are then those of the other one."""
    live = FakeVenue()
    live.balances = {"BTC": Balance(Decimal(2), Decimal(2)), "USDT": Balance(Decimal(500), Decimal(500))}
    data = FakeVenue()
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, trading, **__: live if trading else data)
    core = TradingCore("parity of two accounts", tick_size=0.02, guard=False, tables=False)
    core.disarm_rules = UNHURRIED

    class Spender(Follower):
        def on_tick(self, timestamp):
            self.cancel_all()
            self.buy(self.market.get_available_balance("USDT") / 1000, "99")

    market = await core.add_connector("binance", [PAIR], mode="paper", credentials=CREDENTIALS)
    session = core.record_session(tmp_path)
    core.strategy = Spender(market, PAIR)
    await core.start()
    await ticks(core, 5)
    await core.go_live()
    await ticks(core, 5)
    await until(lambda: live.open)
    live.fill(next(iter(live.open)), "0.01", "99")
    await ticks(core, 3)
    await core.go_paper()
    await ticks(core, 5)
    await core.stop()
    report = parity(session, Spender, fills=False)
    assert report.equal, report
    assert len(report.decisions) > 15
    assert live.submitted[0].amount == Decimal("0.5")


async def test_what_runs_inside_of_a_hook_is_told(core, venue, tmp_path):
    class Nested(Follower):
        def on_tick(self, timestamp):
            stream = self.market.user_stream_tracker
            stream.process(BalanceUpdate("USDT", Balance(Decimal(1), Decimal(1)), 0.0))

    session = await record(core, venue, lambda market: Nested(market, PAIR), tmp_path, count=6)
    report = parity(session, Nested, fills=False)
    assert any("within a callback" in note for note in report.notes)


class Wild(Follower):
    """Trades on both sides, reacts to every event, and throws now and then; random, but from the books only."""

    class Params(Follower.Params):
        levels: int = kit.param(2, ge=1, le=4)

    def on_tick(self, timestamp):
        mid = self.market.get_mid_price(PAIR)
        if int(mid * 2) % 5 == 0:
            self.cancel_all()
        for level in range(self.params.levels):
            if len(self.active_orders) < 8:
                self.buy("0.1", mid - 1 - level)
                self.sell("0.1", mid + 1 + level)
        if self.market.get_available_balance("USDT") < 9000:
            raise ValueError("planned")

    def did_fill_order(self, event):
        if len(self.active_orders) < 10:
            self.sell(event.amount * 2, event.price + 3)

    def did_fail_order(self, event):
        if len(self.active_orders) < 10:
            self.buy("0.2", "80")

    def on_not_ready(self, timestamp):
        self.cancel_all()


def stir(venue, market, core, rng):
    """Let one random thing happen, at once."""

    def some_order():
        live = list(market.in_flight_orders.values())
        return rng.choice(live) if live else None

    def update(state, **more):
        if order := some_order():
            venue.send(OrderUpdate(PAIR, state, 0.0, order.client_order_id, f"E{order.client_order_id}", **more))

    def fill():
        if order := some_order():
            amount = order.amount * rng.choice([Decimal("0.3"), Decimal(1)])
            venue.fill(order.client_order_id, str(amount), str(order.price), str(rng.random()))

    def fail_cancel():
        if order := some_order():
            found = rng.random() < 0.5
            venue.send(CancelFailed(order.client_order_id, PAIR, 0.0, "planned", not found, found))

    def buy_by_hand():
        with contextlib.suppress(NotReady):  # while the core goes back from live by itself
            market.buy(PAIR, Decimal("0.1"), kit.OrderType.LIMIT, Decimal(70))

    def toggle():
        venue.auto = not venue.auto

    rng.choice(
        [
            lambda: move(venue, 90.0 + rng.randrange(20)),
            lambda: move(venue, 90.0 + rng.randrange(20)),
            lambda: venue.trade(100.0, rng.random() + 0.1),
            lambda: venue.emit(StreamLost(PAIR, 0.0, "planned")),
            lambda: venue.report_balance("USDT", "10000", str(rng.randrange(8500, 10000))),
            lambda: venue.send(UserStreamStatus(rng.random() < 0.7, 0.0, "planned")),
            lambda: core.strategy.params.update(levels=rng.randrange(1, 5), distance=rng.randrange(1, 4)),
            lambda: core.strategy.pause("planned") if rng.random() < 0.5 else core.strategy.resume(),
            buy_by_hand,
            core.strategy.cancel_all,
            lambda: update(OrderState.OPEN),
            lambda: update(OrderState.FAILED, reason="planned", error="InvalidOrder"),
            lambda: update(OrderState.UNKNOWN),
            lambda: update(OrderState.CANCELED, filled=Decimal("0.05")),
            fill,
            fill,
            fail_cancel,
            toggle,
        ]
    )()


@pytest.mark.parametrize("seed", range(1, 1 + int(os.environ.get("KIT_PARITY_SEEDS", "3"))))
async def test_whatever_happens_is_replayed(core, venue, tmp_path, monkeypatch, seed):
    rng = random.Random(seed)
    if seed > 1:  # else the first errors end the live trading, and little happens after that
        monkeypatch.setattr(core.switch, "disarm", lambda cause: None)

    async def storm(market):
        for _ in range(250):  # 2.5 s, or more on a busy machine
            for _ in range(rng.randrange(4)):
                stir(venue, market, core, rng)
            await asyncio.sleep(rng.random() * 0.02)
        venue.auto = True
        core.strategy = None
        venue.open.clear()
        for order in market.in_flight_orders.values():
            filled = order.executed_amount_base
            ended = OrderUpdate(PAIR, OrderState.CANCELED, 0.0, order.client_order_id, filled=filled)
            venue.send(ended)
        await ticks(core, 2)

    session = await record(core, venue, lambda market: Wild(market, PAIR), tmp_path, during=storm, count=4)
    report = parity(session, Wild, fills=False)
    assert report.equal, report
    assert len(report.decisions) > 30
    assert len(set(report.frame()["during"])) >= 3


@pytest.mark.parametrize("kind", ["market", "async", "set while it runs"])
async def test_prices_from_elsewhere(core, venue, tmp_path, monkeypatch, kind):
    other = FakeVenue(bid=200.0, ask=202.0)
    rng = random.Random(3)
    market = await connect(core)
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: other)
    elsewhere = await core.add_connector("kraken", [PAIR], mode="data")

    async def fetch():
        await asyncio.sleep(0.01)
        return 100 + 10 * rng.random()

    source = fetch if kind == "async" else elsewhere
    strategy = kit.PureMarketMaking(
        market,
        PAIR,
        bid_spread="0.01",
        ask_spread="0.01",
        order_amount="0.5",
        order_refresh_time=0.2,
        price_source=None if kind == "set while it runs" else source,
        price_source_interval=0.5,
    )
    session = core.record_session(tmp_path)
    core.strategy = strategy
    await core.start()
    for number in range(12):
        move(other, 190.0 + rng.randrange(20))
        await ticks(core, 10)
        if kind == "set while it runs" and number == 5:
            strategy.price_source = fetch
        if number == 8:
            strategy.price_source = elsewhere
    await core.stop()
    report = parity(session, fills=False)
    assert report.equal, report
    prices = {Decimal(price) for price in report.frame().query("action == 'place'")["price"]}
    assert len(prices) >= 4
    assert max(prices) > 150
