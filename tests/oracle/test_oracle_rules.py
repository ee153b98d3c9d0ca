"""The rules on traces made for them: what is excused, and that a wrong trace is not."""

from __future__ import annotations

import copy
import logging
from decimal import Decimal

import pytest

from kit.strategy.hanging_orders import HangingOrders
from tests.oracle.probes import disturbed_by_hanging_fills
from tests.oracle.reenactment import LatestFirstPlayer, play_with_defects, reenact
from tests.oracle.rules import RULES, excuse
from tests.oracle.scenario import exact, first_difference, play
from tests.oracle.sound import unsound
from tests.oracle.traces import Pairs, Settings, hanging

D = Decimal
STATE = {"t": 1, "buys": [], "sells": [], "market_orders": [], "events": [], "balances": {}}
THREW, FILLED, AGED, STALE = (rule.name for rule in RULES)

CONFIG = {
    "bid_spread": "0.01", "ask_spread": "0.01", "order_amount": "1", "order_refresh_time": 2.0,
    "filled_order_delay": 2.0, "hanging_orders_enabled": True,
}  # fmt: skip
SELL_FILLS = ["trade", "BUY", 101.5, 1]
BUY_FILLS = ["trade", "SELL", 98.5, 1]
DEEP = ["diffs", [[99.5, 0], [98.5, 50]], [[100.5, 0], [101.5, 50]]]
"""A book wide enough for quotes at 99 and 101 to be its best, at the same mid price."""


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("kit").setLevel(logging.ERROR)
    yield
    logging.getLogger("kit").setLevel(logging.NOTSET)


def scenario(*steps, **config):
    return {"config": {**CONFIG, **config}, "steps": [DEEP, *steps]}


AGING = scenario(["til", 1], SELL_FILLS, ["til", 12], max_order_age=5.0)
"""The buy of t=1 hangs from t=3 on, and is over age at t=7."""

STALE_PAIRS = scenario(
    ["til", 6], SELL_FILLS, ["til", 14], order_refresh_time=2.0, order_refresh_tolerance_pct="0.05", max_order_age=4.0
)
"""Placed at t=1, kept by the tolerance, over age and placed anew at t=6."""

CHANCE = scenario(
    ["til", 1], SELL_FILLS, ["set", "order_amount", "2"], ["til", 5], BUY_FILLS, ["til", 16],
    order_refresh_time=3.0, ping_pong_enabled=True,
)  # fmt: skip
"""The buy of t=1 hangs, and fills together with a bigger quote at its price."""

ALONE = scenario(
    ["til", 1], SELL_FILLS, ["til", 4], ["book", 97, 1, 200, 1, 10], ["til", 16],
    filled_order_delay=4.0, hanging_orders_cancel_pct="0.5",
)  # fmt: skip
"""The buy of t=1 hangs, and fills when no quote rests."""


def both(played, heard_late=()):
    """Our trace, and the reference's with its defects."""
    return exact(play(played)), exact(play_with_defects(played, heard_late)[0])


def verdict(played, ours, theirs):
    return excuse(played, ours, theirs)


def assert_excused(played, ours, theirs, rule):
    found = verdict(played, ours, theirs)
    assert found is not None
    assert found.rule is not None, str(found)
    assert found.rule.name == rule


def assert_refused(played, ours, theirs, why=""):
    found = verdict(played, ours, theirs)
    assert found is not None, "no difference at all"
    assert found.rule is None, f"excused: {found}"
    assert why in str(found)


def at(ours, theirs):
    found = first_difference(ours, theirs)
    assert found is not None
    return found[0]


def planted(trace, index, change):
    """A trace with one state changed."""
    wrong = copy.deepcopy(trace)
    change(wrong[index])
    return wrong


def rewrite(keys, alias, new):
    """Change an order's row wherever a state shows it; ``new`` is a function of the row, None drops it."""

    def change(state):
        for key in keys:
            state[key] = [
                row if row[0] != alias else new(row) for row in state[key] if row[0] != alias or new(row) is not None
            ]

    return change


