"""Synthetic flow: like the recorded streams, reproducible, fair to users, cheap, and paced."""

import asyncio
import math
import random
from decimal import Decimal

import pytest

from kit.errors import InvalidInput
from kit.testnet.flow import SyntheticFlow
from kit.testnet.flow_profile import LIVELY, RECORDED, Quantiles, Zone
from kit.testnet.flow_traders import FairPrice, Heat, pareto
from kit.testnet.raw_files import DepthUpdate, Trade
from kit.testnet.recorded_book import RecordedBook
from kit.testnet.stream_stats import RECORDED_SPOT, compare, measure
from kit.testnet.symbols import BTCUSDT, SymbolInfo
from kit.testnet.venue import NewOrder, Venue
from tests.support.counted import calls
from tests.support.flow_stream import FlowScene

# like the recorded streams

TOLERANCE = {
    # A figure of the flow lies between 1/factor and factor times the recorded one. The two recorded files, five minutes
    # each of the same night, differ from each other by up to 1.9 in rates and levels, by 2.6 in the mean spread and by
    # 5 in the Fano factors of trades, which a single taker of 735 trades decides.
    "depth_rate": 1.1,
    "trade_rate": 2,
    "ticker_rate": 2,
    "levels_per_depth_p50": 2.5,
    "levels_per_depth_mean": 2,
    "levels_per_depth_p90": 3,
    "removed_share": 1.15,
    "change_distance_bps_p50": 2,
    "spread_one_tick_share": 1.1,
    "spread_ticks_mean": 2.6,
    "depth_top1_p50": 1.5,
    "depth_top5_p50": 1.3,
    "depth_top20_p50": 1.5,
    "depth_top100_p50": 1.2,
    "depth_top500_p50": 1.4,
    "gap_ticks_p50": 1.3,
    "gap_ticks_mean": 1.2,
    "trade_size_p50": 1.6,
    "trade_size_mean": 1.2,
    "trade_size_p90": 1.2,
    "taker_rate": 2,
    "trades_per_taker_mean": 1.3,
    "same_side_share": 1.1,
    "trade_fano_100ms": 5,
    "trade_fano_1s": 5,
    "ticker_fano_1s": 3,
    "volatility_1s_bps": 1.6,
    "volatility_10s_bps": 2,
    "unchanged_1s_share": 1.5,
    "range_30s_bps_p50": 2,
}

LIVELIER = {
    # What the default profile does on purpose: its price moves more, so that quotes 0.1 % away are reached within
    # seconds. (from, to) as ratios to the recorded figure.
    "volatility_1s_bps": (3, 9),
    "volatility_10s_bps": (2, 6),
    "range_30s_bps_p50": (2.5, 6),
    "unchanged_1s_share": (0.15, 0.7),
}


@pytest.mark.parametrize("name", ["recorded", "lively"])
def test_the_stream_has_the_figures_of_the_recorded_one(name):
    scene = FlowScene(seed=5, profile=RECORDED if name == "recorded" else None)
    rows = compare(measure(scene.record(180), tick_units=scene.info.tick_units), RECORDED_SPOT)
    wrong = []
    print(f"\n{name:26} {'recorded':>10} {'flow':>10} {'ratio':>7}  allowed")
    for row in rows:
        low, high = 1 / TOLERANCE[row.name], TOLERANCE[row.name]
        if name == "lively":
            low, high = LIVELIER.get(row.name, (low, high))
        print(f"{row.name:26} {row.reference:10.4g} {row.measured:10.4g} {row.ratio:7.2f}  {low:.2f} … {high:.2f}")
        if not low <= row.ratio <= high:
            wrong.append(row)
    assert not wrong
    assert {row.name for row in rows} == set(TOLERANCE)


