"""Turns what happens on a market into the messages of its streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kit.testnet import binance_format as wire
from kit.testnet.aggregates import AggTrade, AggTrades, candles, day_stats
from kit.testnet.binance_streams import StreamHub
from kit.testnet.exchange import Exchange
from kit.testnet.market import BookChanges, Market, Trade
from kit.testnet.symbols import Side

FAST_S = 0.1
"""How often depth is published, in seconds; slower streams come at every tenth time."""
_TICKS_A_SECOND = 10


class MarketPublisher:
    """Publishes one market: trades and best prices at once, depth ten times a second, the rest once a second.

    ``driven`` is set while a replay says itself when to publish depth. ``skipped_depth`` counts the updates that a
    fault kept back.
    """

    def __init__(self, market: Market, exchange: Exchange, hub: StreamHub) -> None:
        self.market = market
        self.agg_trades = AggTrades(on_closed=self._agg_closed)
        self.driven = False
        self.skipped_depth = 0
        self._clock = exchange.clock
        self._faults = exchange.faults
        self._hub = hub
        self._name = market.symbol.lower()
        self._top: tuple[int, int, int, int] | None = None
        self._slow_levels: dict[tuple[Side, int], int] = {}
        self._slow_first: int | None = None
        self._slow_last = 0
        self._candle_opens: dict[str, int] = {}

    def traded(self, trade: Trade) -> None:
        """Publish a trade."""
        stream = f"{self._name}@trade"
        if self._hub.wanted(stream):
            self._hub.publish(stream, wire.trade_event(trade, self._clock.now_ms()))
        self.agg_trades.add(trade)

    def settle(self) -> None:
        """Publish what is only known when an operation is over: the aggregated trade and the new best prices."""
        self.agg_trades.close()
        stream = f"{self._name}@bookTicker"
        if not self._hub.wanted(stream):
            return
        bid, ask = self.market.bids.best, self.market.asks.best
        top = (
            bid.price_ticks if bid else 0,
            bid.lots if bid else 0,
            ask.price_ticks if ask else 0,
            ask.lots if ask else 0,
        )
        if top != self._top:
            self._top = top
            self._hub.publish(stream, wire.book_ticker_event(self.market))

    def publish_depth(self) -> None:
        """Publish what changed in the book since the last time, unless nothing did."""
        self.settle()
        changes = self.market.take_changes()
        if changes.last_update_id < changes.first_update_id:
            return
        self._slow_levels.update(changes.levels)
        self._slow_last = changes.last_update_id
        if self._slow_first is None:
            self._slow_first = changes.first_update_id
        self._publish_update("@depth@100ms", changes)
        self._publish_partial("@100ms")

    def publish_second(self) -> None:
        """Publish the streams that come once a second."""
        if self._slow_first is not None:
            changes = BookChanges(self._slow_levels, self._slow_first, self._slow_last)
            self._slow_levels, self._slow_first = {}, None
            self._publish_update("@depth", changes)
            self._publish_partial("")
        self._publish_tickers()
        for stream in self._hub.active(f"{self._name}@kline_"):
            self._publish_candles(stream)

    def day_ticker(self) -> wire.Json:
        """Return the 24 h statistics."""
        return wire.day_ticker(self.market, day_stats(self.market, self._clock.now_ms()))

    def _agg_closed(self, agg: AggTrade) -> None:
        stream = f"{self._name}@aggTrade"
        if self._hub.wanted(stream):
            self._hub.publish(stream, wire.agg_trade_event(self.market.info, agg, self._clock.now_ms()))

    def _publish_update(self, suffix: str, changes: BookChanges) -> None:
        stream = self._name + suffix
        if not self._hub.wanted(stream):
            return
        if self._faults.take(("gap",), stream, "stream") is not None:
            self.skipped_depth += 1
            return
        self._hub.publish(stream, wire.depth_update(self.market.info, changes, self._clock.now_ms()))

    def _publish_partial(self, suffix: str) -> None:
        for limit in (5, 10, 20):
            stream = f"{self._name}@depth{limit}{suffix}"
            if self._hub.wanted(stream):
                self._hub.publish(stream, wire.book(self.market, limit))

    def _publish_tickers(self) -> None:
        full = None
        for suffix, event in (("@ticker", wire.day_ticker_event), ("@miniTicker", wire.mini_ticker_event)):
            stream = self._name + suffix
            if self._hub.wanted(stream):
                full = full or self.day_ticker()
                self._hub.publish(stream, event(full, self._clock.now_ms()))

    def _publish_candles(self, stream: str) -> None:
        interval = stream.partition("@kline_")[2]
        now = self._clock.now_ms()
        latest = candles(self.market, interval, start_ms=0, end_ms=now, limit=2)
        for item in latest:
            # the candle before the present one is sent once more, as closed, and only if it was sent open
            if item is latest[-1] or item.open_ms == self._candle_opens.get(stream):
                self._hub.publish(stream, wire.kline_event(self.market.info, item, interval, now))
        if latest:
            self._candle_opens[stream] = latest[-1].open_ms


class Publishers:
    """The publishers of all markets and the beat that they publish by."""

    def __init__(self, exchange: Exchange, hub: StreamHub) -> None:
        self._hub = hub
        self._clock = exchange.clock
        markets = exchange.venue.markets.values()
        self._by_symbol = {market.symbol: MarketPublisher(market, exchange, hub) for market in markets}
        self._beats = 0
        exchange.venue.on_trade.append(lambda market, trade: self.of(market).traded(trade))
        exchange.after_change.append(self.settle)

    def of(self, market: Market) -> MarketPublisher:
        """Return the publisher of a market."""
        return self._by_symbol[market.symbol]

    @property
    def agg_trades(self) -> dict[str, AggTrades]:
        """Every market's aggregated trades by symbol."""
        return {symbol: publisher.agg_trades for symbol, publisher in self._by_symbol.items()}

    @property
    def skipped_depth(self) -> int:
        """How many depth updates faults kept back."""
        return sum(publisher.skipped_depth for publisher in self._by_symbol.values())

    def settle(self, market: Market) -> None:
        """Publish a market's best prices if an operation changed them."""
        self.of(market).settle()

    def publish_depth(self, market: Market) -> None:
        """Publish a market's depth now: what a replay calls after each recorded update."""
        self.of(market).publish_depth()

    def beat(self) -> None:
        """Publish what is due at one tenth of a second."""
        self._beats += 1
        for publisher in self._by_symbol.values():
            if not publisher.driven:
                publisher.publish_depth()
        if self._beats % _TICKS_A_SECOND == 0:
            for publisher in self._by_symbol.values():
                publisher.publish_second()
            self._publish_all_markets()

    def _publish_all_markets(self) -> None:
        for stream, event in (("!ticker@arr", wire.day_ticker_event), ("!miniTicker@arr", wire.mini_ticker_event)):
            if self._hub.wanted(stream):
                now = self._clock.now_ms()
                self._hub.publish(stream, [event(each.day_ticker(), now) for each in self._by_symbol.values()])

    async def run(self, monotonic: Callable[[], float]) -> None:
        """Beat ten times a second until cancelled; beats that were missed are left out."""
        due = monotonic()
        while True:
            due = max(due + FAST_S, monotonic())
            await asyncio.sleep(due - monotonic())
            self.beat()
