"""Our strategy plays as the model that was written from the description alone, and is not excused where it does not."""

from __future__ import annotations

import logging
import random
from functools import cache

import pytest

from kit.strategy.hanging_orders import HangingOrders
from kit.strategy.refresh_timers import RefreshTimers
from tests.oracle.model import play_model
from tests.oracle.rules import excuse
from tests.oracle.scenario import first_difference, play
from tests.oracle.test_pmm_oracle import played, with_traces

CHOICES = {
    "bid_spread": ["0.001", "0.005", "0.01", "0.02"],
    "ask_spread": ["0.001", "0.005", "0.01", "0.02"],
    "order_amount": ["1", "0.1", "3.333"],
    "order_refresh_time": [1.0, 3.0, 5.0, 10.0],
    "filled_order_delay": [1.0, 5.0, 12.0],
    "order_refresh_tolerance_pct": ["-1", "-1", "0", "0.002", "0.01"],
    "minimum_spread": ["-1", "0", "0.002", "-0.005"],
    "order_levels": [0, 1, 2, 3, 5],
    "order_level_spread": ["0.01", "0.001"],
    "order_level_amount": ["0", "0.5", "1", "-0.3"],
    "max_order_age": [4.0, 6.0, 1800.0],
    "price_type": ["mid_price", "mid_price", "best_bid", "best_ask", "last_price", "last_own_trade_price"],
}
FEATURES = {
    "inventory_skew_enabled": [True],
    "inventory_target_base_pct": ["0", "0.1", "0.5", "0.9", "1"],
    "inventory_range_multiplier": ["0.5", "1", "5"],
    "order_optimization_enabled": [True],
    "bid_order_optimization_depth": ["0", "15", "1e9"],
    "ask_order_optimization_depth": ["0", "15"],
    "add_transaction_costs_to_orders": [True],
    "price_ceiling": ["101", "105", "-1"],
    "price_floor": ["95", "99", None],
    "moving_price_band": [{"floor_pct": "-1", "ceiling_pct": "1", "refresh": seconds} for seconds in (5, 86400)],
    "ping_pong_enabled": [True],
    "hanging_orders_enabled": [True],
    "hanging_orders_cancel_pct": ["0.02", "0.1"],
    "take_if_crossed": [True],
    "order_override": [{"a": ["buy", 0.5, 0.7], "b": ["buy", 1.3, 1.1], "c": ["sell", 1.1, 2]}],
}


def scenario(seed):
    """A scenario in the manner of the reference's, with more of its parameters."""
    chance = random.Random(seed)
    config = {name: chance.choice(values) for name, values in CHOICES.items()}
    config |= {name: chance.choice(values) for name, values in FEATURES.items() if chance.random() < 0.3}
    price = lambda reach: f"{100 + chance.uniform(-reach, reach):.1f}"  # noqa: E731
    steps, time = [], 0
    for _ in range(chance.randint(3, 9)):
        time += chance.randint(1, 10)
        events = {
            "trade": [chance.choice(["BUY", "SELL"]), price(4), "5"],
            "book": [price(4), "1", "200", chance.choice(["1", "0.5", "0.1"]), "10"],
            "diffs": [[[price(2), chance.choice([0, 5])]], [[price(2), chance.choice([0, 20])]]],
            "balance": [chance.choice(["HBOT", "ETH"]), chance.choice(["0", "2", "1000"])],
            "cancel": [chance.choice(["buy", "sell"]), chance.randint(0, 2)],
            "set": chance.choice([["bid_spread", "0.003"], ["ping_pong_enabled", False], ["order_levels", 2]]),
        }
        name = chance.choice([*["trade"] * 4, *["book"] * 3, *["diffs"] * 2, "balance", "cancel", "set"])
        steps += [["til", time], [name, *events[name]]]
    if chance.random() < 0.1:
        steps.insert(3, ["diffs", [], [[step + 0.5, 0] for step in range(80, 200)]])
    balances = {"HBOT": chance.choice(["500", "20", "1"]), "ETH": chance.choice(["50000", "800", "50"])}
    fee = chance.choice([None, ["0.001", "0.002"]])
    return {"config": config, "steps": [*steps, ["til", time + 10]], "fee": fee, "balances": balances}


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("kit").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("kit").setLevel(logging.NOTSET)


@pytest.mark.parametrize("decade", range(12))
def test_ours_plays_as_the_description_says(decade):
    unlike, played = {}, 0
    for seed in range(10 * decade, 10 * decade + 10):
        model = play_model(scenario(seed))
        if model is not None:
            played += 1
            unlike[seed] = first_difference(play(scenario(seed)), model)
    assert played >= 3
    assert {seed: difference for seed, difference in unlike.items() if difference is not None} == {}


@with_traces
def test_ours_plays_the_reference_s_scenarios_as_the_description_says():
    unlike = {}
    for case, ours in played():
        model = play_model(case.scenario)
        unlike[case.name] = (0, "unknown") if model is None else first_difference(ours, model)
    assert {name: difference for name, difference in unlike.items() if difference is not None} == {}


@cache
def differing():
    """The scenarios in which ours is right and the reference is not, with our trace."""
    return [(case, ours) for case, ours in played() if first_difference(ours, case.trace) is not None]


@with_traces
@pytest.mark.parametrize("planted", ["no renewal", "lost renewal", "early", "fills count"])
def test_a_defect_of_ours_is_never_excused(monkeypatch, planted):
    """Not even where it shows only behind a difference that is right."""
    scenarios = differing()
    if planted == "early":
        placed = RefreshTimers.placed
        monkeypatch.setattr(RefreshTimers, "placed", lambda self, now, seconds: placed(self, now, seconds + 1))
    else:
        name, defect = {
            "no renewal": ("over_age", lambda self, now, limit: []),
            "lost renewal": ("take_renewals", lambda self: []),
            "fills count": ("holds", lambda self, order: False),
        }[planted]
        monkeypatch.setattr(HangingOrders, name, defect)
    struck = 0
    for case, right in scenarios:
        ours = play(case.scenario)
        if ours == right:
            continue
        struck += 1
        verdict = excuse(case.scenario, ours, case.trace)
        assert verdict is None or verdict.rule is None, f"{case.name} is excused: {verdict}"
    assert struck