ROWS = ("buys", "sells", "market_orders")


# -- which states a rule unbinds


def state(t, buys=(), sells=(), events=(), **more):
    return {**STATE, "t": t, "buys": list(buys), "sells": list(sells), "events": list(events), **more}


def starts(trace, steps=(), **config):
    played = {"config": config, "steps": list(steps)}
    return {rule.name: since for rule in RULES if (since := rule.since(played, trace)) is not None}


HANGING, QUOTE = [2, "101", "1", "hang"], [1, "99", "1"]


def test_a_filled_hanging_order_unbinds_from_its_fill_on():
    event = ["OrderFilled", "101", "1", "SELL"]
    assert starts([state(1, sells=[HANGING]), state(2), state(3)]) == {}
    assert starts([state(1, sells=[HANGING]), state(2, events=[event])]) == {FILLED: 1}
    assert starts([state(1, sells=[HANGING], buys=[QUOTE]), state(2, sells=[HANGING], events=[event])]) == {}


def test_a_lost_renewal_unbinds_from_the_tick_on():
    trace = [state(1, sells=[HANGING]), state(7, sells=[HANGING]), state(8)]
    assert starts(trace, max_order_age=6) == {AGED: 2}
    assert starts(trace, max_order_age=7) == {}


def test_a_rule_knows_a_parameter_that_was_set():
    trace = [state(1, sells=[HANGING]), state(1, sells=[HANGING], after="set"), state(2)]
    steps = [["til", 1], ["set", "max_order_age", "0.5"], ["til", 2]]
    assert starts(trace, steps) == {AGED: 2}
    assert starts(trace) == {}
    values = Settings({"config": {}, "steps": steps}, "max_order_age", 9)
    assert [values[index] for index in range(4)] == [9, "0.5", "0.5", "0.5"]


PLACED = {"buys": [[1, "99", "1"]], "sells": [[2, "101", "1"]]}
AGAIN = {"buys": [[3, "99", "1"]], "sells": [[4, "101", "1"]]}


def test_pairs_after_an_age_cancel_unbind_where_orders_hang():
    cancelled = {"events": [["OrderCancelled"], ["OrderCancelled"]]}
    trace = [state(0), state(1, **PLACED), state(8, **AGAIN, **cancelled), state(9)]
    assert starts(trace, max_order_age=6, hanging_orders_enabled=True) == {STALE: 2}
    assert starts(trace, max_order_age=7, hanging_orders_enabled=True) == {}, "an ordinary refresh clears the pairs"
    assert starts(trace, max_order_age=6) == {}
    later = [state(0), state(1, **PLACED), state(8, **cancelled), state(9), state(10, **AGAIN)]
    assert starts(later, max_order_age=6, hanging_orders_enabled=True) == {STALE: 4}
    fill = [state(0), state(1, **PLACED), state(2, events=[["OrderFilled", "1", "1", "BUY"]]), state(3, **AGAIN)]
    assert starts(fill, hanging_orders_enabled=True) == {STALE: 3}


# -- every rule: what it excuses


def test_equal_traces_need_no_excuse():
    ours, _ = both(AGING)
    assert verdict(AGING, ours, ours) is None


