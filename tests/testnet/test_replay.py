"""Replay: the recorded book and tape without users, the queue rules with them, files, time."""

import asyncio
import gzip
import logging
from decimal import Decimal
from itertools import pairwise

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import InvalidInput
from kit.testnet.raw_files import BadRecording, Snapshot, Trade, read_raw
from kit.testnet.replay import Replay
from kit.testnet.symbols import BTCUSDT, SymbolInfo
from kit.testnet.venue import NewOrder, Venue
from tests.support.recordings import FUTURES, SPOT, recordings

SYMBOL = SymbolInfo(
    symbol="XY",
    base="X",
    quote="Y",
    tick_size=Decimal(1),
    step_size=Decimal(1),
    min_qty=Decimal(1),
    max_qty=Decimal(10_000),
    min_notional=Decimal(0),
    maker_fee=Decimal(0),
    taker_fee=Decimal(0),
    percent_price_up=Decimal(1000),
    percent_price_down=Decimal(0),
)


class Recording:
    """Writes raw lines: one call, one message, a tenth of a second apart unless told otherwise."""

    def __init__(self, path, start=1_000.0):
        self.path = path
        self.now = start
        self.update_id = 100
        self.trade_id = 0
        self.lines = []

    def _add(self, message, after):
        self.now += after
        self.lines.append(b"%d %s\n" % (round(self.now * 1e9), orjson.dumps(message)))
        return self

    def snapshot(self, bids, asks, after=0.0):
        return self._add({"lastUpdateId": self.update_id, "bids": texts(bids), "asks": texts(asks)}, after)

    def depth(self, bids=(), asks=(), after=0.1, skip=0):
        first = self.update_id + 1 + skip
        self.update_id = first
        data = {"e": "depthUpdate", "E": 1, "s": "XY", "U": first, "u": first, "b": texts(bids), "a": texts(asks)}
        return self._add({"stream": "xy@depth", "data": data}, after)

    def trade(self, price, amount, *, taker_sells, after=0.1):
        self.trade_id += 1
        data = {"e": "trade", "E": 1, "T": 1, "s": "XY", "t": self.trade_id, "m": taker_sells}
        return self._add({"stream": "xy@trade", "data": data | {"p": str(price), "q": str(amount)}}, after)

    def write(self):
        self.path.write_bytes(b"".join(self.lines))
        return self.path


def texts(levels):
    return [[str(price), str(amount)] for price, amount in levels]


class Scene:
    """An exchange with a replay and one user with money."""

    def __init__(self, *paths, speed=1.0, info=SYMBOL):
        self.venue = Venue((info,), now_ms=lambda: 0)
        self.user = self.venue.create_account("user")
        for asset in (info.base, info.quote):
            self.venue.deposit(self.user, asset, Decimal(1_000_000))
        self.market = self.venue.markets[info.symbol]
        self.published = []
        self.replay = Replay(self.venue, info.symbol, paths, speed, on_publish=self.publish)
        self.replay.prepare()
        self.market.take_changes()

    def publish(self, market):
        self.published.append(market.take_changes().levels)

    def place(self, side, price, qty, type="LIMIT", **more):
        size = {"price": Decimal(price), "qty": Decimal(qty)} if type == "LIMIT" else {"qty": Decimal(qty)}
        return self.venue.place(self.user, NewOrder(symbol="XY", side=side, type=type, **size, **more))

    @property
    def bids(self):
        return dict(self.market.bids.depth(1000))

    @property
    def asks(self):
        return dict(self.market.asks.depth(1000))

    @property
    def tape(self):
        return [(trade.price_ticks, trade.qty_lots, trade.buyer_is_maker) for trade in self.market.trades]

    def check(self):
        assert not any(self.venue.check_ledger().values())
        bids, asks = self.market.bids.best, self.market.asks.best
        assert bids is None or asks is None or bids.price_ticks < asks.price_ticks


@pytest.fixture
def recording(tmp_path):
    return Recording(tmp_path / "a.raw").snapshot([(99, 10), (98, 20)], [(101, 10), (102, 20)])


# without users


