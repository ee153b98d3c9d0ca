"""Every parameter of pure market making takes effect when it is changed while it runs, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

import pytest

from kit.strategy.market_making_params import PureMarketMakingParams
from kit.strategy.pure_market_making import PureMarketMaking
from kit.types.market import TradeType
from tests.support.mock_market import MockBook, MockMarket

D = Decimal
SETTINGS = {"bid_spread": "0.01", "ask_spread": "0.01", "order_amount": 1, "order_refresh_time": 1}
CHANGED_AFTER, END = 3, 8


def buy_fills(market):
    market.trade(TradeType.SELL, D("98.9"))


def price_rises(market):
    market.book = MockBook.balanced(D(105), D(1), D(300), D(1), D(10))


def cancels_get_no_answer(market):
    market.hold_cancels = True


def below_the_book():
    return lambda: 98


def rising():
    return count(100).__next__


def answering_once():
    return iter([100]).__next__


class Change(NamedTuple):
    """A new value, the settings before, what happens after which tick; ``seen`` is the first tick that differs.

    4 is the next tick; at 5 the next orders are placed in turn, as those before are cancelled at 4.
    """

    value: Any
    before: Mapping[str, Any] = {}
    seen: int = 5
    happens: Mapping[int, Callable[[MockMarket], None]] = {}
    source: Callable[[], Any] = lambda: None


LONG = {"order_refresh_time": 3600}
SKEW = {"inventory_skew_enabled": True, "inventory_range_multiplier": 100}
BAND = {"moving_price_band_enabled": True}
HANGING = {"hanging_orders_enabled": True, "filled_order_delay": 0}
NEAR = {"bid_spread": "0.001", "ask_spread": "0.001"}
OPTIMIZED = {"order_optimization_enabled": True, **NEAR}
COST = {"price_type": "inventory_cost", "inventory_price": 120}

CHANGES = {
    "bid_spread": Change("0.02"),
    "ask_spread": Change("0.02"),
    "order_amount": Change(2),
    "order_levels": Change(2),
    "order_level_spread": Change("0.02", {"order_levels": 2}),
    "order_level_amount": Change(1, {"order_levels": 2}),
    "bid_order_level_spreads": Change(["0.02", "0.03"]),
    "ask_order_level_spreads": Change(["0.02"]),
    "bid_order_level_amounts": Change([3], {"bid_order_level_spreads": ["0.01"]}),
    "ask_order_level_amounts": Change([3], {"ask_order_level_spreads": ["0.01"]}),
    "order_override": Change({"a": ["buy", "0.03", 1]}),
    "order_refresh_time": Change(2, LONG, seen=4),
    "order_refresh_tolerance": Change("0.1", seen=6),
    "max_order_age": Change(2, LONG, seen=4),
    "filled_order_delay": Change(1, {**LONG, "filled_order_delay": 3600}, seen=4, happens={2: buy_fills}),
    "should_wait_order_cancel_confirmation": Change(False, seen=4, happens={1: cancels_get_no_answer}),
    "minimum_spread": Change("0.02", LONG, seen=4),
    "price_ceiling": Change(90),
    "price_floor": Change(110),
    "moving_price_band_enabled": Change(True, {"price_ceiling_pct": 0}),
    "price_ceiling_pct": Change(0, BAND),
    "price_floor_pct": Change(0, BAND),
    "price_band_refresh_time": Change(1, BAND, happens={2: price_rises}),
    "ping_pong_enabled": Change(True, {**LONG, "filled_order_delay": 0}, seen=5, happens={4: buy_fills}),
    "inventory_skew_enabled": Change(True),
    "inventory_target_base_pct": Change("0.9", SKEW),
    "inventory_range_multiplier": Change(50, {**SKEW, "inventory_target_base_pct": "0.9"}),
    "inventory_price": Change(150, COST),
    "order_optimization_enabled": Change(True, NEAR),
    "bid_order_optimization_depth": Change(25, OPTIMIZED),
    "ask_order_optimization_depth": Change(25, OPTIMIZED),
    "add_transaction_costs": Change(True),
    "hanging_orders_enabled": Change(True, {"filled_order_delay": 0}, seen=6, happens={5: buy_fills}),
    "hanging_orders_cancel_pct": Change("0.001", HANGING, seen=4, happens={1: buy_fills}),
    "take_if_crossed": Change(True, source=below_the_book),
    "price_type": Change("best_bid"),
    "price_source_interval": Change(1, {"price_source_interval": 50}, source=rising),
    "price_source_stale_after": Change(2, {**LONG, "price_source_interval": 1}, seen=4, source=answering_once),
}


def play(bench, change: Change, changes: Mapping[str, Any]) -> list[list[tuple[Any, ...]]]:
    """The orders after each tick."""
    market = MockMarket(fee=(D("0.001"), D("0.001")))
    b = bench(market, PureMarketMaking(market, price_source=change.source(), **{**SETTINGS, **change.before}))
    states = []
    for tick in range(1, END + 1):
        b.til(tick)
        states.append([(order.client_order_id, order.price, order.amount) for order in market.orders.values()])
        change.happens.get(tick, lambda market: None)(market)
        if tick == CHANGED_AFTER and changes:
            b.strategy.params.update(changes)
            assert b.strategy.params.pending
    assert b.strategy.params.pending == {}
    assert b.strategy.health.total_errors == 0
    return states


@pytest.mark.parametrize("name", [field.name for field in PureMarketMakingParams.describe()])
def test_a_change_takes_effect(bench, name):
    change = CHANGES[name]
    without, changed = play(bench, change, {}), play(bench, change, {name: change.value})
    differing = [tick for tick, (old, new) in enumerate(zip(without, changed, strict=True), 1) if old != new]
    assert differing[:1] == [change.seen]