@pytest.mark.parametrize(
    ("played", "heard_late", "rule"),
    [(AGING, (), AGED), (STALE_PAIRS, (), STALE), (CHANCE, (True,), FILLED), (ALONE, (True,), FILLED)],
    ids=["aging", "stale", "chance", "alone"],
)
class TestDefects:
    def test_is_excused_by_its_rule(self, played, heard_late, rule):
        assert_excused(played, *both(played, heard_late), rule)

    def test_a_difference_before_it_is_not(self, played, heard_late, rule):
        ours, theirs = both(played, heard_late)
        early = at(ours, theirs) - 1
        wrong = planted(theirs, early, lambda state: state["balances"].update(HBOT=D(1)))
        assert_refused(played, ours, wrong)

    def test_a_difference_of_theirs_long_after_it_is_not(self, played, heard_late, rule):
        ours, theirs = both(played, heard_late)
        wrong = planted(theirs, -1, lambda state: state["balances"].update(HBOT=D(1)))
        assert_refused(played, ours, wrong, "also with the reference's defects built in it differs")

    def test_an_order_of_theirs_that_the_defect_does_not_explain_is_not(self, played, heard_late, rule):
        ours, theirs = both(played, heard_late)
        last = next(i for i in reversed(range(len(theirs))) if theirs[i]["market_orders"])
        wrong = planted(theirs, last, lambda state: state["market_orders"].pop())
        assert_refused(played, ours, wrong)

    def test_a_trace_of_another_length_is_not(self, played, heard_late, rule):
        ours, _ = both(played, heard_late)
        assert_refused(played, ours[:-1], ours, "another length")

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda state: state.update(errors=["NotReady"]), "ours threw"),
            (lambda state: state["balances"].update(ETH=D(5001)), "do not follow from the fills"),
            (lambda state: state["market_orders"].append([99, D(99), D(1)]), "the exchange has"),
            (lambda state: state["events"].append(["OrderFilled", D(99), D(1), "BUY"]), "do not follow"),
        ],
        ids=["error", "balance", "stray order", "invented fill"],
    )
    def test_an_unsound_trace_of_ours_is_not(self, played, heard_late, rule, change, why):
        ours, theirs = both(played, heard_late)
        assert_refused(played, planted(ours, -1, change), theirs, why)


# -- a lost renewal: what ours must show


def renewed(ours, theirs):
    index = at(ours, theirs)
    (alias,) = hanging(ours[index]) - hanging(ours[index - 1])
    return index, alias


@pytest.mark.parametrize(
    ("keys", "new"),
    [
        (ROWS, lambda row: [row[0], row[1] + 1, *row[2:]]),
        (ROWS, lambda row: [row[0], row[1], row[2] * 2, *row[3:]]),
        (ROWS, lambda row: row[:3]),
        (("market_orders",), lambda row: [row[0], row[1] + 1, row[2]]),
        (("market_orders",), lambda row: None),
    ],
    ids=["price", "amount", "no mark", "other price on the market", "not on the market"],
)
def test_a_renewal_at_another_price_or_amount_is_not_excused(keys, new):
    ours, theirs = both(AGING)
    index, alias = renewed(ours, theirs)
    assert_refused(AGING, planted(ours, index, rewrite(keys, alias, new)), theirs, "no order hangs again in ours")


def test_beside_a_renewal_all_else_must_be_equal():
    ours, theirs = both(AGING)
    index, _ = renewed(ours, theirs)
    other = next(row[0] for row in ours[index]["sells"])
    dearer = rewrite(ROWS, other, lambda row: [row[0], row[1] + 1, *row[2:]])
    assert_refused(AGING, planted(ours, index, dearer), theirs, "beside the renewed orders")
    cancelled = planted(ours, index, lambda state: state["events"].append(["OrderCancelled"]))
    assert_refused(AGING, cancelled, theirs, "beside the renewal events differ")


def test_an_over_age_order_that_ours_does_not_cancel_is_not_excused():
    ours, theirs = both(AGING)
    index, _ = renewed(ours, theirs)
    wrong = copy.deepcopy(ours)
    wrong[index] = {**ours[index - 1], "t": ours[index]["t"]}
    assert_refused(AGING, wrong, theirs, "was not cancelled in ours")


def test_a_difference_after_a_renewal_that_ours_lost_as_well_is_not_excused():
    _, theirs = both(AGING)
    wrong = planted(theirs, -1, lambda state: state["balances"].update(HBOT=D(1)))
    assert_refused(AGING, wrong, theirs, "no hanging order passed its maximum age where the traces first differ")


# -- stale pairs


def test_an_order_that_hangs_without_a_filled_partner_is_not_excused():
    ours, theirs = both(STALE_PAIRS)
    index = at(ours, theirs)
    (alias,) = hanging(ours[index])
    early = next(i for i, state in enumerate(ours) if any(row[0] == alias for row in state["buys"]))
    wrong = planted(ours, early, rewrite(("buys",), alias, lambda row: [*row, "hang"]))
    assert_refused(STALE_PAIRS, wrong, theirs, "hangs in ours, which is not right")


