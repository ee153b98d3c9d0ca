"""How the reference's parameters are read, and played while they change."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from tests.oracle.parameters import parameters
from tests.oracle.scenario import as_text, play

D = Decimal
BASE = {"bid_spread": "0.01", "ask_spread": "0.01", "order_amount": "1", "order_refresh_time": 2.0}
CYCLE = [["til", 1]]


def quotes(state):
    """(buys, sells) as texts [price, amount]."""
    return tuple([row[1:] for row in state[side]] for side in ("buys", "sells"))


def played(steps=CYCLE, **config):
    return as_text(play({"config": {**BASE, **config}, "steps": steps}))


def first(**config):
    return quotes(played(**config)[0])


def test_parameters_of_the_reference_are_translated():
    config = {
        "order_refresh_tolerance_pct": "-1", "minimum_spread": "0", "price_ceiling": "-1", "price_floor": "95",
        "moving_price_band": {"floor_pct": "-1", "ceiling_pct": "1", "refresh": 5},
        "order_override": {"a": ["buy", 0.5, 0.7]}, "add_transaction_costs_to_orders": True,
    }  # fmt: skip
    ours = parameters(config)
    assert ours["order_refresh_tolerance"] is None
    assert ours["minimum_spread"] == "0"
    assert ours["price_ceiling"] is None
    assert ours["price_floor"] == "95"
    assert str(ours["price_ceiling_pct"]) == "0.01"
    assert str(ours["order_override"]["a"][1]) == "0.005"
    assert ours["add_transaction_costs"] is True


def test_a_band_and_an_override_that_are_nothing_are_off():
    ours = parameters({**BASE, "moving_price_band": None, "order_override": None, "price_ceiling": "0"})
    assert ours["moving_price_band_enabled"] is False
    assert ours["order_override"] is None
    assert ours["price_ceiling"] is None


def test_no_levels_quote_nothing():
    assert first(order_levels=0) == ([], [])
    assert first(order_levels=0, order_override={"a": ["buy", 0.5, 0.7]}) == ([["99.5", "0.7"]], []), (
        "levels overridden"
    )


def test_a_spread_of_zero_quotes_at_the_reference_price():
    assert first(bid_spread="0", ask_spread="0.02") == ([["100", "1"]], [["102", "1"]])
    levels = {"order_levels": 3, "order_level_spread": "0.01", "order_level_amount": "-0.5"}
    assert first(bid_spread="0", **levels) == ([["100", "1"], ["99", "0.5"]], [["101", "1"], ["102", "0.5"]])
    assert first(bid_spread="-0.02") == ([], [["101", "1"]]), "a taker is left out"
    assert first(bid_spread="-0.02", take_if_crossed=True)[0] == [["102", "1"]]
    assert first(bid_spread="0", order_override={"a": ["sell", 0.5, 0.7]}) == ([], [["100.5", "0.7"]])


@pytest.mark.parametrize(
    "split",
    [
        {
            "bid_order_level_spreads": "0.01, 0.03", "bid_order_level_amounts": "1,2,3",
            "ask_order_level_spreads": ["0.02"], "ask_order_level_amounts": [4],
        },
        {
            # What the reference's start makes of the lists; it wins, as there.
            "order_override": {
                "split_level_0": ["buy", 1, 1], "split_level_1": ["buy", 3, 2], "split_level_2": ["sell", 2, 4]
            },
            "bid_order_level_spreads": [1, 3], "ask_order_level_spreads": [2],
        },
    ],
)  # fmt: skip
def test_split_levels_quote_as_listed_zipped_to_the_shorter_list(split):
    assert first(split_order_levels_enabled=True, **split) == ([["99", "1"], ["97", "2"]], [["102", "4"]])
    ours = parameters({**BASE, "split_order_levels_enabled": True, **split})
    assert ours["order_override"] is None, "so that optimization spaces by the listed spreads"


def test_lists_without_the_switch_are_ignored():
    lists = {"bid_order_level_spreads": "0.02", "bid_order_level_amounts": "5"}
    assert first(**lists) == ([["99", "1"]], [["101", "1"]])
    assert first(**lists, split_order_levels_enabled=False) == ([["99", "1"]], [["101", "1"]])


def test_split_levels_without_amounts_keep_the_order_amount():
    lists = {"bid_order_level_spreads": "0.02,0.03", "ask_order_level_spreads": "0.02"}
    assert first(**lists, split_order_levels_enabled=True) == ([["98", "1"], ["97", "1"]], [["102", "1"]])


# -- changes while it plays: placed at 1, cancelled at 3, placed again at 4


def changed(*sets, **config):
    trace = played([["til", 1], *(["set", *pair] for pair in sets), ["til", 4]], **config)
    states = trace[1 : 1 + len(sets)]
    assert [state["after"] for state in states] == ["set"] * len(sets)
    assert all(quotes(state) == quotes(trace[0]) for state in states), "a change waits for the tick"
    assert not any("errors" in state for state in trace)
    return quotes(trace[-1])


@pytest.mark.parametrize(
    ("name", "value", "quoted"),
    [
        ("bid_spread", "0.02", ([["98", "1"]], [["101", "1"]])),
        ("bid_spread", "0", ([["100", "1"]], [["101", "1"]])),
        ("order_amount", "3", ([["99", "3"]], [["101", "3"]])),
        ("order_levels", 0, ([], [])),
        ("order_levels", 2, ([["99", "1"], ["99", "1"]], [["101", "1"], ["101", "1"]])),
        ("price_ceiling", "95", ([], [["101", "1"]])),
        ("price_ceiling", "-1", ([["99", "1"]], [["101", "1"]])),
        ("price_floor", "105", ([["99", "1"]], [])),
        ("moving_price_band", {"floor_pct": "1", "ceiling_pct": "2", "refresh": 99}, ([["99", "1"]], [])),
        ("order_override", {"a": ["buy", 0.5, 0.7]}, ([["99.5", "0.7"]], [])),
        ("add_transaction_costs_to_orders", True, ([["98.901", "1"]], [["101.101", "1"]])),
    ],
)
def test_a_set_parameter_counts_from_the_next_tick(name, value, quoted):
    scenario = {"config": BASE, "fee": ["0.001", "0.001"], "steps": [["til", 1], ["set", name, value], ["til", 4]]}
    trace = as_text(play(scenario))
    assert trace[1]["after"] == "set"
    assert quotes(trace[1]) == quotes(trace[0]) == ([["99", "1"]], [["101", "1"]])
    assert quotes(trace[-1]) == quoted
    assert not any("errors" in state for state in trace)


def test_a_parameter_can_be_set_back():
    trace = played([["til", 1], ["set", "order_levels", 1], ["til", 2]], order_levels=0)
    assert [quotes(state) for state in trace] == [([], []), ([], []), ([["99", "1"]], [["101", "1"]])]
    assert changed(("bid_spread", "0.02"), bid_spread="0") == ([["98", "1"]], [["101", "1"]])
    assert changed(("order_override", None), order_override={"a": ["buy", 0.5, 0.7]}) == changed(("order_levels", 1))
    assert changed(("moving_price_band", None), moving_price_band={"floor_pct": "1", "ceiling_pct": "2", "refresh": 9})[
        1
    ]


def test_several_are_set_as_one():
    """On its own the new ceiling would be refused: it is below the old floor."""
    sets = (("price_ceiling", "94"), ("price_floor", "90"))
    assert changed(*sets, price_floor="95", price_ceiling="105") == ([], [["101", "1"]])


def test_set_refresh_time_and_tolerance():
    trace = played([["til", 1], ["set", "order_refresh_time", 1.0], ["til", 9]], order_refresh_time=3.0)
    births = [state["t"] for before, state in itertools.pairwise(trace) if not before["buys"] and state["buys"]]
    assert births[-3:] == [5, 7, 9], "a tick to cancel and one to place"
    trace = played([["til", 1], ["set", "order_refresh_tolerance_pct", "0.01"], ["til", 12]])
    assert trace[-1]["buys"]
    assert all(state["buys"] == trace[-1]["buys"] for state in trace[6:]), "kept from then on"


def test_set_hanging_orders_and_age():
    trade = ["trade", "BUY", 102, 1]
    kept = played([["til", 1], trade, ["til", 4]], hanging_orders_enabled=True, filled_order_delay=1.0)
    assert kept[-1]["buys"][0] == [1, "99", "1", "hang"]
    steps = [["til", 1], trade, ["til", 3], ["set", "hanging_orders_enabled", False], ["til", 4]]
    released = played(steps, hanging_orders_enabled=True, filled_order_delay=1.0)
    assert not any(row[-1] == "hang" for state in released[-1:] for row in state["buys"])
    steps = [["til", 1], trade, ["til", 3], ["set", "max_order_age", 2.0], ["til", 4]]
    aged = played(steps, hanging_orders_enabled=True, filled_order_delay=99.0)
    assert [row[1:] for row in aged[-1]["buys"]] == [["99", "1", "hang"]]
    assert aged[-1]["buys"][0][0] != aged[-2]["buys"][0][0], "renewed"


def test_an_unknown_parameter_or_step_is_named():
    with pytest.raises(Exception, match="bid_spred"):
        played([["til", 1], ["set", "bid_spred", "0.1"], ["til", 2]])
    with pytest.raises(ValueError, match="unknown step 'sleep'"):
        played([["sleep", 1]])
