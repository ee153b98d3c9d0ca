from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from math import inf

import numpy as np
import pytest

from kit.errors import InvalidInput, InvariantBroken
from kit.simulation import kernel_layout as layout
from kit.simulation.engine import FillKind, MatchingEngine, Outcome, Submission
from kit.simulation.exchange_models import NoPartialFill, PartialFill, SelfTradePrevention
from kit.simulation.feed import FeedColumns
from kit.simulation.queue_models import RiskAverse
from kit.storage.events import EventKind, MarketEvents
from kit.types.market import TradeType
from kit.types.orders import OrderType, TimeInForce

BUY, SELL = TradeType.BUY, TradeType.SELL
DEPTH, TRADE, SNAPSHOT, CLEAR, GAP, BBO = (
    EventKind.DEPTH,
    EventKind.TRADE,
    EventKind.SNAPSHOT,
    EventKind.CLEAR,
    EventKind.GAP,
    EventKind.BBO,
)
BOOK = [(DEPTH, 1, 99, 5.0), (DEPTH, 1, 98, 5.0), (DEPTH, -1, 101, 2.0), (DEPTH, -1, 102, 3.0), (DEPTH, -1, 105, 9.0)]


def feed_of(*rows: tuple[EventKind, int, float, float], late: int = 0) -> FeedColumns:
    table = [
        (10 * n, 10 * n + late, kind, side, price, qty, 0, 0) for n, (kind, side, price, qty) in enumerate(rows, 1)
    ]
    return FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", table), "1", "0.5")


def engine_on(*rows: tuple[EventKind, int, float, float], late: int = 0, **options: object) -> MatchingEngine:
    engine = MatchingEngine(tick_size="1", lot_size="0.5", **({"queue": RiskAverse()} | options))  # type: ignore[arg-type]
    engine.load(feed_of(*BOOK, *rows, late=late))
    engine.advance(50)
    return engine


def fills(engine: MatchingEngine) -> list[tuple[int, int, int, str]]:
    return [(f.order_id, f.tick, f.lots, FillKind(f.kind).name) for f in engine.take_fills()]


def test_a_taker_walks_and_the_rest_rests_until_the_market_comes_back_to_it():
    engine = engine_on((DEPTH, -1, 101, 0.0), (DEPTH, -1, 102, 0.0), (DEPTH, -1, 101, 1.0))
    assert engine.submit(1, BUY, 102, 14, now_ns=50) == Submission(Outcome.RESTS, 4)
    assert fills(engine) == [(1, 101, 4, "TAKER"), (1, 102, 6, "TAKER")]
    assert engine.advance(70) == 0
    engine.advance(80)
    assert fills(engine) == [(1, 102, 4, "MAKER")]


@pytest.mark.parametrize(
    ("force", "lots", "outcome", "taken"),
    [
        (TimeInForce.IOC, 14, Submission(Outcome.EXPIRED, 4), 10),
        (TimeInForce.IOC, 3, Submission(Outcome.FILLED, 0), 3),
        (TimeInForce.FOK, 11, Submission(Outcome.EXPIRED, 11), 0),
        (TimeInForce.FOK, 10, Submission(Outcome.FILLED, 0), 10),
    ],
)
def test_time_in_force(force: TimeInForce, lots: int, outcome: Submission, taken: int):
    engine = engine_on()
    assert engine.submit(1, BUY, 102, lots, time_in_force=force, now_ns=50) == outcome
    assert sum(fill.lots for fill in engine.take_fills()) == taken
    assert engine.resting == 0


def test_a_market_order_takes_what_is_there_and_lapses():
    engine = engine_on()
    assert engine.submit(1, BUY, 0, 100, OrderType.MARKET, now_ns=50) == Submission(Outcome.EXPIRED, 72)
    assert [fill[1:3] for fill in fills(engine)] == [(101, 4), (102, 6), (105, 18)]


