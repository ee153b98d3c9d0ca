from __future__ import annotations

import math

import pytest

from kit.errors import InvalidInput
from kit.simulation.engine import MatchingEngine
from kit.simulation.feed import FeedColumns
from kit.simulation.queue_models import (
    Fifo,
    LogProb2,
    OwnProbability,
    OwnQueue,
    PowerProb,
    PowerProb2,
    PowerProb3,
    QueueModel,
    RiskAverse,
)
from kit.storage.events import EventKind, MarketEvents
from kit.types.market import TradeType

DEPTH = EventKind.DEPTH


def front_after(model: QueueModel, *amounts: float, at: int = 1) -> float | None:
    """The front of a bid placed when ``at`` of the level's amounts were shown, after the others."""
    rows = [(n, n, DEPTH, 1, 100.0, amount, 0, 0) for n, amount in enumerate(amounts, 1)]
    engine = MatchingEngine(tick_size="1", lot_size="0.1", queue=model)
    engine.load(FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", rows), "1", "0.1"))
    engine.advance(at)
    engine.submit(1, TradeType.BUY, 100, 10, now_ns=at)
    engine.advance(100)
    return engine.queue_front(1)


def test_risk_averse_believes_no_cancel_was_ahead():
    assert front_after(RiskAverse(), 10.0, 15.0, 12.0) == 10.0
    assert front_after(RiskAverse(), 10.0, 15.0, 4.0) == 4.0


@pytest.mark.parametrize(
    ("model", "behind"),
    [
        (PowerProb(2.0), 20**2 / (20**2 + 10**2)),
        (PowerProb2(2.0), 20**2 / 30**2),
        (PowerProb3(2.0), 1 - (10 / 30) ** 2),
        (LogProb2(), math.log(21) / math.log(31)),
    ],
)
def test_cancels_are_split_by_the_formula(model: QueueModel, behind: float):
    # 10 ahead; 20 come behind; 6 are cancelled.
    assert front_after(model, 10.0, 30.0, 24.0) == pytest.approx(10 - (1 - behind) * 6)


def test_nothing_ahead_and_nothing_behind_is_no_front():
    assert front_after(PowerProb(3.0), 0.5, 0.0, 2.0, 1.0) == 0.0


def test_an_own_model_gives_what_the_built_in_one_gives():
    def likely(front: float, back: float, before: float, after: float) -> float:
        return math.log(1 + back) / math.log(1 + back + front)

    def averse(front: float, traded: float, before: float, after: float) -> float:
        return front

    amounts = (10.0, 30.0, 24.0, 25.0, 3.0)
    assert front_after(OwnProbability(likely), *amounts) == front_after(LogProb2(), *amounts)
    assert front_after(OwnQueue(averse), *amounts) == front_after(RiskAverse(), *amounts)


def test_an_own_model_that_cannot_be_compiled_says_so():
    def chatty(front, traded, before, after):  # type: ignore[no-untyped-def]
        return {"front": front}

    with pytest.raises(InvalidInput, match="cannot be compiled"):
        MatchingEngine(tick_size="1", lot_size="1", queue=OwnQueue(chatty))


@pytest.mark.parametrize("n", [0, -1.0, math.nan, math.inf, "3"])
def test_an_exponent_out_of_range_is_refused(n: float):
    with pytest.raises(InvalidInput, match="above 0"):
        PowerProb(n)


def by_order(*rows: tuple[EventKind, int, float, float, int]) -> MatchingEngine:
    table = [(n, n, kind, side, price, qty, number, 0) for n, (kind, side, price, qty, number) in enumerate(rows, 1)]
    engine = MatchingEngine(tick_size="1", lot_size="1", queue=Fifo())
    engine.load(FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", table), "1", "1"))
    return engine


ADD, CANCEL, MODIFY, FILL = EventKind.ADD, EventKind.CANCEL, EventKind.MODIFY, EventKind.FILL


def test_fifo_fills_when_somebody_behind_us_is_filled():
    engine = by_order(
        (ADD, 1, 100, 5, 11),
        (ADD, 1, 100, 5, 12),  # behind us
        (FILL, 1, 100, 5, 11),
        (CANCEL, 1, 100, 0, 11),
        (FILL, 1, 100, 2, 12),
        (MODIFY, 1, 100, 3, 12),
    )
    engine.advance(1)
    engine.submit(1, TradeType.BUY, 100, 4, now_ns=1)
    engine.step(4)
    assert not engine.waiting_fills
    assert engine.bids.best == (100.0, 5.0)
    engine.advance(100)
    assert [(f.lots, f.leaves, f.exch_ns) for f in engine.take_fills()] == [(2, 2, 5)]
    engine.step(100)
    assert engine.bids.best == (100.0, 3.0)


def test_fifo_knows_who_lost_his_place():
    engine = by_order((ADD, 1, 100, 5, 11), (MODIFY, 1, 100, 7, 11), (FILL, 1, 100, 1, 11))
    engine.advance(1)
    engine.submit(1, TradeType.BUY, 100, 1, now_ns=1)
    engine.step(100)
    assert [fill.order_id for fill in engine.take_fills()] == [1]
    engine.step(100)
    assert engine.bids.best == (100.0, 7.0)


def test_fifo_keeps_many_orders_and_a_better_price_fills_first():
    rows = [(ADD, 1, float(100 + n % 7), 1.0, n) for n in range(1, 9000)]
    rows += [(CANCEL, 1, 0.0, 0.0, n) for n in range(1, 9000) if n % 7]
    engine = by_order(*rows, (FILL, 1, 99.0, 1.0, 1))
    engine.advance(10)
    engine.submit(1, TradeType.BUY, 100, 3, now_ns=10)
    engine.step(10**6)
    assert [(fill.lots, fill.tick) for fill in engine.take_fills()] == [(3, 100)]
    engine.step(10**6)
    assert engine.bids.first(3) == [(100.0, float(sum(1 for n in range(1, 9000) if n % 7 == 0)))]


def test_fifo_needs_orders():
    rows = [(1, 1, DEPTH, 1, 100.0, 1.0, 0, 0)]
    engine = MatchingEngine(tick_size="1", lot_size="1", queue=Fifo())
    with pytest.raises(InvalidInput, match="order-by-order"):
        engine.load(FeedColumns.from_events(MarketEvents.from_rows("x", "A/B", rows), "1", "1"))
