"""The reference's traces as tests. They stand beside the repository; without them these tests are skipped."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from tests.oracle import pmm
from tests.oracle.rules import RULES, excuse
from tests.oracle.scenario import first_difference, play

FOLDER = Path(os.environ.get("KIT_SHARED_ORACLE") or Path(__file__).resolve().parents[3] / "shared" / "oracle")
FILES = [FOLDER / "pmm_demo.jsonl", FOLDER / "pmm_fuzz.jsonl"]
with_traces = pytest.mark.skipif(
    not all(file.exists() for file in FILES), reason=f"the reference's traces are not in {FOLDER}"
)

STATE = {"t": 1, "buys": [], "sells": [], "market_orders": [], "events": [], "balances": {}}
SMALL = {
    "name": "small",
    "config": {
        "bid_spread": "0.01", "ask_spread": "0.01", "order_amount": "1", "order_refresh_time": 5.0,
        "filled_order_delay": 5.0, "order_refresh_tolerance_pct": "-1", "minimum_spread": "-1",
    },
    "steps": [["til", 6], ["set", "bid_spread", "0.02"], ["til", 7]],
}  # fmt: skip


@with_traces
def test_all_traces_are_equal_but_for_the_rules():
    out = io.StringIO()
    explained = pmm.check(FILES, out)
    lines = out.getvalue().splitlines()
    assert explained, out.getvalue()
    word, equal, of, total = lines[-1].split()
    assert (word, of) == ("equal", "of")
    assert int(equal) >= 0.92 * int(total)


@with_traces
def test_no_rule_excuses_most_scenarios():
    loaded = list(pmm.cases(FILES))
    touched = [case for case in loaded if excuse(case["scenario"], case["trace"], len(case["trace"])) is not None]
    assert len(touched) < 0.2 * len(loaded)


def test_a_scenario_is_played_and_written_and_found_equal_to_itself(tmp_path, capsys):
    source, written = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"name": "small", "scenario": SMALL, "trace": []}) + "\n")
    assert pmm.main([str(source), "--out", str(written)]) == 0
    trace = json.loads(written.read_text())["trace"]
    assert trace[0] == {
        **STATE,
        "buys": [[1, "99", "1"]],
        "sells": [[2, "101", "1"]],
        "market_orders": [[1, "99", "1"], [2, "101", "1"]],
        "balances": {"HBOT": "500", "ETH": "5000"},
    }
    assert trace[6]["after"] == "set"
    assert trace[7]["buys"] == [[3, "98", "1"]]
    source.write_text(json.dumps({"name": "small", "scenario": SMALL, "trace": trace}) + "\n")
    assert pmm.main([str(source), "--check"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal 1 of 1"


def test_a_difference_without_a_rule_fails(tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    trace = play(SMALL)
    trace[0]["buys"][0][1] = "98"
    source.write_text(json.dumps({"name": "small", "scenario": SMALL, "trace": trace}, default=str) + "\n")
    assert pmm.main([str(source), "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "small: t=1: buys: [[1, '99', '1']] instead of [[1, '98', '1']] [NO RULE]" in lines
    assert lines[-1] == "equal 0 of 1"


def test_a_scenario_that_cannot_be_played_differs(tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    broken = {**SMALL, "config": {**SMALL["config"], "bid_spred": 1}}
    source.write_text(json.dumps({"name": "broken", "scenario": broken, "trace": [STATE]}) + "\n")
    assert pmm.main([str(source), "--check"]) == 1
    assert "broken: cannot be played: InvalidInput: " in capsys.readouterr().out


def test_numbers_compare_as_decimals():
    ours = [{**STATE, "events": [["OrderFilled", 99, 1, "BUY"]]}]
    theirs = [{**STATE, "events": [["OrderFilled", "99.0000", "1.000000", "BUY"]]}]
    assert first_difference(ours, theirs) is None
    assert first_difference(ours, []) == (0, "1 states instead of 0")


# -- rules, on traces made for them


def state(t, buys=(), sells=(), events=(), **more):
    return {**STATE, "t": t, "buys": list(buys), "sells": list(sells), "events": list(events), **more}


def starts(trace, **config):
    scenario = {"config": config}
    return {rule.name: since for rule in RULES if (since := rule.since(scenario, trace)) is not None}


HANGING, QUOTE = [2, "101", "1", "hang"], [1, "99", "1"]


def test_a_filled_hanging_order_unbinds_from_its_fill_on():
    filled = ["OrderFilled", "101", "1", "SELL"]
    assert starts([state(1, sells=[HANGING]), state(2), state(3)]) == {}
    assert starts([state(1, sells=[HANGING]), state(2, events=[filled])]) == {"a hanging order filled": 1}
    assert starts([state(1, sells=[HANGING], buys=[QUOTE]), state(2, sells=[HANGING], events=[filled])]) == {}


def test_a_lost_renewal_unbinds_from_the_tick_on():
    trace = [state(1, sells=[HANGING]), state(7, sells=[HANGING]), state(8)]
    assert starts(trace, max_order_age=6) == {"a hanging order passed its maximum age": 2}
    assert starts(trace, max_order_age=7) == {}


PLACED = {"buys": [[1, "99", "1"]], "sells": [[2, "101", "1"]]}
AGAIN = {"buys": [[3, "99", "1"]], "sells": [[4, "101", "1"]]}
STALE = "orders were placed after a max-age cancel, or after all quotes had gone"


def test_pairs_after_an_age_cancel_unbind_where_orders_hang():
    cancelled = {"events": [["OrderCancelled"], ["OrderCancelled"]]}
    trace = [state(0), state(1, **PLACED), state(8, **AGAIN, **cancelled), state(9)]
    assert starts(trace, max_order_age=6, hanging_orders_enabled=True) == {STALE: 2}
    assert starts(trace, max_order_age=7, hanging_orders_enabled=True) == {}, "an ordinary refresh clears the pairs"
    assert starts(trace, max_order_age=6) == {}
    later = [state(0), state(1, **PLACED), state(8, **cancelled), state(9), state(10, **AGAIN)]
    assert starts(later, max_order_age=6, hanging_orders_enabled=True) == {STALE: 4}
    filled = [state(0), state(1, **PLACED), state(2, events=[["OrderFilled", "1", "1", "BUY"]]), state(3, **AGAIN)]
    assert starts(filled, hanging_orders_enabled=True) == {STALE: 3}


def test_a_difference_before_the_rule_s_state_has_no_excuse():
    trace = [state(1), state(2, errors=["InvalidOperation"])]
    assert excuse({"config": {}}, trace, 0) is None
    assert excuse({"config": {}}, trace, 1) is RULES[0]
