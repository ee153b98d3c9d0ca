"""The public operations: time, rules, books, trades, candles and tickers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kit.testnet import binance_format as wire
from kit.testnet.aggregates import INTERVALS, AggTrades, candles, day_stats
from kit.testnet.binance_errors import ApiError, invalid_value
from kit.testnet.binance_params import SYMBOL_RANGE, Params
from kit.testnet.exchange import Call, Endpoint, Exchange
from kit.testnet.market import Market

_HOUR_MS = 3_600_000
_MAX_DEPTH = 5000
_MAX_TIME_ZONE_HOURS = 14


def _depth_weight(values: Mapping[str, str]) -> int:
    text = values.get("limit", "")
    limit = int(text) if text.isdecimal() and len(text) < 10 else 100
    return next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)


def _by_symbols(one: int, all_of_them: int) -> Callable[[Mapping[str, str]], int]:
    return lambda values: one if "symbol" in values else all_of_them


def _day_weight(values: Mapping[str, str]) -> int:
    return 2 if "symbol" in values or "symbols" in values else 80


class MarketData:
    """Answers public requests from the engine; ``agg_trades`` holds each market's aggregated trades by symbol."""

    def __init__(self, exchange: Exchange, agg_trades: Mapping[str, AggTrades]) -> None:
        self._exchange = exchange
        self._agg_trades = agg_trades

    def endpoints(self) -> list[Endpoint]:
        """Return the operations with their weights."""
        return [
            Endpoint("ping", self.ping, 1),
            Endpoint("time", self.time, 1),
            Endpoint("exchangeInfo", self.exchange_info, 20),
            Endpoint("depth", self.depth, _depth_weight),
            Endpoint("trades.recent", self.recent_trades, 25),
            Endpoint("trades.historical", self.historical_trades, 25),
            Endpoint("trades.aggregate", self.aggregate_trades, 4),
            Endpoint("klines", self.klines, 2),
            Endpoint("uiKlines", self.klines, 2),
            Endpoint("avgPrice", self.average_price, 2),
            Endpoint("ticker.24hr", self.day_tickers, _day_weight),
            Endpoint("ticker.price", self.price_tickers, _by_symbols(2, 4)),
            Endpoint("ticker.book", self.book_tickers, _by_symbols(2, 4)),
        ]

    def ping(self, call: Call) -> dict[str, Any]:
        """Answer nothing."""
        call.params.finish()
        return {}

    def time(self, call: Call) -> dict[str, int]:
        """Tell the exchange's time."""
        call.params.finish()
        return {"serverTime": self._exchange.clock.now_ms()}

    def exchange_info(self, call: Call) -> dict[str, Any]:
        """Tell the rules of the symbols asked for, or of all."""
        params = call.params
        markets = self._markets(params)
        params.ignore("permissions", "showPermissionSets", "symbolStatus")
        params.finish()
        return {
            "timezone": "UTC",
            "serverTime": self._exchange.clock.now_ms(),
            "rateLimits": self._exchange.limiter.rules(),
            "exchangeFilters": [],
            "symbols": [wire.symbol_info(market.info) for market in markets],
        }

    def depth(self, call: Call) -> dict[str, Any]:
        """Return the best levels of a book."""
        market = self._market(call.params)
        limit = call.params.limit(100, _MAX_DEPTH)
        call.params.ignore("symbolStatus")
        call.params.finish()
        return wire.book(market, limit)

    def recent_trades(self, call: Call) -> list[Any]:
        """Return the latest trades."""
        market = self._market(call.params)
        limit = call.params.limit()
        call.params.finish()
        return _trades(market, None, limit)

    def historical_trades(self, call: Call) -> list[Any]:
        """Return trades from an id on, or the latest."""
        market = self._market(call.params)
        from_id = call.params.integer("fromId")
        limit = call.params.limit()
        call.params.finish()
        return _trades(market, from_id, limit)

    def aggregate_trades(self, call: Call) -> list[Any]:
        """Return aggregated trades from an id or a time on, or the latest."""
        params = call.params
        market = self._market(params)
        from_id = params.integer("fromId")
        start, end = times(params)
        limit = params.limit()
        params.finish()
        if from_id is not None and (start is not None or end is not None):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        found = self._agg_trades[market.symbol].find(
            from_id=from_id, start_ms=start or 0, end_ms=_END if end is None else end, limit=limit
        )
        return [wire.agg_trade(market.info, agg) for agg in found]

    def klines(self, call: Call) -> list[Any]:
        """Return candles of what has traded here."""
        params = call.params
        market = self._market(params)
        params.required("interval")
        interval = params.choice("interval", INTERVALS, -1120, "Invalid interval.")
        start, end = times(params)
        limit = params.limit()
        zone = params.text("timeZone")
        params.finish()
        shift = _zone_shift_ms(zone)
        now = self._exchange.clock.now_ms()
        if shift:
            raise ApiError(-1020, "This operation is not supported: klines of this exchange are in UTC.")
        assert interval is not None
        found = candles(
            market, interval, start_ms=start or 0, end_ms=now if end is None else min(end, now), limit=limit
        )
        return [wire.kline(market.info, item) for item in found]

    def average_price(self, call: Call) -> dict[str, Any]:
        """Return the average price of the last five minutes."""
        market = self._market(call.params)
        call.params.finish()
        quote, lots = market.tape.average(self._exchange.clock.now_ms())
        ticks = quote / (lots * market.info.quote_units) if lots else 0.0
        last = market.tape.last
        return {
            "mins": 5,
            "price": f"{ticks * float(market.info.tick_size):.8f}",
            "closeTime": last.time_ms if last else 0,
        }

    def day_tickers(self, call: Call) -> Any:
        """Return statistics of the last 24 hours."""
        params = call.params
        kind = params.choice("type", ("FULL", "MINI"), -1139, "Invalid ticker type.")

        def ticker(market: Market) -> wire.Json:
            full = wire.day_ticker(market, day_stats(market, self._exchange.clock.now_ms()))
            return wire.mini_day_ticker(full) if kind == "MINI" else full

        return self._one_or_many(params, ticker)

    def price_tickers(self, call: Call) -> Any:
        """Return the price of the last trade."""
        return self._one_or_many(call.params, wire.price_ticker)

    def book_tickers(self, call: Call) -> Any:
        """Return the best bid and ask."""
        return self._one_or_many(call.params, wire.book_ticker)

    def _one_or_many(self, params: Params, ticker: Callable[[Market], wire.Json]) -> Any:
        single = "symbol" in params
        markets = self._markets(params)
        params.ignore("symbolStatus")
        params.finish()
        return ticker(markets[0]) if single else [ticker(market) for market in markets]

    def _market(self, params: Params) -> Market:
        return self._exchange.market(params.required("symbol", SYMBOL_RANGE))

    def _markets(self, params: Params) -> list[Market]:
        names: Iterable[str] | None = params.symbols()
        if names is None:
            names = self._exchange.venue.markets
        return [self._exchange.market(name) for name in names]


