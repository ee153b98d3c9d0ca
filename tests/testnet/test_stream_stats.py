"""The measures of a stream, on streams whose figures are known, and on the recordings."""

import math
import random
from dataclasses import asdict

import pytest

from kit.errors import InvalidInput
from kit.testnet.raw_files import NANOSECONDS, BookTicker, DepthUpdate, Snapshot, Trade, read_raw
from kit.testnet.stream_stats import (
    RECORDED_FUTURES,
    RECORDED_SPOT,
    Comparison,
    compare,
    fano_factor,
    measure,
    quantile,
)
from kit.testnet.symbols import UNITS
from tests.support.recordings import FUTURES, SPOT, recordings

TICK = UNITS // 100


def ns(seconds):
    return round(seconds * NANOSECONDS)


def ticker(seconds, bid, spread=1):
    return BookTicker(ns(seconds), "X", 1, bid * TICK, UNITS, (bid + spread) * TICK, UNITS)


def trade(seconds, amount=UNITS, *, taker_sells=False, number=1):
    return Trade(ns(seconds), "X", number, round(seconds * 1000), 100 * TICK, amount, taker_sells)


def depth(seconds, update_id, bids=(), asks=()):
    return DepthUpdate(ns(seconds), "X", 0, update_id, update_id, None, tuple(bids), tuple(asks))


def plain_stream(*extra):
    """A minute and a half of one ticker, one trade and one depth update a second."""
    bids = tuple((price * TICK, UNITS) for price in range(9_900, 10_000, 10))
    asks = tuple((price * TICK, 2 * UNITS) for price in range(10_001, 10_101, 10))
    messages = [Snapshot(0, 1, bids, asks)]
    for second in range(90):
        at = float(second)
        messages += [
            ticker(at, 10_000),
            trade(at),
            depth(at, second + 2, [(9_990 * TICK, UNITS), (5_000 * TICK, 0)]),
        ]
    return sorted([*messages, *extra], key=lambda message: message.local_ns)


def test_a_regular_stream_has_the_figures_it_was_made_with():
    figures = measure(plain_stream(), tick_units=TICK)
    assert figures.ticker_rate == figures.trade_rate == figures.depth_rate == pytest.approx(90 / 89)
    assert figures.levels_per_depth_p50 == figures.levels_per_depth_p90 == 2
    assert figures.removed_share == 0.5
    assert (figures.depth_top1_p50, figures.depth_top5_p50) == (1, 5)
    assert figures.gap_ticks_p50 == figures.gap_ticks_mean == 10
    assert figures.spread_one_tick_share == figures.spread_ticks_mean == 1
    assert figures.trade_size_mean == 1
    assert figures.trades_per_taker_mean == 1
    assert figures.same_side_share == 1
    assert figures.volatility_1s_bps == figures.range_30s_bps_p50 == 0
    assert figures.unchanged_1s_share == 1
    assert figures.trade_fano_1s == pytest.approx(0, abs=0.02)


def test_trades_of_one_time_and_side_are_one_taker():
    extra = [trade(5.0, number=2), trade(5.0, number=3), trade(5.0, taker_sells=True, number=4)]
    figures = measure(plain_stream(*extra), tick_units=TICK)
    assert figures.taker_rate * 89 == pytest.approx(91)
    assert figures.trades_per_taker_mean == pytest.approx(93 / 91)


def test_movement_is_measured_in_basis_points():
    steps = [ticker(second + 0.5, 10_000 + 10 * (second % 2)) for second in range(90)]
    stream = [message for message in plain_stream() if not isinstance(message, BookTicker)] + steps
    figures = measure(sorted(stream, key=lambda message: message.local_ns), tick_units=TICK)
    assert figures.volatility_1s_bps == pytest.approx(10, rel=0.01)
    assert figures.volatility_10s_bps == pytest.approx(0, abs=0.01)
    assert figures.range_30s_bps_p50 == pytest.approx(10, rel=0.01)
    assert figures.unchanged_1s_share == 0


def test_a_poisson_stream_has_fano_factor_one_and_clusters_more():
    rng = random.Random(5)
    times = []
    at = 0.0
    while at < 1000:
        at += rng.expovariate(10)
        times.append(at)
    assert fano_factor(times, 0, 1000, 1.0) == pytest.approx(1, rel=0.2)
    assert fano_factor([time for time in times for _ in range(7)], 0, 1000, 1.0) == pytest.approx(7, rel=0.2)


def test_quantiles_are_values_of_the_sample():
    assert [quantile([4, 1, 3, 2], share) for share in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 2, 3, 4]


def test_ratios():
    assert Comparison("x", 2, 3).ratio == 1.5
    assert Comparison("x", 0, 0).ratio == 1
    assert Comparison("x", 0, 1).ratio == math.inf
    assert {row.ratio for row in compare(RECORDED_SPOT, RECORDED_SPOT)} == {1}


@pytest.mark.parametrize("stream", [[], plain_stream()[:60], [ticker(0, 1), ticker(99, 1), trade(1)]])
def test_too_little_to_measure_is_refused(stream):
    with pytest.raises(InvalidInput, match="too short to measure"):
        measure(stream, tick_units=TICK)


@pytest.mark.parametrize(
    ("names", "tick", "expected"), [(SPOT, TICK, RECORDED_SPOT), (FUTURES, 10 * TICK, RECORDED_FUTURES)]
)
def test_the_table_in_the_code_is_what_the_recordings_give(names, tick, expected):
    figures = measure(read_raw(recordings(*names)), tick_units=tick)
    assert asdict(figures) == pytest.approx(asdict(expected), rel=0.001)
