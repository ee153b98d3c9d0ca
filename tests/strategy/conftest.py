"""A backtest clock with a mock market and a strategy on it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kit.core.clock import Clock, ClockMode
from kit.strategy.strategy_base import StrategyBase
from kit.types.market import TradingRule
from tests.support.mock_market import MockMarket


class Bench:
    """Runs a strategy on a mock market; times are whole seconds from 0."""

    def __init__(self, market: MockMarket, strategy: StrategyBase) -> None:
        self.market = market
        self.strategy = strategy
        self.clock = Clock(ClockMode.BACKTEST)
        self.clock.add_iterator(market)
        self.clock.add_iterator(strategy)

    def til(self, timestamp: float) -> None:
        self.clock.backtest_til(timestamp)

    def stop(self) -> None:
        self.clock.stop_backtest()

    @property
    def prices(self) -> tuple[list[str], list[str]]:
        """The prices of the active buys and sells, as plain text."""
        strategy = self.strategy
        return (
            [plain(order.price) for order in strategy.active_buys],
            [plain(order.price) for order in strategy.active_sells],
        )


def plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


@pytest.fixture
def market() -> MockMarket:
    return MockMarket()


@pytest.fixture
def rule() -> TradingRule:
    return TradingRule(
        "HBOT/ETH",
        "HBOT",
        "ETH",
        min_price_increment=Decimal("0.01"),
        min_base_amount_increment=Decimal("0.001"),
        min_order_size=Decimal("0.01"),
        min_notional_size=Decimal(10),
    )


@pytest.fixture
def bench():
    """Build a bench from a market and a strategy."""
    return Bench
