"""Numbers that are derived from trades: aggregated trades, statistics of 24 hours, and candles of odd lengths."""

from __future__ import annotations

import calendar
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from kit.testnet.market import Market, Trade
from kit.testnet.tape import Kline

DAY_MS = 86_400_000
_WEEK_MS = 7 * DAY_MS
_MONDAY_MS = 4 * DAY_MS  # the epoch was a Thursday; the first Monday came four days later
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
"""Candle lengths that the exchange knows."""


@dataclass(slots=True)
class AggTrade:
    """The trades of one taker order at one price; price in ticks, quantity in lots."""

    agg_id: int
    price_ticks: int
    qty_lots: int
    first_trade_id: int
    last_trade_id: int
    time_ms: int
    buyer_is_maker: bool
    taker_order_id: int


class AggTrades:
    """Aggregates a market's trades as they come and keeps the latest ``limit``.

    ``on_closed`` is called with every aggregate that can grow no more. ``close`` must be called when the operation
    that traded is over, since only then is it known that its last aggregate is complete.
    """

    def __init__(self, limit: int = 50_000, on_closed: Callable[[AggTrade], None] | None = None) -> None:
        self.on_closed = on_closed
        self._closed: deque[AggTrade] = deque(maxlen=limit)
        self._open: AggTrade | None = None
        self._last_id = 0

    def add(self, trade: Trade) -> None:
        """Book a trade."""
        agg, taker_id = self._open, trade.taker.order_id
        if agg is not None and agg.taker_order_id == taker_id and agg.price_ticks == trade.price_ticks:
            agg.qty_lots += trade.qty_lots
            agg.last_trade_id = trade.trade_id
            return
        self.close()
        self._last_id += 1
        self._open = AggTrade(
            agg_id=self._last_id,
            price_ticks=trade.price_ticks,
            qty_lots=trade.qty_lots,
            first_trade_id=trade.trade_id,
            last_trade_id=trade.trade_id,
            time_ms=trade.time_ms,
            buyer_is_maker=trade.buyer_is_maker,
            taker_order_id=taker_id,
        )

    def close(self) -> None:
        """Complete the aggregate that is still open, if any."""
        agg = self._open
        if agg is None:
            return
        self._open = None
        self._closed.append(agg)
        if self.on_closed is not None:
            self.on_closed(agg)

    def find(self, *, from_id: int | None, start_ms: int, end_ms: int, limit: int) -> list[AggTrade]:
        """Return aggregates oldest first: the first from an id or time on, else the latest."""
        self.close()
        found = [agg for agg in self._closed if agg.agg_id >= (from_id or 0) and start_ms <= agg.time_ms <= end_ms]
        return found[:limit] if from_id is not None or start_ms else found[-limit:]


@dataclass(frozen=True, slots=True)
class DayStats:
    """What a market did in the last 24 hours: prices in ticks, volumes in lots and quote units.

    Without a trade everything is zero and the trade ids are -1. The window starts on a whole minute.
    """

    open_ms: int
    close_ms: int
    open: int = 0
    high: int = 0
    low: int = 0
    close: int = 0
    previous_close: int = 0
    lots: int = 0
    quote_units: int = 0
    trades: int = 0
    first_trade_id: int = -1
    last_trade_id: int = -1
    average_ticks: float = 0.0

    @property
    def change_percent(self) -> float:
        """Change from open to close in percent, 0 before the first trade."""
        return (self.close / self.open - 1) * 100 if self.open else 0.0


def day_stats(market: Market, now_ms: int) -> DayStats:
    """Add up the last 24 hours of a market from its one-minute candles."""
    start = (now_ms - DAY_MS) // 60_000 * 60_000
    minutes = market.tape.minutes.since(start)
    if not minutes:
        return DayStats(start, now_ms)
    first = minutes[0]
    total = Kline(start, now_ms, first.open, first.high, first.low, first.close)
    for minute in minutes:
        total.absorb(minute)
    return DayStats(
        open_ms=start,
        close_ms=now_ms,
        open=total.open,
        high=total.high,
        low=total.low,
        close=total.close,
        previous_close=total.open,
        lots=total.lots,
        quote_units=total.quote_units,
        trades=total.trades,
        first_trade_id=total.first_trade_id,
        last_trade_id=total.last_trade_id,
        average_ticks=total.quote_units / (total.lots * market.info.quote_units),
    )


def candle_start(interval: str, time_ms: int) -> int:
    """Return when the candle that holds ``time_ms`` opened, in ms (UTC; weeks start on Monday, months on the 1st)."""
    if interval == "1M":
        day = datetime.fromtimestamp(time_ms / 1000, UTC)
        return calendar.timegm((day.year, day.month, 1, 0, 0, 0)) * 1000
    if interval == "1w":
        return time_ms - (time_ms - _MONDAY_MS) % _WEEK_MS
    length = int(interval[:-1]) * _UNIT_MS[interval[-1]]
    return time_ms - time_ms % length


def candle_end(interval: str, open_ms: int) -> int:
    """Return the last millisecond of the candle that opened at ``open_ms``."""
    if interval == "1M":
        day = datetime.fromtimestamp(open_ms / 1000, UTC)
        return open_ms + calendar.monthrange(day.year, day.month)[1] * DAY_MS - 1
    if interval == "1w":
        return open_ms + _WEEK_MS - 1
    return open_ms + int(interval[:-1]) * _UNIT_MS[interval[-1]] - 1


def candles(market: Market, interval: str, *, start_ms: int, end_ms: int, limit: int) -> list[Kline]:
    """Return candles without holes, oldest first: the first from ``start_ms`` on when it is given, else the last.

    A candle in which nothing traded repeats the close before it with volume zero. ``end_ms`` is also the present:
    the candles go on to it though nothing traded.
    """
    found = _merged(market, interval, start_ms, end_ms)
    if not found:
        return []
    filled: list[Kline] = []
    traded = {item.open_ms: item for item in found}
    open_ms, close = found[0].open_ms, found[0].open
    if not start_ms:
        open_ms = max(open_ms, _back(interval, end_ms, limit))
        close = next((item.close for item in reversed(found) if item.open_ms < open_ms), close)
    while open_ms <= end_ms and len(filled) < limit:
        end = candle_end(interval, open_ms)
        item = traded.get(open_ms) or Kline(open_ms, end, close, close, close, close)
        filled.append(item)
        close, open_ms = item.close, end + 1
    return filled


def _back(interval: str, end_ms: int, limit: int) -> int:
    """Return where the last ``limit`` candles up to ``end_ms`` begin."""
    open_ms = candle_start(interval, end_ms)
    if interval in ("1w", "1M"):
        return 0 if limit > 1 else open_ms  # the tape is shorter than two of them
    return open_ms - (limit - 1) * int(interval[:-1]) * _UNIT_MS[interval[-1]]


def _merged(market: Market, interval: str, start_ms: int, end_ms: int) -> list[Kline]:
    series = market.tape.seconds if interval == "1s" else market.tape.minutes
    merged: list[Kline] = []
    for item in series.since(candle_start(interval, start_ms) if start_ms else 0):
        open_ms = candle_start(interval, item.open_ms)
        if open_ms < start_ms:
            continue
        if open_ms > end_ms:
            break
        if not merged or merged[-1].open_ms != open_ms:
            end = candle_end(interval, open_ms)
            merged.append(Kline(open_ms, end, item.open, item.high, item.low, item.close))
        merged[-1].absorb(item)
    return merged
