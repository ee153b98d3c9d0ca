"""Scenarios of the reference's pure market making that need nothing but the features built so far.

The traces stand beside the repository, not in it; without them these tests are skipped.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.events import MarketEvent
from kit.types.market import TradeType
from tests.support.mock_market import MockBook, MockMarket

D = Decimal
TRACES = Path(__file__).resolve().parents[3] / "shared" / "oracle"
SAME = {
    "bid_spread", "ask_spread", "order_amount", "order_levels", "order_level_spread", "order_level_amount",
    "order_refresh_time", "filled_order_delay", "max_order_age",
}  # fmt: skip
OFF = [None, False, "-1", -1]


def load() -> list[dict[str, Any]]:
    lines = [line for path in sorted(TRACES.glob("pmm_*.jsonl")) for line in path.read_text().splitlines()]
    return [case for case in map(json.loads, lines) if playable(case)]


def playable(case: dict[str, Any]) -> bool:
    config = dict(case["scenario"]["config"])
    config.pop("order_refresh_tolerance_pct", None)
    has_price = config.pop("price_type", "mid_price") == "mid_price"
    foreign = {name for name, value in config.items() if name not in SAME and value not in OFF}
    foreign -= {name for name in config if name.startswith(("inventory_", "hanging_", "bid_order_", "ask_order_"))}
    enabled = any(value is True for value in config.values())
    no_errors = not any(state.get("errors") for state in case["trace"])
    return has_price and no_errors and not foreign and not enabled


def parameters(config: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in config.items() if name in SAME}
    tolerance = D(str(config["order_refresh_tolerance_pct"]))
    return {"order_level_spread": 0, **values, "order_refresh_tolerance": None if tolerance < 0 else tolerance}


class Player:
    def __init__(self, scenario: dict[str, Any], bench: Any) -> None:
        pair = scenario.get("pair", "HBOT-ETH").replace("-", "/")
        balances = {asset: D(amount) for asset, amount in scenario.get("balances", {"HBOT": 500, "ETH": 5000}).items()}
        fee = tuple(D(part) for part in scenario.get("fee") or (0, 0))
        self.market = MockMarket(pair, balances, fee=fee)
        self.bench = bench(self.market, PureMarketMaking(self.market, pair, **parameters(scenario["config"])))
        self.aliases: dict[str, int] = {}
        self.events: list[list[Any]] = []
        self.states: list[dict[str, Any]] = []
        self.time = 0
        pubsub = self.market.pubsub
        pubsub.add_listener(MarketEvent.OrderCancelled, lambda event: self.events.append(["OrderCancelled"]))
        pubsub.add_listener(
            MarketEvent.OrderFilled,
            lambda event: self.events.append(["OrderFilled", event.price, event.amount, event.trade_type.name]),
        )

    def play(self, steps: list[list[Any]]) -> list[dict[str, Any]]:
        for name, *args in steps:
            getattr(self, name)(*args)
            if name != "til":
                self.record()
        return self.states

    def til(self, end: int) -> None:
        while self.time < end:
            self.time += 1
            self.bench.til(self.time)
            self.record()

    def trade(self, side: str, price: str, amount: str) -> None:
        self.market.trade(TradeType[side], D(price))

    def diffs(self, bids: list[Any], asks: list[Any]) -> None:
        self.market.book.apply(*([(D(str(p)), D(str(a))) for p, a in side] for side in (bids, asks)))

    def book(self, *numbers: Any) -> None:
        self.market.book = MockBook.balanced(*(D(str(number)) for number in numbers))

    def balance(self, asset: str, amount: str) -> None:
        self.market.balances[asset] = D(amount)

    def cancel(self, side: str, index: int) -> None:
        strategy = self.bench.strategy
        orders = strategy.active_buys if side == "buy" else strategy.active_sells
        if index < len(orders):
            strategy.cancel(orders[index].client_order_id)

    def alias(self, order_id: str) -> int:
        return self.aliases.setdefault(order_id, len(self.aliases) + 1)

    def record(self) -> None:
        strategy = self.bench.strategy
        buys, sells = (
            [[self.alias(order.client_order_id), order.price, order.quantity] for order in orders]
            for orders in (strategy.active_buys, strategy.active_sells)
        )
        resting = [[self.alias(order.order_id), order.price, order.amount] for order in self.market.orders.values()]
        self.states.append(
            {
                "t": self.time,
                "buys": buys,
                "sells": sells,
                "market_orders": resting,
                "events": self.events,
                "balances": dict(self.market.balances),
            }
        )
        self.events = []
        assert strategy.health.total_errors == 0


def exact(value: Any) -> Any:
    """Numbers in texts become decimals, so that trailing zeros do not matter."""
    if isinstance(value, dict):
        return {key: exact(part) for key, part in value.items() if key != "after"}
    if isinstance(value, list):
        return [exact(part) for part in value]
    try:
        return D(str(value))
    except ArithmeticError:
        return value


CASES = load()


@pytest.mark.skipif(not CASES, reason="the reference traces are not beside the repository")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_trace_is_the_reference_s(case, bench):
    states = Player(case["scenario"], bench).play(case["scenario"]["steps"])
    expected = case["trace"]
    assert len(states) == len(expected)
    for ours, theirs in zip(states, expected, strict=True):
        assert exact(ours) == exact(theirs)
