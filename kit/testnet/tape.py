"""What a market has traded: the latest trades, candles, and the average price that the price filters need."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

SECOND_MS = 1_000
MINUTE_MS = 60_000
AVERAGE_PRICE_MS = 5 * MINUTE_MS
"""Binance's ``avgPriceMins``: the window of the average price."""


class TradeLike(Protocol):
    """What the tape reads of a trade."""

    trade_id: int
    price_ticks: int
    qty_lots: int
    quote_units: int
    time_ms: int
    buyer_is_maker: bool


TradeT = TypeVar("TradeT", bound=TradeLike)


@dataclass(slots=True)
class Kline:
    """A candle: prices in ticks, volumes in lots (base) and ledger units (quote); times in ms, ``close_ms`` inclusive.

    ``taker_buy_lots`` and ``taker_buy_quote`` are the part whose taker bought.
    """

    open_ms: int
    close_ms: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    quote_units: int = 0
    trades: int = 0
    taker_buy_lots: int = 0
    taker_buy_quote: int = 0
    first_trade_id: int = -1
    last_trade_id: int = -1

    def absorb(self, later: Kline) -> None:
        """Add a candle that follows this one."""
        if not self.trades:
            self.open, self.high, self.low = later.open, later.high, later.low
            self.first_trade_id = later.first_trade_id
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.lots += later.lots
        self.quote_units += later.quote_units
        self.trades += later.trades
        self.taker_buy_lots += later.taker_buy_lots
        self.taker_buy_quote += later.taker_buy_quote
        self.last_trade_id = later.last_trade_id


class KlineSeries:
    """The candles of one interval in which something traded, oldest first, at most ``limit`` of them."""

    def __init__(self, interval_ms: int, limit: int) -> None:
        self.interval_ms = interval_ms
        self._limit = limit
        self._items: list[Kline] = []

    def add(self, trade: TradeLike) -> None:
        """Book a trade; trades come in order of time."""
        items = self._items
        if not items or trade.time_ms > items[-1].close_ms:
            self._begin(trade)
        kline = items[-1]
        price = trade.price_ticks
        if price > kline.high:
            kline.high = price
        elif price < kline.low:
            kline.low = price
        kline.close = price
        kline.lots += trade.qty_lots
        kline.quote_units += trade.quote_units
        kline.trades += 1
        kline.last_trade_id = trade.trade_id
        if not trade.buyer_is_maker:
            kline.taker_buy_lots += trade.qty_lots
            kline.taker_buy_quote += trade.quote_units

    def since(self, start_ms: int) -> list[Kline]:
        """Return the candles that open at or after ``start_ms``."""
        return self._items[bisect_left(self._items, start_ms, key=_open_ms) :]

    def merged(self, interval_ms: int, start_ms: int, end_ms: int) -> list[Kline]:
        """Return candles of a multiple of the own interval that open within the bounds, without empty ones."""
        first = start_ms - start_ms % interval_ms
        merged: list[Kline] = []
        for item in self.since(first):
            open_ms = item.open_ms - item.open_ms % interval_ms
            if open_ms > end_ms:
                break
            if open_ms < start_ms:
                continue
            if not merged or merged[-1].open_ms != open_ms:
                merged.append(Kline(open_ms, open_ms + interval_ms - 1, item.open, item.high, item.low, item.close))
            merged[-1].absorb(item)
        return merged

    def _begin(self, trade: TradeLike) -> None:
        open_ms = trade.time_ms - trade.time_ms % self.interval_ms
        price = trade.price_ticks
        kline = Kline(open_ms, open_ms + self.interval_ms - 1, price, price, price, price)
        kline.first_trade_id = trade.trade_id
        self._items.append(kline)
        if len(self._items) > 2 * self._limit:  # cut rarely: each cut moves the whole list
            del self._items[: -self._limit]


def _open_ms(kline: Kline) -> int:
    return kline.open_ms


class Tape(Generic[TradeT]):
    """Every trade of a market: the latest whole, all of them as candles (two hours of seconds, a week of minutes)."""

    def __init__(self, limit: int = 50_000) -> None:
        self.trades: deque[TradeT] = deque(maxlen=limit)
        self.seconds = KlineSeries(SECOND_MS, 7_200)
        self.minutes = KlineSeries(MINUTE_MS, 10_080)
        self._average: tuple[int, tuple[int, int]] = (-1, (0, 0))

    def record(self, trade: TradeT) -> None:
        """Book a trade."""
        self.trades.append(trade)
        self.seconds.add(trade)
        self.minutes.add(trade)

    @property
    def last(self) -> TradeT | None:
        """The latest trade."""
        return self.trades[-1] if self.trades else None

    def average(self, now_ms: int) -> tuple[int, int]:
        """Return the (quote units, lots) traded in the last five minutes, the fraction whose value is the price.

        The last trade stands in when nothing traded in the window; (0, 0) before the first trade. Computed once a
        second.
        """
        second = now_ms // SECOND_MS
        if self._average[0] == second and self._average[1][1]:
            return self._average[1]
        window = self.seconds.since(now_ms - AVERAGE_PRICE_MS)
        lots = sum(kline.lots for kline in window)
        quote = sum(kline.quote_units for kline in window)
        if not lots and self.trades:
            lots, quote = self.trades[-1].qty_lots, self.trades[-1].quote_units
        self._average = (second, (quote, lots))
        return quote, lots

    def klines(self, interval_ms: int, *, start_ms: int = 0, end_ms: int = 1 << 62, limit: int = 500) -> list[Kline]:
        """Return candles of an interval, oldest first, only those in which something traded.

        ``interval_ms`` is a multiple of a second; candles open on multiples of it since the epoch, between
        ``start_ms`` and ``end_ms`` inclusive. With a start the first ``limit`` are returned, else the last.
        """
        series = self.seconds if interval_ms % MINUTE_MS else self.minutes
        found = series.merged(interval_ms, start_ms, end_ms)
        return found[:limit] if start_ms else found[-limit:]
