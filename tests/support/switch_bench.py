"""A live switch on a bench: a real connector on two fake venues, paper and live, and time that the test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any, TypeVar

import kit
from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.connector import Connector
from kit.connectors.connector_manager import ConnectorConfig
from kit.core.clock import Clock, ManualTime
from kit.core.tasks import TaskSupervisor
from kit.errors import KitError, MissingCredentials
from kit.guard.guarding import Guarding
from kit.trading.switch import LiveSwitch, TradingState
from kit.types.market import OrderBookSnapshot
from kit.types.orders import Balance
from tests.support.fake_venue import PAIR, FakeVenue

T = TypeVar("T")

PAPER_USDT, LIVE_USDT = Decimal(10_000), Decimal(777)


class Quoter(kit.Strategy):
    """Keeps one order a side."""

    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy("0.1", "99")
            self.sell("0.1", "103")


class Manager:
    """As much of a connector manager as a switch asks for."""

    def __init__(self, live: FakeVenue) -> None:
        self.live = live
        self.has_key = True
        self.opened = 0

    async def live_config(self, name: str) -> ConnectorConfig:
        if not self.has_key:
            raise MissingCredentials("no key is stored; kit keys add binance")
        return ConnectorConfig("binance", "live", None, kit.Credentials("key", "secret"))

    def live_port(self, name: str, config: ConnectorConfig) -> FakeVenue:
        self.opened += 1
        return self.live

    async def paper_port(self, name: str) -> FakeVenue:
        return FakeVenue()

    def exchange_of(self, name: str) -> str:
        return "binance"


class Bench:
    """What a switch needs of a core, all of it real but the venues and the time; made inside a running loop."""

    def __init__(self, *, guard: Any = None, mode: str = "paper") -> None:
        self.time = ManualTime(1_000_000.0)
        self.paper, self.live = FakeVenue(), FakeVenue()
        self.live.balances = {"BTC": Balance(Decimal(1), Decimal(1)), "USDT": Balance(LIVE_USDT, LIVE_USDT)}
        self.name = "bench"
        self.running = True
        self.clock = Clock(time_source=self.time)
        self.supervisor = TaskSupervisor("bench")
        self.changing = asyncio.Lock()
        self.connector_manager = Manager(self.live)
        self.market = self._connector("main account", self.paper, mode)
        self.affinity = self.market.affinity
        self.connectors = {self.market.name: self.market}
        self.guarding = Guarding(guard, lambda: self.connectors, lambda _: None, self.time)
        self.strategy: kit.Strategy | None = Quoter(self.market, PAIR)
        self.read_only = None
        self.switch = LiveSwitch(self, self.time)
        self.changes: list[str] = []

    def _connector(self, name: str, venue: FakeVenue, mode: str) -> Connector:
        return Connector(
            name,
            venue,
            [PAIR],
            supervisor=self.supervisor,
            ids=ClientOrderIds("bench", time_source=self.time),
            account=venue,
            orders=venue,
            mode=mode,
            time_source=self.time,
        )

    async def connect(self, name: str, venue: FakeVenue) -> Connector:
        """Add a live connector; the switch has not heard of it yet."""
        market = self.connectors[name] = self._connector(name, venue, "live")
        market.open()
        await self.until(lambda: market.ready or market.trading_refused)
        return market

    def account_changed(self, connector: Connector) -> None:
        self.changes.append(connector.mode)

    async def begin(self) -> None:
        """Connect, start the strategy, and take the state of a core that starts."""
        self.market.open()
        self.speak(self.paper)
        await self.until(lambda: self.market.ready)
        self.strategy.gate = self.switch.gate
        self.strategy.start(self.clock, self.time.time())
        await self.switch.starting()
        self.switch.started()

    async def go_live(self) -> None:
        """Go live, and have the strategy quote there."""
        await self.do(self.switch.go_live())
        self.tick()
        assert self.switch.state is TradingState.LIVE
        assert len(self.live.open) == 2

    async def end(self) -> None:
        await self.market.close()
        await self.supervisor.close()

    def speak(self, venue: FakeVenue) -> None:
        """Let the market of a venue speak from now on, as it does all the time."""
        if PAIR in venue.subscribed and not venue.offline:
            venue._update_id += 1
            bid, ask = venue.books[PAIR]
            venue.emit(OrderBookSnapshot(PAIR, venue._update_id, self.time.time(), (bid,), (ask,)))
        self.time.call_later(2.0, lambda: self.speak(venue))

    def tick(self) -> None:
        """Tick the strategy."""
        with contextlib.suppress(KitError):
            self.strategy.tick(self.time.time())

    async def until(self, condition: Any, seconds: float = 60.0) -> None:
        """Move time on until a condition holds."""
        for _ in range(int(seconds / 0.1)):
            if condition():
                return
            await self.time.advance(0.1)
        raise AssertionError(f"not within {seconds:g} s")

    async def do(self, work: Coroutine[Any, Any, T], seconds: float = 120.0) -> T:
        """Await something while time goes on; returns or raises what it does."""
        task = asyncio.ensure_future(work)
        for _ in range(int(seconds / 0.05)):
            await self.time.settle()
            if task.done():
                return task.result()
            await asyncio.sleep(0.0005)
            if task.done():
                return task.result()
            await self.time.advance(0.05)
        task.cancel()
        raise AssertionError(f"not within {seconds:g} s")