def test_what_was_taken_of_a_level_is_gone_until_the_level_changes():
    engine = engine_on((DEPTH, -1, 101, 2.5), (DEPTH, -1, 103, 1.0))
    engine.submit(1, BUY, 0, 6, OrderType.MARKET, now_ns=50)
    engine.submit(2, BUY, 0, 6, OrderType.MARKET, now_ns=50)
    assert fills(engine) == [(1, 101, 4, "TAKER"), (1, 102, 2, "TAKER"), (2, 102, 4, "TAKER"), (2, 105, 2, "TAKER")]
    assert engine.submit(3, BUY, 102, 4, now_ns=50) == Submission(Outcome.RESTS, 4)
    assert engine.submit(4, BUY, 105, 17, time_in_force=TimeInForce.FOK, now_ns=50) == Submission(Outcome.EXPIRED, 17)
    engine.cancel(3)
    assert fills(engine) == []
    engine.advance(60)
    engine.submit(5, BUY, 0, 6, OrderType.MARKET, now_ns=60)
    assert fills(engine) == [(5, 101, 5, "TAKER"), (5, 105, 1, "TAKER")]


def test_a_new_book_has_all_again():
    engine = engine_on((EventKind.CLEAR, 0, 0, 0), (EventKind.SNAPSHOT, -1, 101, 2.0))
    engine.submit(1, BUY, 0, 4, OrderType.MARKET, now_ns=50)
    assert fills(engine) == [(1, 101, 4, "TAKER")]
    engine.advance(70)
    engine.submit(2, BUY, 0, 4, OrderType.MARKET, now_ns=70)
    assert fills(engine) == [(2, 101, 4, "TAKER")]


def test_what_a_refused_order_would_have_taken_is_there_again():
    engine = engine_on()
    engine.submit(1, BUY, 0, 6, OrderType.MARKET, now_ns=50)
    engine.submit(2, BUY, 0, 6, OrderType.MARKET, now_ns=50)
    *_, third, fourth = engine.take_fills()
    engine.give_back([third, fourth], BUY)
    engine.submit(3, BUY, 0, 6, OrderType.MARKET, now_ns=50)
    assert fills(engine) == [(3, 102, 4, "TAKER"), (3, 105, 2, "TAKER")]


def test_more_levels_can_be_taken_than_there_is_room_to_remember():
    levels = [(DEPTH, -1, 1000.0 + n, 1.0) for n in range(2500)]
    engine = engine_on(*levels)
    engine.advance(10**6)
    engine.submit(1, BUY, 0, 5_000, OrderType.MARKET, now_ns=10**6)
    engine.submit(2, BUY, 0, 100, OrderType.MARKET, now_ns=10**6)
    taken = engine.take_fills()
    assert sum(fill.lots for fill in taken) == 28 + 5_000
    assert len({fill.tick for fill in taken}) == 2503


def test_behind_all_known_levels_an_order_is_the_last_of_its_level():
    """What stands there is not known: hftbacktest takes it for nothing."""
    engine = engine_on((DEPTH, 1, 90, 8.0), (TRADE, -1, 90, 5.0), (TRADE, -1, 90, 5.0))
    engine.submit(1, BUY, 90, 2, now_ns=50)
    assert engine.queue_front(1) == inf
    engine.advance(60)
    assert engine.queue_front(1) == 8.0
    engine.advance(70)
    assert engine.queue_front(1) == 3.0
    engine.advance(80)
    assert fills(engine) == [(1, 90, 2, "MAKER")]


def test_a_trade_at_an_order_behind_all_known_levels_shows_that_its_level_is_known():
    engine = engine_on((DEPTH, 1, 98, 0.0), (DEPTH, 1, 99, 0.0), (TRADE, -1, 90, 1.0))
    engine.submit(1, BUY, 90, 2, now_ns=50)
    engine.advance(80)
    assert fills(engine) == [(1, 90, 2, "MAKER")]


def test_a_level_that_leaves_the_recorded_depth_may_come_back_with_others_ahead():
    engine = engine_on((DEPTH, 1, 98, 0.0), (DEPTH, 1, 98, 7.0))
    engine.submit(1, BUY, 98, 2, now_ns=50)
    engine.advance(60)
    assert engine.queue_front(1) == inf
    engine.advance(70)
    assert engine.queue_front(1) == 7.0