def test_an_order_that_should_hang_and_does_not_is_not_excused():
    ours, theirs = both(STALE_PAIRS)
    index = at(ours, theirs)
    (alias,) = hanging(ours[index])
    wrong = planted(theirs, index, lambda state: state["balances"].update(HBOT=D(1)))
    assert_refused(STALE_PAIRS, theirs, wrong)
    unmarked = planted(ours, index, rewrite(("buys",), alias, lambda row: row[:3]))
    assert_refused(STALE_PAIRS, unmarked, theirs, "as well, which is not of such a pair")


def test_an_order_that_hangs_elsewhere_than_it_was_placed_is_not_excused():
    ours, theirs = both(STALE_PAIRS)
    index = at(ours, theirs)
    (alias,) = hanging(ours[index])
    wrong = planted(ours, index, rewrite(ROWS, alias, lambda row: [row[0], row[1] - 1, *row[2:]]))
    assert_refused(STALE_PAIRS, wrong, theirs, "not as it was placed")


def test_pairs_are_found_by_placement_and_fills_by_their_events():
    ours, _ = both(STALE_PAIRS)
    pairs = Pairs(ours)
    assert pairs.partner[1] == 2
    assert pairs.partner[3] == 4
    assert set(pairs.filled_at) == {4}
    assert pairs.should_hang(3, pairs.filled_at[4])
    assert not pairs.should_hang(3, pairs.filled_at[4] - 1)
    assert not pairs.should_hang(4, 99)


# -- a hanging order's fill


def fill_of_hanging(trace):
    return next(i for i in range(1, len(trace)) if trace[i]["events"] and hanging(trace[i - 1]) - hanging(trace[i]))


def test_a_hanging_fill_that_ours_does_not_have_is_not_excused():
    ours, theirs = both(ALONE, (True,))
    index = fill_of_hanging(theirs)
    resting = copy.deepcopy(ours)
    resting[index] = {**ours[index - 1], "t": ours[index]["t"], "events": []}
    assert_refused(ALONE, resting, theirs, "still rests in ours")
    cancelled = planted(ours, index, lambda state: state.update(events=[["OrderCancelled"]]))
    assert_refused(ALONE, cancelled, theirs, "the fills are not the same")
    free = planted(ours, index, lambda state: state["balances"].update(ETH=ours[index - 1]["balances"]["ETH"]))
    assert_refused(ALONE, free, theirs, "the same fills left other balances")


def test_a_difference_that_no_hanging_fill_explains_is_not_excused():
    ours, theirs = both(ALONE)
    assert first_difference(ours, theirs) is None, "heard in order, the reference does what is right"
    wrong = planted(ours, -1, rewrite(ROWS, ours[-1]["sells"][-1][0], lambda row: [row[0], row[1] + 1, *row[2:]]))
    assert_refused(ALONE, wrong, theirs, "does not come from such a fill")


def test_a_strategy_that_counts_hanging_fills_as_quotes_is_not_excused(monkeypatch):
    """Where the reference was lucky and ours is not, though the defect explains the reference's trace."""
    right, late = both(CHANCE, (True,))
    monkeypatch.setattr(HangingOrders, "holds", lambda self, order: False)
    ours = exact(play(CHANCE))
    assert first_difference(ours, late) is None, "the plant does what it should"
    assert_refused(CHANCE, ours, right, "filled hanging and changed")
    assert disturbed_by_hanging_fills(CHANCE)
    other = exact(play_with_defects(CHANCE, (), LatestFirstPlayer)[0])
    assert_refused(CHANCE, right, other, "filled hanging and changed")


def test_hanging_fills_disturb_nothing_in_ours():
    assert disturbed_by_hanging_fills(CHANCE) == disturbed_by_hanging_fills(ALONE) == []