def test_the_book_has_about_a_thousand_levels_a_side_and_keeps_them():
    scene = FlowScene(seed=2)
    assert 850 < len(scene.market.bids) < 1150
    assert 850 < len(scene.market.asks) < 1150
    for until in (60, 120):
        scene.flow.step(until)
        assert 600 < len(scene.market.bids) < 1700
        assert 600 < len(scene.market.asks) < 1700
        for ladder in (scene.market.bids, scene.market.asks):
            prices = [price for price, _ in ladder.depth(10**6)]
            assert abs(prices[-1] / prices[0] - 1) * 1e4 == pytest.approx(LIVELY.range_bps, rel=0.5)


def test_the_published_changes_make_the_book():
    scene = FlowScene(seed=3)
    book = RecordedBook()
    messages = scene.record(20.05)
    book.apply_snapshot(messages[0])
    for message in messages[1:]:
        if isinstance(message, DepthUpdate):
            assert book.apply_update(message)
    scene._publish()
    if isinstance(scene.messages[-1], DepthUpdate):
        book.apply_update(scene.messages[-1])
    assert book.sound
    info = scene.info
    for ours, engine in ((book.bids, scene.market.bids), (book.asks, scene.market.asks)):
        expected = {price * info.tick_units: lots * info.lot_units for price, lots in engine.depth(10**6)}
        assert [price for price in {*ours, *expected} if ours.get(price) != expected.get(price)] == []


def test_the_second_symbol_is_quieter():
    busy, quiet = FlowScene(seed=1), FlowScene("ETHUSDT", seed=1)
    assert len(quiet.record(60)) < 0.5 * len(busy.record(60))
    assert quiet.mid * float(quiet.info.tick_size) == pytest.approx(2650, rel=0.02)
    assert 200 < len(quiet.market.asks) < 700


# reproducible


def fingerprint(scene):
    trades = [(trade.price_ticks, trade.qty_lots, trade.time_ms) for trade in scene.market.trades]
    return trades, scene.market.bids.depth(10**6), scene.market.asks.depth(10**6), scene.market.last_update_id


def test_a_seed_decides_everything_however_time_is_cut():
    one, other, different = FlowScene(seed=4), FlowScene(seed=4), FlowScene(seed=5)
    one.flow.step(20)
    for step in range(1, 201):
        other.flow.step(step / 10)
    different.flow.step(20)
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one)[0] != fingerprint(different)[0]
    assert len(one.market.trades) > 100


def test_symbols_of_one_seed_do_not_move_together():
    bitcoin, ether = FlowScene(seed=4), FlowScene("ETHUSDT", seed=4)
    bitcoin.flow.step(5)
    ether.flow.step(5)
    assert bitcoin.flow._rng.random() != ether.flow._rng.random()


# users


class User:
    """A trader on the flow's market who quotes both sides around the middle."""

    def __init__(self, scene, half_spread=0.001, refresh=10, qty="0.01"):
        self.scene = scene
        self.venue = scene.venue
        self.account = self.venue.create_account("user")
        for asset in ("BTC", "USDT"):
            self.venue.deposit(self.account, asset, Decimal(10_000_000))
        self.half_spread, self.refresh, self.qty = half_spread, refresh, Decimal(qty)
        self.orders = {}
        self.filled = []

    def quote(self, side):
        sign = -1 if side == "BUY" else 1
        price = Decimal(round(self.scene.mid * (1 + sign * self.half_spread))) * self.scene.info.tick_size
        return self.place(side, price, self.qty)

    def place(self, side, price, qty):
        return self.venue.place(
            self.account, NewOrder(symbol="BTCUSDT", side=side, type="LIMIT", price=price, qty=Decimal(qty))
        )

    def take(self, side, qty):
        return self.venue.place(self.account, NewOrder(symbol="BTCUSDT", side=side, type="MARKET", qty=Decimal(qty)))

    def make_market(self, seconds):
        """Quote once a second where nothing stands, and everything anew every ``refresh`` seconds."""
        for second in range(seconds):
            for side in ("BUY", "SELL"):
                order = self.orders.get(side)
                if order is not None and order.status == "FILLED":
                    self.filled.append(side)
                elif order is not None and second % self.refresh == 0:
                    self.venue.cancel(self.account, "BTCUSDT", order.order_id)
                elif order is not None:
                    continue
                self.orders[side] = self.quote(side)
            self.scene.flow.step(self.scene.flow.now + 1)
        self.filled += [side for side, order in self.orders.items() if order.status == "FILLED"]
        return self.filled