def straight_from_files(paths):
    """Rebuild the book with nothing of the kit: yields (second, bids, asks) at each full second; prices in cents."""
    sides = {"b": {}, "a": {}}
    waiting, last_id, second = [], None, None

    def apply(data):
        for key, levels in sides.items():
            for price, amount in data[key]:
                levels.pop(round(float(price) * 100), None)
                if float(amount):
                    levels[round(float(price) * 100)] = max(round(float(amount) * 1e5), 1)

    for path in paths:
        for line in gzip.decompress(path.read_bytes()).splitlines():
            stamp, _, body = line.partition(b" ")
            if b"lastUpdateId" not in body and b"depthUpdate" not in body:
                continue
            message = orjson.loads(body)
            if second is not None and int(stamp) // 10**9 > second:
                yield second, dict(sides["b"]), dict(sides["a"])
            second = int(stamp) // 10**9
            if "lastUpdateId" in message:
                last_id = message["lastUpdateId"]
                apply({"b": message["bids"], "a": message["asks"]})
                for data in waiting:
                    if data["u"] > last_id:
                        apply(data)
            elif last_id is None:
                waiting.append(message["data"])
            else:
                apply(message["data"])
    yield second, dict(sides["b"]), dict(sides["a"])


def publishing(paths, info):
    """Replay files and rebuild the book from what is published only: yields (second, bids, asks) likewise."""
    venue = Venue((info,), now_ms=lambda: 0)
    replay = Replay(venue, info.symbol, paths)
    replay.prepare()
    market = venue.markets[info.symbol]
    market.take_changes()
    sides = {"BUY": dict(market.bids.depth(10**6)), "SELL": dict(market.asks.depth(10**6))}

    def publish(_):
        for (side, price), lots in market.take_changes().levels.items():
            if lots:
                sides[side][price] = lots
            else:
                sides[side].pop(price, None)

    replay.on_publish = publish
    start = next(message for message in read_raw(paths) if isinstance(message, Snapshot)).local_ns
    second = start // 10**9
    while not replay.finished.is_set():
        replay.step(((second + 1) * 10**9 - 1 - start) / 1e9)
        yield second, dict(sides["BUY"]), dict(sides["SELL"])
        second += 1


