"""A guarded ccxt instance without a network: frames are put in by hand, what it tells is collected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from kit.connectors.ccxt_books import SEQUENCES, BookTap
from kit.connectors.ccxt_exchange import make_instance
from kit.connectors.ccxt_profiles import profile_of
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.time_synchronizer import TimeSynchronizer
from kit.types.market import Level, OrderBookDiff, OrderBookSnapshot
from kit.types.ports import Credentials

PAIR = "BTC/USDT"
CREDENTIALS = Credentials("the-api-key", "the-secret")


@dataclass
class Frame:
    """A received WebSocket message: text, unless ``type`` says otherwise."""

    data: str
    type: int = 1


def text(message: Any) -> Frame:
    """Return an object as a text frame."""
    return Frame(orjson.dumps(message).decode())


def market(market_id: str = "BTCUSDT", **changes: Any) -> dict[str, Any]:
    """Return ccxt's structure of a spot market."""
    return {
        "id": market_id,
        "lowercaseId": market_id.lower(),
        "symbol": PAIR,
        "base": "BTC",
        "quote": "USDT",
        "baseId": "BTC",
        "quoteId": "USDT",
        "settle": None,
        "type": "spot",
        "spot": True,
        "margin": False,
        "swap": False,
        "future": False,
        "option": False,
        "contract": False,
        "linear": None,
        "inverse": None,
        "contractSize": None,
        "active": True,
        "precision": {"amount": 0.00001, "price": 0.01},
        "limits": {"amount": {"min": 0.00001, "max": 9000}, "price": {"min": 0.01}, "cost": {"min": 5}},
        "info": {"orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"]},
        **changes,
    }


@dataclass
class Told:
    """What a guarded instance reported."""

    books: list[Any] = field(default_factory=list)
    trades: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    fills: list[dict[str, Any]] = field(default_factory=list)
    balances: list[dict[str, Any]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


@dataclass
class Offline:
    """A guarded instance, what it told, and one connection of it that was never opened."""

    exchange: Any
    told: Told
    client: Any

    def feed(self, message: Any) -> None:
        """Put a frame in, as if it had come over the connection."""
        self.client.handle_message(message if isinstance(message, Frame) else text(message))

    @property
    def books(self) -> list[Any]:
        return self.told.books


@asynccontextmanager
async def offline(
    exchange_id: str,
    url: str = "wss://stream.binance.com:9443/ws/0",
    *,
    credentials: Credentials | None = None,
    time_source: TimeSource = SYSTEM_TIME,
    market_id: str = "BTCUSDT",
) -> AsyncIterator[Offline]:
    """Make a guarded instance whose taps collect."""
    exchange = make_instance(
        exchange_id,
        profile_of(exchange_id),
        TimeSynchronizer(time_source),
        time_source,
        credentials=credentials,
        endpoint_url=None,
        recv_window=2.5,
    )
    told = Told()
    taps = exchange.kit_taps
    taps.on_book = BookTap(told.books.append, SEQUENCES.get(exchange_id)).on_resolve
    taps.on_trade = lambda item: told.trades.append(dict(item))
    taps.on_order = lambda item: told.orders.append(dict(item))
    taps.on_fill = lambda item: told.fills.append(dict(item))
    taps.on_balance = lambda item: told.balances.append(dict(item))
    taps.on_lost = lambda client, reason: told.lost.append(reason)
    exchange.set_markets([market(market_id)])
    exchange.timeout_on_exit = 0
    try:
        yield Offline(exchange, told, exchange.client(url))
    finally:
        await exchange.close()


class PlainBook:
    """The simplest book: what the messages say, applied one by one."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.update_id = 0

    def apply(self, message: OrderBookSnapshot | OrderBookDiff) -> None:
        if isinstance(message, OrderBookSnapshot):
            self.bids.clear()
            self.asks.clear()
        for side, levels in ((self.bids, message.bids), (self.asks, message.asks)):
            for price, amount in levels:
                if amount:
                    side[price] = amount
                else:
                    side.pop(price, None)
        self.update_id = message.update_id

    def sides(self) -> tuple[list[Level], list[Level]]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