@pytest.mark.parametrize(
    ("half_spread", "refresh", "usual"), [(0.0005, 30, 3), (0.001, 5, 5), (0.001, 15, 3), (0.001, 30, 2)]
)
def test_quotes_a_twentieth_to_a_tenth_of_a_percent_away_fill_within_half_a_minute(half_spread, refresh, usual):
    """Whole orders filled in 30 s; the most that can fill are two at once, and again at once after each fill."""
    fills = [len(User(FlowScene(seed=seed), half_spread, refresh).make_market(30)) for seed in range(3)]
    assert min(fills) >= 1, fills
    assert sorted(fills)[1] >= usual, fills


def check(scene):
    market = scene.market
    assert not any(scene.venue.check_ledger().values())
    if market.bids.best and market.asks.best:
        assert market.bids.best.price_ticks < market.asks.best.price_ticks


def test_users_who_take_everything_find_a_book_again_soon():
    scene = FlowScene(seed=6)
    user = User(scene)
    for side, ladder in (("BUY", scene.market.asks), ("SELL", scene.market.bids)):
        everything = sum(lots for _, lots in ladder.depth(10**6)) * scene.info.step_size
        user.take(side, everything)
        assert len(ladder) == 0
        check(scene)
        scene.flow.step(scene.flow.now + 3)
        assert len(ladder) > 500
        check(scene)


def test_a_wall_stops_the_price_and_is_eaten_bit_by_bit():
    scene = FlowScene(seed=6)
    user = User(scene)
    start = scene.mid
    price = Decimal(round(start * 1.0005)) * scene.info.tick_size
    wall = user.place("SELL", price, 140)
    scene.flow.configure(fair_price=float(price) * 1.01)
    for _ in range(8):
        scene.flow.step(scene.flow.now + 1)
        check(scene)
        assert scene.market.bids.best.price_ticks < wall.price_ticks
    assert wall.status == "PARTIALLY_FILLED"
    assert scene.market.asks.best.price_ticks == wall.price_ticks
    eaten = wall.executed_lots * scene.info.step_size
    assert 5 < eaten < 130
    user.venue.cancel(user.account, "BTCUSDT", wall.order_id)
    scene.flow.step(scene.flow.now + 10)
    assert scene.mid == pytest.approx(start * 1.0005 * 1.01, rel=0.004)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_users_do_the_book_stays_sound(seed):
    scene = FlowScene(seed=seed)
    user = User(scene)
    rng = random.Random(seed)
    open_orders = []
    for _ in range(300):
        side = rng.choice(["BUY", "SELL"])
        action = rng.random()
        if action < 0.5:
            price = round(scene.mid * (1 + rng.gauss(0, 0.0005)))
            order = user.place(side, price * scene.info.tick_size, rng.choice(["0.001", "0.5", "3"]))
            open_orders.append(order)
        elif action < 0.7:
            user.take(side, rng.choice(["0.01", "0.5", "5"]))
        elif open_orders:
            order = open_orders.pop(rng.randrange(len(open_orders)))
            if order.resting:
                user.venue.cancel(user.account, "BTCUSDT", order.order_id)
        scene.flow.step(scene.flow.now + rng.expovariate(10))
        check(scene)
    assert scene.flow.now > 20
    assert scene.mid == pytest.approx(6_180_000, rel=0.02)


# settings


def test_without_volatility_the_price_stays():
    scene = FlowScene(seed=1)
    scene.flow.configure(volatility=0)
    before = scene.mid
    scene.flow.step(20)
    assert scene.mid == pytest.approx(before, abs=200)
    assert scene.market.trades