def test_between_known_levels_and_ahead_of_them_nobody_is_in_front():
    engine = engine_on()
    engine.submit(1, BUY, 100, 2, now_ns=50)
    engine.submit(2, SELL, 103, 2, now_ns=50)
    assert engine.queue_front(1) == engine.queue_front(2) == 0.0


def test_a_taker_may_walk_more_levels_than_there_is_room_for_fills():
    levels = [(DEPTH, -1, 1000.0 + n, 1.0) for n in range(9000)]
    engine = engine_on(*levels)
    engine.advance(10**6)
    assert engine.submit(1, BUY, 0, 18_028, OrderType.MARKET, now_ns=10**6).outcome is Outcome.FILLED
    assert len(engine.take_fills()) == 9003


def test_post_only_is_refused_only_if_it_would_take():
    engine = engine_on()
    assert engine.submit(1, BUY, 101, 1, OrderType.LIMIT_MAKER, now_ns=50).outcome is Outcome.REJECTED
    assert engine.submit(2, BUY, 100, 1, OrderType.LIMIT_MAKER, now_ns=50).outcome is Outcome.RESTS


@pytest.mark.parametrize(
    ("mode", "outcome", "expected"),
    [
        ("EXPIRE_TAKER", Submission(Outcome.EXPIRED, 8), [(2, 101, 4, "TAKER")]),
        (
            "EXPIRE_MAKER",
            Submission(Outcome.RESTS, 2),
            [(2, 101, 4, "TAKER"), (1, 102, 0, "EXPIRED"), (2, 102, 6, "TAKER")],
        ),
        ("EXPIRE_BOTH", Submission(Outcome.EXPIRED, 8), [(2, 101, 4, "TAKER"), (1, 102, 0, "EXPIRED")]),
        ("NONE", Submission(Outcome.RESTS, 2), [(2, 101, 4, "TAKER"), (2, 102, 6, "TAKER")]),
    ],
)
def test_self_trade_prevention(mode: str, outcome: Submission, expected: list[tuple[int, int, int, str]]):
    engine = engine_on(exchange=PartialFill(SelfTradePrevention[mode]))
    engine.submit(1, SELL, 102, 5, now_ns=50)
    assert engine.submit(2, BUY, 102, 12, now_ns=50) == outcome
    assert fills(engine) == expected


@pytest.mark.parametrize(
    ("mode", "outcome", "expected"),
    [
        ("EXPIRE_TAKER", Submission(Outcome.EXPIRED, 10), []),
        (
            "EXPIRE_MAKER",
            Submission(Outcome.FILLED, 0),
            [(2, 101, 4, "TAKER"), (1, 102, 0, "EXPIRED"), (2, 102, 6, "TAKER")],
        ),
        ("EXPIRE_BOTH", Submission(Outcome.EXPIRED, 10), []),
        ("NONE", Submission(Outcome.FILLED, 0), [(2, 101, 4, "TAKER"), (2, 102, 6, "TAKER")]),
    ],
)
def test_all_or_nothing_does_not_count_what_lies_behind_own_orders(mode, outcome, expected):
    engine = engine_on(exchange=PartialFill(SelfTradePrevention[mode]))
    engine.submit(1, SELL, 102, 5, now_ns=50)
    assert engine.submit(2, BUY, 102, 10, time_in_force=TimeInForce.FOK, now_ns=50) == outcome
    assert fills(engine) == expected


def test_own_orders_at_one_price_share_a_trade():
    """hftbacktest gives the whole trade to each of them."""
    engine = engine_on((TRADE, -1, 99, 6.5))
    engine.submit(1, BUY, 99, 2, now_ns=50)
    engine.submit(2, BUY, 99, 2, now_ns=50)
    engine.advance(60)
    assert fills(engine) == [(1, 99, 2, "MAKER"), (2, 99, 1, "MAKER")]
    assert engine.leaves(2) == 1


