"""A recorded session, replayed without a loop, takes the same decisions; what does not is shown first."""

import asyncio
import random
from decimal import Decimal
from typing import ClassVar

import pytest

import kit
from kit.backtest.parity import parity
from kit.connectors import connector_manager
from kit.errors import InvalidInput, NotReady
from kit.storage.session_files import SessionLog, open_session
from kit.trading_core import TradingCore
from kit.types.market import OrderBookSnapshot, StreamLost
from tests.support.fake_venue import PAIR, FakeVenue

CREDENTIALS = kit.Credentials("key", "secret")


@pytest.fixture
def venue(monkeypatch) -> FakeVenue:
    venue = FakeVenue()
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: venue)
    return venue


@pytest.fixture
async def core(venue):
    core = TradingCore("parity", tick_size=0.02)
    yield core
    await core.stop()


async def connect(core):
    return await core.add_connector("binance", [PAIR], mode="live", credentials=CREDENTIALS)


async def ticks(core, count):
    end = core.clock.stats.ticks + count
    async with asyncio.timeout(10):
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
        venue.emit(StreamLost(PAIR, 0.0, "planned"))
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
    from kit.errors import RateLimited

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
            order_refresh_time=1,
            filled_order_delay=1,
            price_source=lambda: 100 + rng.random() if rng.random() < 0.8 else None,
            price_source_interval=0.5,
            price_type="custom",
        ),
        tmp_path,
        count=160,
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
    places = [n for n, frame in enumerate(frames) if any(act["a"] == "place" for act in frame.acts)]
    at = places[len(places) // 2]
    early = next(n for n in range(at + 1, len(frames)) if frames[n].kind == "market")
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
