"""Measure a stream of market messages: rates, spread, depth, sizes, bursts, movement.

The same figures are taken of recorded streams and of the test exchange's own, so that the two can be compared.
``RECORDED_SPOT`` and ``RECORDED_FUTURES`` hold what ``measure`` gave for the recordings of Binance's BTCUSDT streams of
2024-08-08/09 that the hftbacktest project published (MIT licence; spot 650 s, USD-M perpetual 344 s).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import NamedTuple

from kit.errors import InvalidInput
from kit.testnet.raw_files import NANOSECONDS, BookTicker, DepthUpdate, RawMessage, Snapshot, Trade
from kit.testnet.recorded_book import RecordedBook, best_first
from kit.testnet.symbols import UNITS

BPS = 10_000


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What a stream looks like.

    Rates are messages a second, amounts base, ``*_p50`` medians, ``*_share`` fractions, ``*_bps`` hundredths of a
    percent. ``spread_*`` and ``volatility_*`` come from the book tickers; ``depth_top*`` is the amount on the best n
    levels of a side, ``gap_ticks_*`` the distance between neighbours among the best 200, both sampled once a second.
    A *taker* is a run of trades with the same exchange time and side. ``*_fano_*`` is variance over mean of the counts
    in windows of that length (1 for a Poisson stream). ``volatility_*`` is the standard deviation of the mid's change
    in that time, ``unchanged_1s_share`` how often it does not change, ``range_30s_bps_p50`` high over low in 30 s.
    """

    depth_rate: float
    trade_rate: float
    ticker_rate: float
    levels_per_depth_p50: float
    levels_per_depth_mean: float
    levels_per_depth_p90: float
    removed_share: float
    change_distance_bps_p50: float
    spread_one_tick_share: float
    spread_ticks_mean: float
    depth_top1_p50: float
    depth_top5_p50: float
    depth_top20_p50: float
    depth_top100_p50: float
    depth_top500_p50: float
    gap_ticks_p50: float
    gap_ticks_mean: float
    trade_size_p50: float
    trade_size_mean: float
    trade_size_p90: float
    taker_rate: float
    trades_per_taker_mean: float
    same_side_share: float
    trade_fano_100ms: float
    trade_fano_1s: float
    ticker_fano_1s: float
    volatility_1s_bps: float
    volatility_10s_bps: float
    unchanged_1s_share: float
    range_30s_bps_p50: float


class Comparison(NamedTuple):
    """One figure of two streams; ``ratio`` is measured over reference."""

    name: str
    reference: float
    measured: float

    @property
    def ratio(self) -> float:
        """Measured over reference; 1 when both are zero, infinite when only the reference is."""
        if self.reference:
            return self.measured / self.reference
        return 1.0 if not self.measured else math.inf


def compare(measured: StreamFigures, reference: StreamFigures) -> list[Comparison]:
    """Set every figure of one stream beside that of another."""
    names = [field.name for field in fields(StreamFigures)]
    return [Comparison(name, getattr(reference, name), getattr(measured, name)) for name in names]


def measure(messages: Iterable[RawMessage], *, tick_units: int) -> StreamFigures:
    """Read a stream to its end and return its figures.

    ``tick_units`` is the tick size in units of 1e-8. The stream needs a snapshot (what comes before it is not
    measured in the book), at least a minute of messages and each of the other kinds; InvalidInput otherwise.
    """
    book, trades, tickers = BookMeter(tick_units), TradeMeter(), TickerMeter(tick_units)
    for message in messages:
        if isinstance(message, Trade):
            trades.add(message)
        elif isinstance(message, BookTicker):
            tickers.add(message)
        else:
            book.add(message)
    if not tickers.times or tickers.times[-1] - tickers.times[0] < 60 or not trades.sizes or not book.changes:
        raise InvalidInput(
            "the stream is too short to measure: it needs book tickers over at least 60 s, trades, a depth snapshot "
            f"and depth updates after it (got {len(tickers.times)} tickers, {len(trades.sizes)} trades, "
            f"{len(book.changes)} updates)"
        )
    start, end = tickers.times[0], tickers.times[-1]
    return StreamFigures(
        depth_rate=book.updates / (end - start),
        **book.figures(),
        **trades.figures(start, end),
        **tickers.figures(),
    )