def test_a_partial_fill_that_completes_an_order_ends_it():
    """hftbacktest keeps it and stops at the next trade there."""
    engine = engine_on((TRADE, -1, 99, 6.0), (TRADE, -1, 99, 9.0))
    engine.submit(1, BUY, 99, 2, now_ns=50)
    while engine.advance(100):
        assert fills(engine) == [(1, 99, 2, "MAKER")]
    assert engine.leaves(1) is None
    assert engine.cancel(1) is None


def test_no_partial_fill_takes_all_at_the_touch():
    engine = engine_on(exchange=NoPartialFill())
    engine.submit(1, BUY, 105, 100, now_ns=50)
    assert fills(engine) == [(1, 101, 100, "TAKER")]


def test_nothing_is_filled_in_a_gap_and_what_the_snapshot_passed_is():
    engine = engine_on(
        (GAP, 0, 0, 0), (TRADE, -1, 90, 50.0), (DEPTH, -1, 95, 1.0), (CLEAR, 0, 0, 0), (SNAPSHOT, -1, 97, 1.0)
    )
    engine.submit(1, BUY, 96, 2, now_ns=50)
    engine.submit(2, BUY, 98, 2, now_ns=50)
    engine.step(60)
    assert (engine.bids.best, engine.asks.best) == (None, None)
    assert engine.step(90) == 0
    engine.step(100)
    assert fills(engine) == [(2, 98, 2, "MAKER")]
    assert engine.leaves(1) == 2


def test_a_snapshot_without_clear_ends_a_gap_too():
    engine = engine_on((GAP, 0, 0, 0), (SNAPSHOT, -1, 97, 1.0), (TRADE, -1, 90, 1.0))
    engine.submit(1, BUY, 96, 2, now_ns=50)
    engine.advance(100)
    assert fills(engine) == [(1, 96, 2, "MAKER")]


def test_best_prices_alone_make_a_book():
    rows = [(BBO, 1, 99, 1.0), (BBO, -1, 101, 1.0), (BBO, 1, 100, 2.0), (BBO, 1, 98, 3.0), (BBO, -1, 103, 1.5)]
    engine = MatchingEngine(tick_size="1", lot_size="0.5")
    engine.load(feed_of(*rows))
    seen = []
    for now in (20, 30, 40, 50):
        engine.step(now)
        seen.append((engine.bids.best, engine.asks.best))
    assert seen == [
        ((99.0, 1.0), (101.0, 1.0)),
        ((100.0, 2.0), (101.0, 1.0)),
        ((98.0, 3.0), (101.0, 1.0)),
        ((98.0, 3.0), (103.0, 1.5)),
    ]


def test_levels_far_away_are_kept_and_a_drifting_price_takes_the_window_along():
    far = [(DEPTH, 1, 1.0, 7.0), (DEPTH, -1, 10_000_000.0, 8.0)]
    climb = [row for price in range(100, 3000) for row in ((DEPTH, -1, price + 2, 1.0), (DEPTH, 1, price, 1.0))]
    engine = engine_on(*far, *climb, window=64)
    engine.step(10**7)
    assert engine.bids.best == (2999.0, 1.0)
    assert engine.bids.first(10_000)[-1] == (1.0, 7.0)
    assert engine.asks.first(10_000)[-1] == (10_000_000.0, 8.0)
    assert len(engine.bids) == 2900 + 3
    assert engine.bids.amount_at(1) == 7.0
    assert list(engine.bids.walk()) == engine.bids.first(10_000)
    assert engine.bids.levels[98.0] == 5.0


def test_the_view_does_not_see_what_the_exchange_side_has_done():
    engine = engine_on((DEPTH, 1, 100, 4.0), (TRADE, -1, 100, 1.0), late=1000)
    engine.look(1055)
    engine.advance(1000)
    assert engine.bids.best == (99.0, 5.0)
    assert engine.bids.first(5) == [(99.0, 5.0), (98.0, 5.0)]
    assert engine.last_trade is None
    engine.look(1070)
    assert engine.bids.best == (100.0, 4.0)
    assert engine.last_trade is not None
    assert (engine.last_trade.tick, engine.last_trade.taker) == (100, SELL)


