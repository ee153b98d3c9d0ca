"""A test exchange put together from its parts, not yet listening."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kit.testnet.activity import Activities
from kit.testnet.binance_market_data import MarketData
from kit.testnet.binance_streams import StreamHub
from kit.testnet.binance_trading import Trading
from kit.testnet.config import TestnetConfig, symbol_infos
from kit.testnet.exchange import DEFAULT_ACCOUNT, Exchange
from kit.testnet.ledger import Account
from kit.testnet.market_publisher import Publishers
from kit.testnet.server_clock import ActivityTime, ServerClock
from kit.testnet.sockets import Sockets
from kit.testnet.user_streams import UserStreams
from kit.testnet.venue import Venue


class Parts:
    """Everything that a test exchange consists of, wired together.

    ``wall`` and ``monotonic`` tell the time in seconds. ``account`` is the default trader's; ``url`` is empty until the
    server listens; ``stopped`` is set when it is to end.
    """

    def __init__(self, config: TestnetConfig, *, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self.config = config
        self.url = ""
        self.stopped = asyncio.Event()
        clock = ServerClock(wall, monotonic)
        self.exchange = Exchange(Venue(symbol_infos(config.symbols), now_ms=clock.now_ms), clock, config.limits)
        self.account: Account = self.exchange.create_account(DEFAULT_ACCOUNT, config.deposits)
        self.sockets = Sockets(self.exchange.faults)
        self.hub = StreamHub((symbol.lower() for symbol in config.symbols), self.exchange.faults)
        self.publishers = Publishers(self.exchange, self.hub)
        self.users = UserStreams(self.exchange)
        self.activities = Activities(self.exchange.venue, self.publishers, config, ActivityTime(monotonic))
        self.exchange.add(*MarketData(self.exchange, self.publishers.agg_trades).endpoints())
        self.exchange.add(*Trading(self.exchange).endpoints())