@pytest.mark.parametrize(("names", "seconds"), [(SPOT, 651), (FUTURES, 60)])
def test_what_is_published_is_the_recorded_book_at_every_second(names, seconds):
    paths = recordings(*names)
    snapshot = next(message for message in read_raw(paths) if isinstance(message, Snapshot))
    known = range(snapshot.bids[-1][0] // 10**6, snapshot.asks[-1][0] // 10**6 + 1)
    compared = 0
    straight = iter(straight_from_files(paths))
    ours = iter(publishing(paths, BTCUSDT))
    for second, bids, asks in ours:
        expected = next((row for row in straight if row[0] == second), None)
        if expected is None:
            break
        inside = 0
        for mine, recorded in ((bids, expected[1]), (asks, expected[2])):
            assert not [price for price, _ in mine.items() ^ recorded.items() if price in known]
            inside += sum(map(known.__contains__, recorded))
        assert inside > 500
        compared += 1
        if compared == seconds:
            break
    assert compared == seconds


def test_the_tape_is_the_recorded_one():
    paths = recordings(*SPOT)
    venue = Venue(now_ms=lambda: 0)
    tape = []
    venue.on_trade.append(lambda _, trade: tape.append((trade.price_ticks, trade.qty_lots, trade.buyer_is_maker)))
    replay = Replay(venue, "BTCUSDT", paths)
    replay.step(60.0)
    start = next(message for message in read_raw(paths) if isinstance(message, Snapshot)).local_ns
    recorded = []
    for message in read_raw(paths):
        if message.local_ns - start > 60 * 10**9:
            break
        if isinstance(message, Trade) and message.local_ns > start:
            recorded.append((message.price // 10**6, message.amount // 1000, message.buyer_is_maker))
    assert tape == recorded
    assert len(tape) > 1000
    assert replay.trades == len(tape)
    assert not any(venue.check_ledger().values())


# with a user: queue, trades, crossings


def test_a_user_waits_behind_what_rested_there(recording):
    path = recording.trade(99, 6, taker_sells=True).depth([(99, 4)]).trade(99, 7, taker_sells=True).write()
    scene = Scene(path)
    order = scene.place("BUY", 99, 5)
    scene.replay.step(0.1)
    assert order.executed_lots == 0, "6 of the 10 ahead are gone"
    scene.replay.step(0.2)
    scene.replay.step(0.3)
    assert order.executed_lots == 3, "4 were ahead of a trade of 7"
    scene.check()


def test_what_is_cancelled_comes_from_behind_the_user_and_what_is_added_stands_behind(recording):
    path = (
        recording.depth([(99, 30)])  # 20 more, behind the user
        .depth([(99, 12)])  # 18 fewer: all of them from behind
        .trade(99, 10, taker_sells=True)
        .trade(99, 1, taker_sells=True)
        .write()
    )
    scene = Scene(path)
    order = scene.place("BUY", 99, 5)
    scene.replay.step(0.1)
    assert scene.bids[99] == 35
    scene.replay.step(0.3)
    assert scene.bids[99] == 7, "12 recorded and 5 of the user, less a trade of 10"
    assert order.executed_lots == 0
    scene.replay.step(0.4)
    assert order.executed_lots == 1
    scene.check()


def test_a_cut_below_what_stands_ahead_moves_the_user_on(recording):
    scene = Scene(recording.depth([(99, 3)]).trade(99, 4, taker_sells=True).write())
    order = scene.place("BUY", 99, 5)
    scene.replay.step(1)
    assert order.executed_lots == 1


def test_a_user_with_a_better_price_is_hit_first(recording):
    scene = Scene(recording.trade(99, 8, taker_sells=True).depth([(99, 2)]).write())
    order = scene.place("BUY", 100, 5)
    scene.replay.step(0.1)
    assert order.status == "FILLED"
    assert scene.tape == [(100, 5, True), (99, 3, True)]
    assert scene.bids[99] == 7
    scene.replay.step(0.2)
    assert scene.bids[99] == 2
    scene.check()


def test_a_recorded_level_that_crosses_a_user_fills_it(recording):
    scene = Scene(recording.depth([(101, 4)], [(101, 0), (102, 0), (103, 9)]).depth([(98, 1)]).write())
    order = scene.place("SELL", 101, 3)
    scene.replay.step(0.1)
    assert order.status == "FILLED"
    assert order.cum_quote_units == 3 * 101 * 10**8
    assert scene.bids[101] == 1
    scene.replay.step(0.2)
    assert scene.bids == {101: 4, 99: 10, 98: 1}, "the recorded amount is restored"
    assert scene.published[-1] == {("BUY", 101): 4, ("BUY", 98): 1}
    scene.check()


def test_a_user_larger_than_the_crossing_level_keeps_its_rest(recording):
    scene = Scene(recording.depth([(101, 4)], [(101, 0), (102, 0), (103, 9)]).write())
    order = scene.place("SELL", 101, 30)
    scene.replay.step(0.1)
    assert order.executed_lots == 4
    assert scene.asks == {101: 26, 103: 9}
    assert 101 not in scene.bids
    scene.check()


def test_a_taker_walks_the_recorded_book_which_comes_back_with_the_next_message(recording):
    scene = Scene(recording.depth([(97, 1)]).write())
    order = scene.place("BUY", 0, 15, "MARKET")
    assert order.cum_quote_units == (10 * 101 + 5 * 102) * 10**8
    assert scene.asks == {102: 15}
    scene.replay.step(0.1)
    assert scene.asks == {101: 10, 102: 20}
    assert scene.published == [{("BUY", 97): 1, ("SELL", 101): 10, ("SELL", 102): 20}]
    scene.check()


def test_a_trade_between_depth_messages_where_the_book_shows_nothing(recording):
    """Bids and asks moved up and a trade happened there before the depth message told of it."""
    scene = Scene(recording.trade(103, 2, taker_sells=True).depth([(103, 5)], [(101, 0), (102, 0), (104, 1)]).write())
    scene.replay.step(0.1)
    assert scene.tape == [(103, 2, True)]
    assert scene.asks == {}, "asks at 101 and 102 cannot have been there any more"
    scene.check()
    scene.replay.step(0.2)
    assert scene.bids == {103: 5, 99: 10, 98: 20}
    assert scene.asks == {104: 1}


def test_a_trade_through_several_levels_leaves_the_users_behind_filled(recording):
    scene = Scene(recording.trade(102, 25, taker_sells=False).write())
    first, second, away = scene.place("SELL", 101, 5), scene.place("SELL", 102, 5), scene.place("SELL", 103, 5)
    scene.replay.step(0.1)
    assert (first.status, second.status, away.status) == ("FILLED", "NEW", "NEW")
    assert scene.tape == [(101, 5, False), (102, 20, False)]
    scene.check()


def test_a_user_alone_inside_the_spread_gets_what_a_trade_brings_and_no_more(recording):
    scene = Scene(recording.trade(101, 2, taker_sells=False).write())
    order = scene.place("SELL", 100, 5)
    scene.replay.step(0.1)
    assert order.executed_lots == 2
    assert scene.asks == {100: 3, 101: 10, 102: 20}


# files


def test_depth_messages_before_the_snapshot_join_it(tmp_path):
    recording = Recording(tmp_path / "a").depth([(97, 1)]).depth([(96, 2)]).snapshot([(99, 1)], [(101, 1)])
    recording.update_id += 1  # the snapshot holds both: one more follows
    recording.lines.insert(2, recording.depth([(95, 3)], after=0).lines.pop())
    recording.lines[2], recording.lines[3] = recording.lines[3], recording.lines[2]
    scene = Scene(recording.depth([(94, 4)]).write())
    assert scene.bids[99] == 1
    assert 97 not in scene.bids


def test_several_files_go_on_from_each_other(tmp_path, recording):
    first = recording.depth([(97, 1)]).write()
    second = Recording(tmp_path / "b.raw", start=recording.now)
    second.update_id = recording.update_id
    second.depth([(96, 2)]).depth([(99, 0)]).write()
    scene = Scene(first, second.path)
    scene.replay.step(10)
    assert scene.bids == {98: 20, 97: 1, 96: 2}
    assert scene.replay.recorded.gaps == 0
    assert scene.replay.finished.is_set()


def test_a_gap_keeps_the_union_and_drops_what_a_newer_level_passed(recording, caplog):
    scene = Scene(recording.depth([(101, 7)], skip=5).depth(asks=[(103, 1)]).write())
    with caplog.at_level(logging.WARNING):
        scene.replay.step(0.1)
    assert "misses depth updates" in caplog.text
    assert scene.bids == {101: 7, 99: 10, 98: 20}
    assert scene.asks == {102: 20}
    scene.replay.step(0.2)
    assert scene.asks == {102: 20, 103: 1}
    scene.check()


def test_a_later_snapshot_repairs_a_gap(recording):
    recording.depth([(97, 7)], skip=5).snapshot([(90, 1)], [(110, 1)], after=0.1)
    scene = Scene(recording.depth([(91, 2)]).write())
    scene.replay.step(10)
    assert (scene.bids, scene.asks) == ({91: 2, 90: 1}, {110: 1})
    assert scene.replay.recorded.sound


def test_without_a_snapshot_the_book_fills_with_what_is_named(tmp_path, caplog):
    recording = Recording(tmp_path / "a")
    recording.trade(100, 1, taker_sells=True).depth([(99, 1)], [(101, 1)]).depth([(98, 2)], [(101, 0), (102, 5)])
    with caplog.at_level(logging.WARNING):
        scene = Scene(recording.trade(98, 1, taker_sells=True).write())
    assert "no depth snapshot" in caplog.text
    scene.replay.step(0.15)
    assert (scene.bids, scene.asks) == ({99: 1, 98: 2}, {102: 5})
    scene.replay.step(1)
    assert scene.tape == [(98, 1, True)]


def test_a_recording_of_something_else_is_refused(tmp_path):
    path = Recording(tmp_path / "a").trade(100, 1, taker_sells=True).write()
    with pytest.raises(InvalidInput, match="no depth message of XY"):
        Scene(path)


@pytest.mark.parametrize(
    ("bids", "message"), [([("99.5", 1)], "99.5 is not a multiple of XY's tick size"), ([("0", 1)], "0.0 is not")]
)
def test_prices_between_ticks_are_refused(tmp_path, bids, message):
    path = Recording(tmp_path / "a").snapshot(bids, [(101, 1)]).write()
    with pytest.raises(InvalidInput, match=message):
        Scene(path)


def test_amounts_finer_than_a_step_are_rounded_but_not_away(tmp_path):
    path = Recording(tmp_path / "a").snapshot([(99, "0.2"), (98, "2.6")], [(101, "7.4")]).write()
    scene = Scene(path)
    assert (scene.bids, scene.asks) == ({99: 1, 98: 3}, {101: 7})


def test_damage_in_mid_file_stops_with_the_line(recording):
    recording.depth([(97, 1)]).lines.append(b"17 {}x\n")
    scene = Scene(recording.write())
    with pytest.raises(BadRecording, match="line 3"):
        scene.replay.step(10)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_bad_speeds_are_refused(recording, speed):
    with pytest.raises(InvalidInput, match="speed is"):
        Scene(recording.write(), speed=speed)


def test_unknown_symbols_are_refused(recording):
    with pytest.raises(InvalidInput, match="no symbol 'AB'; it has XY"):
        Replay(Venue((SYMBOL,), now_ms=lambda: 0), "AB", [recording.write()])


def test_at_the_end_the_book_stands_and_everyone_is_told(recording, caplog):
    scene = Scene(recording.depth([(97, 1)]).write())
    told = []
    scene.replay.on_finished = lambda: told.append(scene.bids)
    with caplog.at_level(logging.INFO):
        scene.replay.step(0.1)
    assert told == [{99: 10, 98: 20, 97: 1}]
    assert scene.replay.finished.is_set()
    assert "is played" in caplog.text
    assert not scene.venue.on_trade
    scene.replay.step(99)
    assert len(told) == 1


# time


class FakeTime:
    """Time that passes only in sleep; ``stall`` makes the next sleep last longer than asked."""

    def __init__(self):
        self.now = 50.0
        self.stall = 0.0
        self.sleeps = []

    def time(self):
        return self.now

    async def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds + self.stall
        self.stall = 0.0
        await asyncio.sleep(0)


@pytest.mark.parametrize("speed", [0.5, 1.0, 20.0])
async def test_run_plays_at_the_speed_asked_for(recording, speed):
    for step in range(50):
        recording.depth([(50 + step % 3, 1 + step)])
    scene = Scene(recording.write(), speed=speed)
    clock = FakeTime()
    at = []
    scene.replay.on_publish = lambda _: at.append(clock.now)
    await scene.replay.run(time=clock.time, sleep=clock.sleep)
    assert at == pytest.approx([50.0 + (step + 1) * 0.1 / speed for step in range(50)], abs=1e-6)
    assert scene.replay.finished.is_set()


async def test_after_a_stall_it_goes_on_without_a_burst(recording):
    for step in range(100):
        recording.depth([(50, 1 + step)])
    scene = Scene(recording.write())
    clock = FakeTime()
    at = []

    def publish(_):
        at.append(clock.now)
        if len(at) == 10:
            clock.stall = 30.0

    scene.replay.on_publish = publish
    await scene.replay.run(time=clock.time, sleep=clock.sleep)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert max(gaps) == pytest.approx(30.1)
    assert sorted(gaps)[:-1] == pytest.approx([0.1] * 98)


async def test_a_short_delay_is_caught_up(recording):
    for step in range(100):
        recording.depth([(50, 1 + step)])
    scene = Scene(recording.write())
    clock = FakeTime()
    clock.stall = 0.8
    await scene.replay.run(time=clock.time, sleep=clock.sleep)
    assert clock.now == pytest.approx(60.0, abs=0.01)


async def test_long_work_is_cut_so_that_others_get_their_turn(recording):
    for step in range(300):
        recording.depth([(50, 1 + step)], after=0.0)
    scene = Scene(recording.write())
    clock = FakeTime()
    await scene.replay.run(time=clock.time, sleep=clock.sleep)
    assert len(clock.sleeps) >= 4


def test_a_long_silence_is_cut_to_a_second(recording, caplog):
    scene = Scene(recording.depth([(97, 1)], after=3600.0).depth([(96, 1)], after=9.0).write())
    with caplog.at_level(logging.WARNING):
        scene.replay.step(1.05)
    assert scene.bids[97] == 1
    scene.replay.step(10.01)
    assert scene.bids[96] == 1
    scene.replay.step(0.0)


async def test_a_cancelled_run_can_go_on(recording):
    scene = Scene(recording.depth([(97, 1)]).depth([(96, 1)], after=5.0).write())
    clock = FakeTime()

    async def stop_at_the_long_sleep(seconds):
        if seconds > 1:
            raise asyncio.CancelledError
        await clock.sleep(seconds)

    with pytest.raises(asyncio.CancelledError):
        await scene.replay.run(time=clock.time, sleep=stop_at_the_long_sleep)
    assert 97 in scene.bids
    assert 96 not in scene.bids
    await scene.replay.run(time=clock.time, sleep=clock.sleep)
    assert 96 in scene.bids


# anything at all

levels = st.dictionaries(st.integers(90, 110), st.integers(0, 12), max_size=4)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("depth"), levels, levels),
        st.tuples(st.just("trade"), st.integers(92, 108), st.integers(1, 30), st.booleans()),
        st.tuples(st.just("limit"), st.booleans(), st.integers(90, 110), st.integers(1, 40)),
        st.tuples(st.just("market"), st.booleans(), st.integers(1, 40)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(moves)
def test_whatever_users_do_the_market_keeps_the_recorded_amounts(tmp_path_factory, script):
    """The recorded book never crosses; users place, take and cancel at random between its messages."""
    recording = Recording(tmp_path_factory.mktemp("r") / "a").snapshot([(99, 10), (98, 20)], [(101, 10), (102, 20)])
    for move in script:
        if move[0] == "depth":
            middle = 100 + len(recording.lines) % 3
            bids = [(price, lots) for price, lots in move[1].items() if price < middle]
            asks = [(price, lots) for price, lots in move[2].items() if price > middle]
            bids += [(price, 0) for price in range(middle, 111)]
            asks += [(price, 0) for price in range(90, middle + 1)]
            recording.depth(bids, asks)
        elif move[0] == "trade":
            recording.trade(move[1], move[2], taker_sells=move[3])
    scene = Scene(recording.write())
    played = 0.0
    for move in script:
        if move[0] in {"depth", "trade"}:
            played += 0.1
            scene.replay.step(played + 0.01)
        elif move[0] == "limit":
            scene.place("BUY" if move[1] else "SELL", move[2], move[3])
        elif move[0] == "market":
            scene.place("BUY" if move[1] else "SELL", 0, move[2], "MARKET")
        elif orders := scene.venue.open_orders(scene.user):
            scene.venue.cancel(scene.user, "XY", orders[move[1] % len(orders)].order_id)
        scene.check()
        if move[0] == "depth":
            check_amounts(scene)


def check_amounts(scene):
    """Every level holds what is recorded plus what users have there, save where it has just met a user's order."""
    replay = scene.replay
    users = {}
    for order in scene.venue.open_orders(scene.user):
        users[order.side, order.price_ticks] = users.get((order.side, order.price_ticks), 0) + order.open_lots
    for side, book, recorded in (
        ("BUY", scene.bids, replay.recorded.bids),
        ("SELL", scene.asks, replay.recorded.asks),
    ):
        for price in {*book, *(price // 10**8 for price in recorded)}:
            market = book.get(price, 0) - users.get((side, price), 0)
            expected = recorded.get(price * 10**8, 0) // 10**8
            assert market == expected or (market < expected and (side == "BUY", price) in replay._mirror.touched)
