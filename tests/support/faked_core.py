"""What tests do with a core whose exchange is a fake venue: the fixture ``venue`` puts it in place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import kit
from tests.support.fake_venue import PAIR

CREDENTIALS = kit.Credentials("key", "secret")


class Quoter(kit.Strategy):
    """Keeps one order to buy."""

    price = "99"

    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy("1", self.price, level=3)


async def connect(core: kit.TradingCore, mode: str = "live", **options: Any) -> Any:
    return await core.add_connector("binance", [PAIR], mode=mode, credentials=CREDENTIALS, **options)


async def quoting(core: kit.TradingCore, strategy_class: type[kit.Strategy] = Quoter) -> tuple[Any, Any]:
    """Start a strategy and wait until the exchange knows an order of it; returns its market and the strategy."""
    market = await connect(core)
    core.strategy = strategy = strategy_class(market, PAIR)
    await core.start()
    await until(lambda: any(order.exchange_order_id for order in market.in_flight_orders.values()))
    return market, strategy


async def until(condition: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait in real time until a condition holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)