_END = 1 << 62


def times(params: Params, *, most_hours: int | None = None) -> tuple[int | None, int | None]:
    """Return ``startTime`` and ``endTime``; raises -1127 when they lie more than ``most_hours`` apart."""
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None:
        if end < start:
            raise invalid_value("endTime")
        if most_hours is not None and end - start > most_hours * _HOUR_MS:
            raise ApiError(-1127, f"More than {most_hours} hours between startTime and endTime.")
    return start, end


def _trades(market: Market, from_id: int | None, limit: int) -> list[Any]:
    trades = market.trades
    if from_id is None:
        chosen = list(trades)[-limit:]
    else:
        chosen = [trade for trade in trades if trade.trade_id >= from_id][:limit]
    return [wire.public_trade(trade) for trade in chosen]


def _zone_shift_ms(zone: str | None) -> int:
    """Return the offset of ``timeZone`` in ms; raises -1130 outside -12:00 to +14:00."""
    if zone is None:
        return 0
    hours, _, minutes = zone.lstrip("+-").partition(":")
    if not hours.isdecimal() or (minutes and not minutes.isdecimal()) or int(hours) > _MAX_TIME_ZONE_HOURS:
        raise invalid_value("timeZone")
    return (int(hours) * 60 + int(minutes or 0)) * 60_000 * (-1 if zone.startswith("-") else 1)