def test_without_activity_nothing_happens_and_with_more_more():
    scene = FlowScene(seed=1)
    scene.flow.configure(activity=0)
    scene.flow.step(10)  # what was due already still happens
    before = scene.market.last_update_id
    scene.flow.step(30)
    assert scene.market.last_update_id == before
    scene.flow.configure(activity=3)
    scene.flow.step(60)
    busy = len(scene.market.trades)
    scene.flow.configure(activity=0.3)
    scene.flow.step(90)
    assert busy > 3 * (len(scene.market.trades) - busy)


def test_the_price_goes_where_it_is_told():
    scene = FlowScene(seed=1)
    scene.flow.configure(fair_price=70_000)
    scene.flow.step(10)
    assert scene.mid / 100 == pytest.approx(70_000, rel=0.01)
    assert len(scene.market.bids) < 2_000
    assert len(scene.market.asks) < 2_000


@pytest.mark.parametrize(
    "settings",
    [{"volatility": -1}, {"activity": math.nan}, {"activity": math.inf}, {"fair_price": 0}, {"fair_price": math.nan}],
)
def test_bad_settings_are_refused(settings):
    scene = FlowScene(seed=1)
    with pytest.raises(InvalidInput, match=next(iter(settings))):
        scene.flow.configure(**settings)


def test_bad_symbols_and_prices_are_refused():
    venue = Venue((BTCUSDT,), now_ms=lambda: 0)
    with pytest.raises(InvalidInput, match="no symbol 'DOGEUSDT'; it has BTCUSDT"):
        SyntheticFlow(venue, "DOGEUSDT")
    with pytest.raises(InvalidInput, match=r"fair_price is 0\.5; it must be finite and at least 1\.0"):
        SyntheticFlow(venue, "BTCUSDT", fair_price=0.5)


def test_any_symbol_gets_a_market_around_a_given_price():
    steps = {"tick_size": Decimal("0.0001"), "step_size": Decimal(1), "min_qty": Decimal(1)}
    info = SymbolInfo("XYZUSDT", "XYZ", "USDT", max_qty=Decimal(10**9), min_notional=Decimal(5), **steps)
    venue = Venue((info,), now_ms=lambda: 0)
    flow = SyntheticFlow(venue, "XYZUSDT", fair_price=0.5)
    flow.step(20)
    market = venue.markets["XYZUSDT"]
    assert market.bids.best.price_ticks == pytest.approx(5000, rel=0.01)
    assert market.trades
    assert all(price > 0 for price, _ in market.bids.depth(10_000))


# time and cost


class FakeTime:
    """Time that passes only in sleep; ``stall`` makes the next sleep last longer than asked."""

    def __init__(self, end):
        self.now = 1_700_000_000.0
        self.end = self.now + end
        self.stall = 0.0
        self.sleeps = 0

    def time(self):
        return self.now

    async def sleep(self, seconds):
        assert seconds > 0
        self.sleeps += 1
        self.now += seconds + self.stall
        self.stall = 0.0
        if self.now >= self.end:
            raise asyncio.CancelledError


async def run(scene, clock):
    with pytest.raises(asyncio.CancelledError):
        await scene.flow.run(time=clock.time, sleep=clock.sleep)


async def test_run_follows_the_clock():
    paced, stepped = FlowScene(seed=8), FlowScene(seed=8)
    clock = FakeTime(10)
    await run(paced, clock)
    assert 9.9 < paced.flow.now < 10
    assert clock.sleeps > 300, "it wakes for each event, so that each change of the best price can be told"
    stepped.flow.step(paced.flow.now)
    levels = paced.market.bids.depth(10), paced.market.asks.depth(10)
    assert levels == (stepped.market.bids.depth(10), stepped.market.asks.depth(10))


@pytest.mark.parametrize(("stall", "made_up"), [(0.8, True), (30.0, False), (3600.0, False)])
async def test_a_stall_is_made_up_for_only_when_it_is_short(stall, made_up):
    scene = FlowScene(seed=8)
    clock = FakeTime(5 + stall)
    clock.stall = stall
    await run(scene, clock)
    assert scene.flow.now == pytest.approx(5 + stall if made_up else 5, abs=0.2)