@pytest.mark.parametrize("heard_late", [(), (True,)])
def test_the_order_of_fills_at_one_price_is_left_to_chance(heard_late):
    theirs = exact(play_with_defects(CHANCE, heard_late, LatestFirstPlayer)[0])
    found = reenact(CHANCE, theirs)
    assert found.difference is None
    assert found.latest_first
    assert_excused(CHANCE, exact(play(CHANCE)), theirs, FILLED)


# -- the reference threw

NO_ASKS = {
    "config": {**CONFIG, "hanging_orders_enabled": False, "order_refresh_time": 9.0},
    "book": {"mid": "100", "min": "98", "max": "102", "step": "1", "vol": "10"},
    "steps": [["til", 2], ["diffs", [], [[100.5, 0], [101.5, 0]]], ["til", 6]],
}
INVALID = ["InvalidOperation([<class 'decimal.InvalidOperation'>])"]


def threw(errors=INVALID):
    ours = exact(play(NO_ASKS))
    theirs = copy.deepcopy(ours)
    for index in range(3, len(theirs)):
        theirs[index] = {**copy.deepcopy(theirs[2]), "t": theirs[index]["t"], "errors": list(errors)}
        del theirs[index]["after"]
    return ours, theirs


def test_where_it_threw_for_want_of_a_price_ours_withdraws():
    ours, theirs = threw()
    assert theirs[3]["buys"]
    assert not ours[3]["market_orders"]
    assert_excused(NO_ASKS, ours, theirs, THREW)
    assert_excused(NO_ASKS, *threw(["RuntimeError: price is NaN"]), THREW)


def test_another_error_of_theirs_excuses_nothing():
    assert_refused(NO_ASKS, *threw(["KeyError('x')"]), "which has nothing to do with a missing price")


def test_orders_of_ours_that_rest_while_it_throws_are_not_excused():
    ours, theirs = threw()
    for key, row in (("market_orders", [1, D(99), D(1)]), ("sells", [2, D(101), D(1)])):
        wrong = planted(ours, -1, lambda state, key=key, row=row: state[key].append(row))
        assert_refused(NO_ASKS, wrong, theirs, "it threw, and ours still has the orders")


def test_balances_stay_equal_until_an_order_that_it_left_fills():
    ours, theirs = threw()
    wrong = planted(theirs, -1, lambda state: state["balances"].update(ETH=D(4901), HBOT=D(501)))
    assert_refused(NO_ASKS, ours, wrong, "nothing filled since it threw")
    filled = planted(wrong, -1, lambda state: state["events"].append(["OrderFilled", D(99), D(1), "BUY"]))
    assert_excused(NO_ASKS, ours, filled, THREW)


def test_errors_of_ours_are_not_excused_where_it_threw():
    ours, theirs = threw()
    assert_refused(NO_ASKS, planted(ours, -1, lambda state: state.update(errors=INVALID)), theirs, "ours threw")


def test_a_difference_after_it_began_to_throw_is_not_excused_by_it():
    ours, _ = threw()
    theirs = planted(ours, 2, lambda state: state.update(errors=list(INVALID)))
    wrong = planted(theirs, 4, lambda state: state["balances"].clear())
    assert_refused(NO_ASKS, wrong, theirs, "elsewhere than where it first threw")


# -- soundness


def test_a_sound_trace_has_balances_by_fills_fees_and_steps():
    played = {**CHANCE, "fee": ["0.001", "0.002"]}
    played["steps"] = [*played["steps"], ["balance", "HBOT", "7"], ["til", 18]]
    ours = exact(play(played))
    assert any(state["events"] for state in ours)
    assert unsound(played, ours) is None
    free = {**played, "fee": None}
    assert "do not follow from the fills" in str(unsound(free, ours))


def test_a_mark_needs_a_filled_partner():
    ours = exact(play(AGING))
    assert unsound(AGING, ours) is None
    wrong = planted(ours, 1, rewrite(("sells",), 2, lambda row: [*row, "hang"]))
    assert "hangs, though its partner did not fill" in str(unsound(AGING, wrong))
