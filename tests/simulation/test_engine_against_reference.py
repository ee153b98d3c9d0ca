"""Random markets and orders: the engine gives the fills, queues and views of the plain reference with two books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.simulation.engine import FillKind, MatchingEngine, Outcome
from kit.simulation.exchange_models import NoPartialFill, PartialFill, SelfTradePrevention
from kit.simulation.feed import FeedColumns
from kit.simulation.queue_models import (
    LogProb,
    LogProb2,
    PowerProb,
    PowerProb2,
    PowerProb3,
    QueueModel,
    RiskAverse,
)
from kit.storage.events import EventKind, MarketEvents
from kit.types.market import TradeType
from kit.types.orders import OrderType, TimeInForce
from tests.simulation.reference_exchange import ASK, BID, Book, Exchange

MODELS: list[QueueModel] = [RiskAverse(), PowerProb(3.0), LogProb(), PowerProb2(2.0), LogProb2(), PowerProb3(1.5)]
KINDS = {"depth": EventKind.DEPTH, "trade": EventKind.TRADE, "snapshot": EventKind.SNAPSHOT}
KINDS |= {"clear": EventKind.CLEAR, "gap": EventKind.GAP}
TYPES = {"limit": OrderType.LIMIT, "post_only": OrderType.LIMIT_MAKER, "market": OrderType.MARKET}
PREVENTIONS = dict(zip(("none", "taker", "maker", "both"), SelfTradePrevention, strict=True))
LOT = 0.5
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    kind: str
    side: int
    tick: int
    qty: float
    wait: int
    delay: int


class Chances:
    """Many choices from one draw: hypothesis needs far longer to draw them one by one than the test to play them."""

    def __init__(self, draw: Any, count: int) -> None:
        self._bytes = iter(draw(st.binary(min_size=2 * count, max_size=2 * count)))

    def below(self, end: int) -> int:
        return (next(self._bytes) << 8 | next(self._bytes)) % end

    def of(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]


@st.composite
def markets(draw: Any) -> list[Row]:
    # A narrow range makes for crossings, a wide one for levels outside of the small window, and where the sides stay
    # apart (0) orders live long enough for their queues to move.
    width = draw(st.sampled_from([0, 0, 4, 12, 400]))
    middle = draw(st.sampled_from([500, 5000]))
    rows = []
    count = draw(st.integers(1, 60))
    chances = Chances(draw, 8 * count)
    kinds = ["depth"] * 12 + ["trade"] * 5 + ["snapshot", "clear", "gap"] if width else ["depth"] * 5 + ["trade"] * 4
    for _ in range(count):
        kind = chances.of(kinds)
        side = chances.of([BID, ASK] if kind != "gap" else [-1])
        if kind == "clear" and chances.of([False, True]):
            side = -1
        lean = -1 if side == BID else 1
        tick = middle + lean * (chances.below(width + width // 4 + 1) - width // 4 if width else 1 + chances.below(3))
        qty = (chances.below(9) if kind == "depth" else 1 + chances.below(8)) * LOT / chances.of([1, 1, 4])
        qty = 0.0 if qty < LOT / 2 else qty
        if kind == "trade":
            qty = qty or LOT
        rows.append(Row(kind, side, tick, qty, chances.below(4), chances.below(13)))
    return rows


@st.composite
def actions(draw: Any) -> list[tuple[Any, ...]]:
    listed: list[tuple[Any, ...]] = []
    rest = draw(st.booleans())  # on the own side of the middle, near it, until something fills them
    count = draw(st.integers(1, 14))
    chances = Chances(draw, 7 * count)
    for number in range(count):
        wait = chances.below(16)
        what = chances.of(["submit"] * 5 + ["cancel", "look", "look", "step"])
        if what == "submit" and rest:
            side = chances.of([BID, ASK])
            tick = (1 + chances.below(3)) * (-1 if side == BID else 1)
            listed.append((wait, what, number + 1, side, tick, 1 + chances.below(12), "limit", "GTC"))
        elif what == "submit":
            side = chances.of([BID, ASK])
            tick = chances.below(17) - 8
            kind = chances.of(["limit"] * 5 + ["post_only", "market"])
            force = chances.of(["GTC"] * 4 + ["IOC", "FOK"])
            listed.append((wait, what, number + 1, side, tick, 1 + chances.below(12), kind, force))
        else:
            listed.append((wait, what, 1 + chances.below(14)))
    return listed


def feed_of(rows: list[Row]) -> FeedColumns:
    now, table = 1000, []
    for row in rows:
        now += row.wait
        side = 0 if row.side < 0 else (1 if row.side == BID else -1)
        if row.kind == "trade":
            side = -side  # the taker's
        price = 0.0 if row.kind in ("gap", "clear") else row.tick / 10
        table.append((now, now + row.delay, KINDS[row.kind], side, price, row.qty, 0, 0))
    return FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", table), "0.1", str(LOT))


class Both:
    """The engine and the reference, moved together."""

    def __init__(self, rows: list[Row], model: QueueModel, partial: bool, prevention: str, floor: int) -> None:
        self.rows, self.feed = rows, feed_of(rows)
        exchange = PartialFill(PREVENTIONS[prevention]) if partial else NoPartialFill()
        self.engine = MatchingEngine(
            tick_size="0.1", lot_size=str(LOT), queue=model, exchange=exchange, window=64, response_floor_ns=floor
        )
        self.engine.load(self.feed)
        name = type(model).__name__
        self.exchange = Exchange(name, model.exponent, partial, prevention if partial else "none", LOT)
        self.view = Book()
        self.applied = self.seen = 0
        self.fills: list[Any] = []

    def move(self, row: int) -> None:
        while self.applied < row:
            r = self.rows[self.applied]
            self.exchange.row(int(self.feed.exch_ts[self.applied]), r.kind, r.side, r.tick, r.qty)
            self.applied += 1

    def advance(self, exch_ns: int, look_ns: int | None = None) -> None:
        while self.engine.advance(exch_ns, look_ns):
            self.take()
            assert not self.engine.waiting_fills
        self.move(int((self.feed.exch_ts <= exch_ns).sum()))

    def look(self, local_ns: int) -> None:
        self.engine.look(local_ns)
        self.take()
        self.move_view(local_ns)

    def step(self, local_ns: int) -> None:
        while self.engine.step(local_ns):
            self.take()
        self.move(int((self.feed.exch_ts <= local_ns - self.engine.response_floor_ns).sum()))
        self.move_view(local_ns)

    def move_view(self, local_ns: int) -> None:
        seen = int((self.feed.local_ts <= local_ns).sum())
        self.move(seen)
        while self.seen < seen:
            row = self.rows[self.seen]
            if row.kind in ("clear", "gap"):
                for side in (BID, ASK) if row.side < 0 else (row.side,):
                    self.view.clear(side)
            elif row.kind != "trade":
                self.view.set(row.side, row.tick, row.qty)
            self.seen += 1

    def take(self) -> None:
        self.fills += self.engine.take_fills()

    def check(self) -> None:
        got = [(f.order_id, f.exch_ns, f.tick, f.lots, FillKind(f.kind).name.lower(), f.leaves) for f in self.fills]
        assert got == self.exchange.fills
        assert self.engine.resting == len(self.exchange.orders)
        for order in self.exchange.orders:
            assert self.engine.leaves(order.id) == order.lots
            assert self.engine.queue_front(order.id) == pytest.approx(order.front, abs=1e-9)
        for side, mine in ((BID, self.engine.bids), (ASK, self.engine.asks)):
            shown = self.view.shown(side)
            ticks, amounts = mine.ticks()
            assert list(zip(ticks.tolist(), amounts.tolist(), strict=True)) == shown
            assert mine.best == ((shown[0][0] / 10, shown[0][1]) if shown else None)
            assert mine.first(3) == [(tick / 10, amount) for tick, amount in shown[:3]]
            assert mine.best_tick == (shown[0][0] if shown else None)
            for tick, amount in shown:
                assert mine.amount_at(tick) == amount


def play(both: Both, listed: list[tuple[Any, ...]]) -> None:
    middle = 500 if both.rows[0].tick < 3000 else 5000
    now, view = 1000, 0
    for wait, what, *rest in listed:
        now += wait
        if what == "submit":
            number, side, offset, lots, kind, force = rest
            both.advance(now)
            sell = TradeType.SELL if side == ASK else TradeType.BUY
            got = both.engine.submit(number, sell, middle + offset, lots, TYPES[kind], TimeInForce(force), now_ns=now)
            both.take()
            told = both.exchange.submit(now, number, side, middle + offset, lots, kind, force)
            assert got.outcome == Outcome[told.upper()]
        elif what == "cancel":
            both.advance(now)
            assert both.engine.cancel(rest[0]) == both.exchange.cancel(rest[0])
        elif what == "look":
            # The view may trail the exchange by any time.
            view = max(view, now - rest[0])
            both.look(view)
        else:
            view = max(view, now)
            both.step(view)
        now = max(now, view)
        both.check()
    both.step(10_000)
    both.check()
    assert both.engine.exhausted


@settings(max_examples=600)
@given(
    markets(),
    actions(),
    st.sampled_from(MODELS),
    st.sampled_from(["none", "taker", "maker", "both", "whole"]),
)
def test_the_engine_is_the_reference(rows: list[Row], listed: list[Any], model: QueueModel, exchange: str) -> None:
    both = Both(rows, model, exchange != "whole", exchange if exchange != "whole" else "none", 0)
    play(both, listed)


@settings(max_examples=150)
@given(markets(), actions(), st.integers(1, 6), st.sampled_from(MODELS))
def test_a_promised_floor_and_look_change_nothing(
    rows: list[Row], listed: list[Any], floor: int, model: QueueModel
) -> None:
    """Told that no answer is faster than the floor, the engine keeps less, and every look that may come is exact."""
    both = Both(rows, model, True, "taker", floor)
    engine, now = both.engine, 1000
    for wait, what, *rest in listed:
        now += wait
        if what != "submit":
            continue
        number, side, offset, lots, kind, force = rest
        view = 0
        # As a venue goes: to each fill, and the look when its answer comes.
        while engine.advance(now, look_ns=now):
            fills = engine.take_fills()
            both.fills += fills
            both.move(engine._words[0])
            both.look(view := max(view, fills[-1].exch_ns + floor))
            both.check()
            now = max(now, view)
        both.move(int((both.feed.exch_ts <= now).sum()))
        middle = 500 if rows[0].tick < 3000 else 5000
        taker = TradeType.SELL if side == ASK else TradeType.BUY
        engine.submit(number, taker, middle + offset, lots, TYPES[kind], TimeInForce(force), now_ns=now)
        both.take()
        both.exchange.submit(now, number, side, middle + offset, lots, kind, force)
        both.look(now)
        both.check()
    both.step(10_000)
    both.check()


@settings(max_examples=150)
@given(markets(), actions(), st.integers(1, 9), st.sampled_from(MODELS))
def test_live_batches_are_the_replay(rows: list[Row], listed: list[Any], size: int, model: QueueModel) -> None:
    both = Both(rows, model, True, "taker", 0)
    engine = MatchingEngine(tick_size="0.1", lot_size=str(LOT), queue=model, window=64)
    orders = [rest for _, what, *rest in listed if what == "submit"]
    middle = 500 if rows[0].tick < 3000 else 5000
    mine: list[Any] = []
    for start in range(0, len(rows), size):
        batch = both.feed.rows(start, min(start + size, len(rows)))
        engine.feed(batch)
        while engine.step(engine.last_local_ns):
            mine += engine.take_fills()
        assert engine.exhausted
        both.advance(int(batch.exch_ts[-1]))
        both.look(int(batch.local_ts[-1]))
        if orders:
            number, side, offset, lots, kind, force = orders.pop(0)
            order = (number, TradeType.SELL if side == ASK else TradeType.BUY, middle + offset, lots)
            now = int(batch.exch_ts[-1])
            # The replay's exchange may have gone further, with the view; then they are not the same moment.
            if engine.view_row + start and both.applied == start + len(batch):
                engine.submit(*order, TYPES[kind], TimeInForce(force), now_ns=now)
                both.engine.submit(*order, TYPES[kind], TimeInForce(force), now_ns=now)
        mine += engine.take_fills()
        both.take()
        if both.applied != start + len(batch):
            return
        assert mine == both.fills
        assert engine.bids.first(9) == both.engine.bids.first(9)
        assert engine.asks.first(9) == both.engine.asks.first(9)
        assert engine.last_trade == both.engine.last_trade