def test_a_broken_promise_is_told():
    engine = engine_on((DEPTH, 1, 100, 4.0), late=1000)
    engine.advance(10_000, look_ns=10_000)
    with pytest.raises(InvariantBroken, match="look_ns"):
        engine.look(1055)


def test_a_fill_stops_the_exchange_unless_told_otherwise():
    rows = [(TRADE, -1, 90, 1.0), (TRADE, 1, 110, 1.0)]
    engine = engine_on(*rows)
    engine.submit(1, BUY, 95, 1, now_ns=50)
    engine.submit(2, SELL, 108, 1, now_ns=50)
    assert engine.advance(1000) == 1
    assert [fill.exch_ns for fill in engine.take_fills()] == [60]
    assert engine.advance(1000) == 1
    other = engine_on(*rows)
    other.submit(1, BUY, 95, 1, now_ns=50)
    other.submit(2, SELL, 108, 1, now_ns=50)
    assert other.advance(1000, stop_on_fill=False) == 2


def test_more_own_orders_than_room_for_them():
    engine = engine_on((TRADE, -1, 50, 1.0))
    for number in range(1, 3001):
        engine.submit(number, BUY, 60 + number % 30, 1, now_ns=50)
    for number in range(1, 3001, 2):
        assert engine.cancel(number) == 1
    engine.advance(100)
    assert [fill.order_id for fill in engine.take_fills()] == list(range(2, 3001, 2))


def test_mistakes_are_told():
    engine = engine_on()
    engine.submit(1, BUY, 90, 1, now_ns=50)
    for order in ((1, BUY, 90, 1), (2, BUY, 90, 0), (3, SELL, 0, 1)):
        with pytest.raises(InvalidInput, match="1 or more"):
            engine.submit(*order, now_ns=50)
    with pytest.raises(InvalidInput, match="already run"):
        engine.load(feed_of(*BOOK))
    with pytest.raises(InvalidInput, match="tick size"):
        MatchingEngine(tick_size="0.1", lot_size="0.5").load(feed_of(*BOOK))
    for options in ({"tick_size": "0", "lot_size": "1"}, {"tick_size": "1", "lot_size": "1", "window": 3}):
        with pytest.raises(InvalidInput):
            MatchingEngine(**options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="response_floor_ns"):
        engine.response_floor_ns = -1


def test_prices_are_the_nearest_floats():
    ticks = np.arange(1, 20_000, 37)
    for size in ("0.01", "0.1", "0.05", "0.00000001", "5", "2.5"):
        engine = MatchingEngine(tick_size=size, lot_size="1")
        rows = [(1, 1, DEPTH, 1, float(int(t) * Decimal(size)), 1.0, 0, 0) for t in ticks]
        engine.load(FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", rows), size, "1"))
        engine.step(1)
        assert [price for price, _ in engine.bids.first(10**6)] == [float(int(t) * Decimal(size)) for t in ticks[::-1]]


def test_compiled_code_is_kept_for_the_next_process():
    script = (
        "import kit.simulation.engine as e, kit.simulation.kernel as k; e.warm_up();"
        "print(sum(k.run.stats.cache_hits.values()) + sum(k.act.stats.cache_hits.values()))"
    )
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in "ab"]
    assert runs[1].stdout.strip() == "2", runs[1].stderr


def test_the_layout_does_not_overlap():
    pairs = {"BASE", "BEST", "P_DENSE", "P_FAR", "FAR_MASK", "FAR_USED", "TARGET", "OWN_BEST", "OWN_WORST", "P_MARKS"}
    pairs |= {"VIEW_BEST", "VIEW_QTY"}
    names = list(vars(layout))
    state = names[names.index("ROW") : names.index("STATE_WORDS")]
    used = [getattr(layout, name) + more for name in state for more in range(2 if name in pairs else 1)]
    used += [layout.ARG + n for n in range(1, 8)] + [layout.OUT + n for n in range(1, 8)]
    assert len(used) == len(set(used))
    assert max(used) < layout.STATE_WORDS