class BookMeter:
    """Measures depth updates and the book that they make."""

    def __init__(self, tick_units: int) -> None:
        self.book = RecordedBook()
        self.updates = 0
        self.changes: list[int] = []
        self._tick_units = tick_units
        self._removed = 0
        self._distances: list[float] = []
        self._tops: dict[int, list[float]] = {1: [], 5: [], 20: [], 100: [], 500: []}
        self._gaps: list[float] = []
        self._next_sample_ns = 0

    def add(self, message: Snapshot | DepthUpdate) -> None:
        """Apply a message to the book and measure it."""
        if isinstance(message, Snapshot):
            self.book.apply_snapshot(message)
            return
        self.updates += 1
        if not self.book.apply_update(message) or not self.book.bids or not self.book.asks:
            return
        levels = message.bids + message.asks
        self.changes.append(len(levels))
        self._removed += sum(not amount for _, amount in levels)
        if message.local_ns >= self._next_sample_ns:
            self._next_sample_ns = message.local_ns + NANOSECONDS
            middle = self._sample()
            self._distances.extend(abs(price / middle - 1) * BPS for price, _ in levels)

    def _sample(self) -> float:
        sides = best_first(self.book.bids, bids=True), best_first(self.book.asks, bids=False)
        for side in sides:
            for count, amounts in self._tops.items():
                amounts.append(sum(amount for _, amount in side[:count]) / UNITS)
            near = side[:200]
            self._gaps.extend(abs(other[0] - one[0]) / self._tick_units for one, other in pairwise(near))
        return (sides[0][0][0] + sides[1][0][0]) / 2

    def figures(self) -> dict[str, float]:
        """Return this meter's part of the figures."""
        tops = {f"depth_top{count}_p50": quantile(amounts, 0.5) for count, amounts in self._tops.items()}
        return tops | {
            "levels_per_depth_p50": quantile(self.changes, 0.5),
            "levels_per_depth_mean": mean(self.changes),
            "levels_per_depth_p90": quantile(self.changes, 0.9),
            "removed_share": self._removed / sum(self.changes),
            "change_distance_bps_p50": quantile(self._distances, 0.5),
            "gap_ticks_p50": quantile(self._gaps, 0.5),
            "gap_ticks_mean": mean(self._gaps),
        }


class TradeMeter:
    """Measures trades."""

    def __init__(self) -> None:
        self.sizes: list[float] = []
        self._times: list[float] = []
        self._takers = 0
        self._same_side = 0
        self._last: Trade | None = None

    def add(self, trade: Trade) -> None:
        """Measure a trade."""
        last = self._last
        same_side = last is not None and last.buyer_is_maker == trade.buyer_is_maker
        self._same_side += same_side
        self._takers += not (last is not None and same_side and last.trade_ms == trade.trade_ms)
        self._last = trade
        self.sizes.append(trade.amount / UNITS)
        self._times.append(trade.local_ns / NANOSECONDS)

    def figures(self, start: float, end: float) -> dict[str, float]:
        """Return this meter's part of the figures over a span of time in seconds."""
        return {
            "trade_rate": len(self.sizes) / (end - start),
            "trade_size_p50": quantile(self.sizes, 0.5),
            "trade_size_mean": mean(self.sizes),
            "trade_size_p90": quantile(self.sizes, 0.9),
            "taker_rate": self._takers / (end - start),
            "trades_per_taker_mean": len(self.sizes) / self._takers,
            "same_side_share": self._same_side / max(len(self.sizes) - 1, 1),
            "trade_fano_100ms": fano_factor(self._times, start, end, 0.1),
            "trade_fano_1s": fano_factor(self._times, start, end, 1.0),
        }