async def test_a_cancelled_run_goes_on_where_it_was():
    scene = FlowScene(seed=8)
    await run(scene, FakeTime(3))
    await run(scene, FakeTime(3))
    assert scene.flow.now == pytest.approx(6, abs=0.2)


def test_preparing_twice_changes_nothing():
    scene = FlowScene(seed=1)
    scene.flow.prepare()
    assert not scene.market.take_changes().levels


def test_a_change_of_the_book_costs_little_and_not_more_as_time_goes_by():
    """Counted in calls, some 50 each: 2 % of a core for BTCUSDT."""
    scene = FlowScene(seed=1)
    for until in (5, 40):
        scene.flow.step(until)
        before = scene.market.last_update_id
        work = calls(lambda until=until: scene.flow.step(until + 5))
        assert work / (scene.market.last_update_id - before) < 100


# parts


def test_quantiles_are_hit():
    rng = random.Random(1)
    draw = Quantiles((0, 1.0), (0.5, 10.0), (0.9, 100.0), (1, 1000.0))
    values = sorted(draw.draw(rng) for _ in range(20_000))
    assert values[10_000] == pytest.approx(10, rel=0.1)
    assert values[18_000] == pytest.approx(100, rel=0.1)
    assert 1 <= values[0] <= values[-1] <= 1000


@pytest.mark.parametrize(
    "points", [((0.1, 1.0), (1, 2.0)), ((0, 1.0), (0.5, 2.0)), ((0, 1.0), (0.9, 1.0), (0.5, 2.0), (1, 3.0))]
)
def test_bad_quantiles_are_refused(points):
    with pytest.raises(InvalidInput, match="must grow from 0 to 1"):
        Quantiles(*points)


def test_zones_have_their_median_and_limit():
    rng = random.Random(1)
    zone = Zone(1.0, 50.0, 2.0, 1_000.0)
    values = sorted(zone.draw(rng) for _ in range(5_000))
    assert values[2_500] == pytest.approx(50, rel=0.15)
    assert values[-1] == 1_000


def test_clusters_have_the_tail_of_their_exponent():
    rng = random.Random(1)
    values = [pareto(rng, 1.5, 100) for _ in range(20_000)]
    assert min(values) == 1
    assert max(values) == 100
    assert sum(value == 1 for value in values) / 20_000 == pytest.approx(1 - 2**-1.5, abs=0.02)
    assert sum(value >= 10 for value in values) / 20_000 == pytest.approx(10**-1.5, rel=0.15)


def test_the_fair_price_walks_and_wiggles_as_its_profile_says():
    fair = FairPrice(LIVELY, 1000.0, random.Random(1))
    logs = []
    for _ in range(20_000):
        logs.append(math.log(fair.move(0.5, 1.0)) * 1e4)
    steps = [later - earlier for earlier, later in zip(logs[:-1:2], logs[2::2], strict=False)]
    wiggle = 2 * LIVELY.wiggle_bps**2 * (1 - math.exp(-1 / LIVELY.wiggle_seconds))
    expected = math.sqrt(LIVELY.volatility_bps**2 + wiggle)
    assert math.sqrt(sum(step * step for step in steps) / len(steps)) == pytest.approx(expected, rel=0.05)


def test_heat_averages_one():
    heat = Heat(LIVELY, random.Random(1))
    values = []
    for _ in range(40_000):
        heat.move(0.5)
        values.append(heat.value)
    assert sum(values) / len(values) == pytest.approx(1, rel=0.1)
    assert max(values) > 3


def test_trades_come_in_both_directions_at_the_best_prices():
    scene = FlowScene(seed=9)
    trades = [message for message in scene.record(60) if isinstance(message, Trade)]
    buys = sum(not trade.buyer_is_maker for trade in trades)
    assert 0.2 < buys / len(trades) < 0.8
