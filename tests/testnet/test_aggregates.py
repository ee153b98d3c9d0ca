from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.testnet.aggregates import INTERVALS, AggTrades, candle_end, candle_start, candles, day_stats
from tests.support.engine import Desk

D = Decimal
MONDAY = int(datetime(2023, 11, 20, tzinfo=UTC).timestamp() * 1000)


def traded(pauses):
    """Return a desk on which a trade happened after each pause (ms), with prices that go up and down."""
    desk = Desk()
    desk.now = MONDAY
    for number, pause in enumerate(pauses):
        desk.now += pause
        price = 60_000 + 7 * (number % 5)
        desk.crowd_order("SELL", price, "0.5")
        desk.crowd_order("BUY", price, "0.5")
    return desk


@pytest.mark.parametrize("interval", INTERVALS)
@given(moment=st.integers(1_600_000_000_000, 1_800_000_000_000))
def test_a_moment_lies_in_its_candle_and_candles_follow_each_other(interval, moment):
    start = candle_start(interval, moment)
    end = candle_end(interval, start)
    assert start <= moment <= end
    assert candle_start(interval, start) == candle_start(interval, end) == start
    assert candle_start(interval, end + 1) == end + 1


def test_weeks_begin_on_monday_and_months_on_the_first():
    assert candle_start("1w", MONDAY + 3 * 86_400_000 + 5) == MONDAY
    assert candle_start("1w", MONDAY - 1) == MONDAY - 7 * 86_400_000
    december = int(datetime(2023, 12, 1, tzinfo=UTC).timestamp() * 1000)
    assert candle_end("1M", candle_start("1M", MONDAY)) == december - 1


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 200_000), min_size=1, max_size=30),
    st.sampled_from(["1s", "1m", "3m", "1h", "1d", "1w"]),
    st.integers(1, 50),
)
def test_candles_have_no_holes_and_hold_every_trade(pauses, interval, limit):
    desk = traded(pauses)
    now = desk.now + 1_000_000
    found = candles(desk.market, interval, start_ms=0, end_ms=now, limit=limit)
    assert 0 < len(found) <= limit
    assert found[-1].open_ms <= now <= found[-1].close_ms
    for earlier, later in pairwise(found):
        assert earlier.close_ms + 1 == later.open_ms
        if not later.trades:
            assert later.open == later.close == earlier.close
    trades = [trade for trade in desk.market.trades if trade.time_ms >= found[0].open_ms]
    assert sum(item.trades for item in found) == len(trades)
    assert sum(item.lots for item in found) == sum(trade.qty_lots for trade in trades)


def test_candles_from_a_start_on_are_the_first_ones():
    desk = traded([0] + [60_000] * 9)
    found = candles(desk.market, "1m", start_ms=MONDAY + 60_001, end_ms=desk.now, limit=3)
    assert [item.open_ms for item in found] == [MONDAY + 60_000 * number for number in (2, 3, 4)]
    assert candles(desk.market, "1m", start_ms=0, end_ms=MONDAY + 60_000, limit=9)[-1].open_ms == MONDAY + 60_000


def test_no_candles_before_the_first_trade():
    desk = Desk()
    assert candles(desk.market, "1m", start_ms=0, end_ms=desk.now, limit=10) == []
    assert day_stats(desk.market, desk.now).trades == 0
    assert day_stats(desk.market, desk.now).change_percent == 0


def test_a_day_forgets_what_is_older():
    desk = traded([0, 60_000, 86_400_000])
    stats = day_stats(desk.market, desk.now)
    assert (stats.trades, stats.first_trade_id, stats.last_trade_id) == (2, 2, 3)
    assert (stats.open, stats.high, stats.low, stats.close) == (6_000_700, 6_001_400, 6_000_700, 6_001_400)
    assert stats.average_ticks == (6_000_700 + 6_001_400) / 2


@given(st.lists(st.tuples(st.sampled_from([60_000, 60_001, 60_002]), st.integers(1, 5)), min_size=1, max_size=12))
def test_aggregates_hold_the_same_amounts_as_the_trades(makers):
    desk = Desk()
    aggregates, closed = AggTrades(), []
    aggregates.on_closed = closed.append
    desk.venue.on_trade.append(lambda market, trade: aggregates.add(trade))
    for price, lots in makers:
        desk.crowd_order("SELL", price, D(lots) / 1000)
    for _ in range(3):
        desk.crowd_order("BUY", 60_002, "0.004", time_in_force="IOC")
    found = aggregates.find(from_id=None, start_ms=0, end_ms=1 << 62, limit=1000)
    assert found == closed
    assert [agg.agg_id for agg in found] == list(range(1, len(found) + 1))
    assert sum(agg.qty_lots for agg in found) == sum(trade.qty_lots for trade in desk.trades)
    covered = [number for agg in found for number in range(agg.first_trade_id, agg.last_trade_id + 1)]
    assert covered == [trade.trade_id for trade in desk.trades]
    assert len({(agg.taker_order_id, agg.price_ticks) for agg in found}) == len(found)