class TickerMeter:
    """Measures book tickers: the best prices and how they move."""

    def __init__(self, tick_units: int) -> None:
        self.times: list[float] = []
        self._mids: list[float] = []
        self._spreads: list[int] = []
        self._tick_units = tick_units

    def add(self, ticker: BookTicker) -> None:
        """Measure a ticker."""
        self.times.append(ticker.local_ns / NANOSECONDS)
        self._mids.append((ticker.bid + ticker.ask) / 2)
        self._spreads.append((ticker.ask - ticker.bid) // self._tick_units)

    def figures(self) -> dict[str, float]:
        """Return this meter's part of the figures."""
        start, end = self.times[0], self.times[-1]
        seconds = self._changes(1.0)
        return {
            "ticker_rate": len(self.times) / (end - start),
            "ticker_fano_1s": fano_factor(self.times, start, end, 1.0),
            "spread_one_tick_share": self._spreads.count(1) / len(self._spreads),
            "spread_ticks_mean": mean(self._spreads),
            "volatility_1s_bps": deviation(seconds),
            "volatility_10s_bps": deviation(self._changes(10.0)),
            "unchanged_1s_share": sum(not change for change in seconds) / len(seconds),
            "range_30s_bps_p50": quantile(self._ranges(30.0), 0.5),
        }

    def _changes(self, window: float) -> list[float]:
        start, end = self.times[0], self.times[-1]
        count = int((end - start) / window)
        mids = [self._mids[bisect_right(self.times, start + index * window) - 1] for index in range(count + 1)]
        return [math.log(later / earlier) * BPS for earlier, later in pairwise(mids)]

    def _ranges(self, window: float) -> list[float]:
        """Return high over low, in bps, of windows that start every 5 s."""
        ranges = []
        start = self.times[0]
        while start + window <= self.times[-1]:
            mids = self._mids[bisect_right(self.times, start) - 1 : bisect_right(self.times, start + window)]
            ranges.append((max(mids) / min(mids) - 1) * BPS)
            start += 5.0
        return ranges


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a whole population."""
    middle = mean(values)
    return math.sqrt(sum((value - middle) ** 2 for value in values) / len(values))


def quantile(values: Iterable[float], fraction: float) -> float:
    """Return the smallest value that at least ``fraction`` of the values do not exceed."""
    ordered = sorted(values)
    return float(ordered[max(math.ceil(fraction * len(ordered)) - 1, 0)])


def fano_factor(times: Sequence[float], start: float, end: float, window: float) -> float:
    """Return variance over mean of the number of events in windows of ``window`` seconds."""
    counts = [0] * max(int((end - start) / window), 1)
    for time in times:
        index = int((time - start) / window)
        if 0 <= index < len(counts):
            counts[index] += 1
    average = mean(counts)
    return deviation(counts) ** 2 / average if average else 0.0


RECORDED_SPOT = StreamFigures(
    depth_rate=9.986,
    trade_rate=30.6,
    ticker_rate=112.5,
    levels_per_depth_p50=22,
    levels_per_depth_mean=45.91,
    levels_per_depth_p90=104,
    removed_share=0.4779,
    change_distance_bps_p50=4.628,
    spread_one_tick_share=0.8927,
    spread_ticks_mean=19.14,
    depth_top1_p50=2.056,
    depth_top5_p50=2.515,
    depth_top20_p50=4.283,
    depth_top100_p50=20.35,
    depth_top500_p50=89.35,
    gap_ticks_p50=16,
    gap_ticks_mean=27.1,
    trade_size_p50=0.00067,
    trade_size_mean=0.022,
    trade_size_p90=0.05763,
    taker_rate=10.97,
    trades_per_taker_mean=2.79,
    same_side_share=0.8934,
    trade_fano_100ms=64.26,
    trade_fano_1s=120.1,
    ticker_fano_1s=81.14,
    volatility_1s_bps=1.252,
    volatility_10s_bps=4.167,
    unchanged_1s_share=0.4985,
    range_30s_bps_p50=9.414,
)
"""BTCUSDT spot, depth@100ms, both files (2024-08-08 23:54:14 to 2024-08-09 00:05:04 UTC), tick 0.01."""

RECORDED_FUTURES = StreamFigures(
    depth_rate=19.02,
    trade_rate=61.89,
    ticker_rate=191.9,
    levels_per_depth_p50=34,
    levels_per_depth_mean=67.71,
    levels_per_depth_p90=142,
    removed_share=0.2165,
    change_distance_bps_p50=7.124,
    spread_one_tick_share=0.9417,
    spread_ticks_mean=2.043,
    depth_top1_p50=3.026,
    depth_top5_p50=4.131,
    depth_top20_p50=8.15,
    depth_top100_p50=31.96,
    depth_top500_p50=193.2,
    gap_ticks_p50=1,
    gap_ticks_mean=1.772,
    trade_size_p50=0.016,
    trade_size_mean=0.114,
    trade_size_p90=0.265,
    taker_rate=15.79,
    trades_per_taker_mean=3.921,
    same_side_share=0.8979,
    trade_fano_100ms=204.2,
    trade_fano_1s=330.8,
    ticker_fano_1s=102.3,
    volatility_1s_bps=1.396,
    volatility_10s_bps=3.764,
    unchanged_1s_share=0.4593,
    range_30s_bps_p50=6.954,
)
"""BTCUSDT USD-M perpetual, depth@0ms (2024-08-08 23:54:15 to 23:59:59 UTC), tick 0.1."""
