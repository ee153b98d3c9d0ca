"""The reference's traces as tests. They stand beside the repository; without them these tests are skipped."""

from __future__ import annotations

import io
import json
import os
from functools import cache
from pathlib import Path

import pytest

from tests.oracle import pmm
from tests.oracle.reenactment import reenact
from tests.oracle.rules import RULES
from tests.oracle.scenario import exact, first_difference, play
from tests.oracle.sound import unsound

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


@cache
def played():
    """Every scenario of the reference with our trace of it, played once for all tests that only look at them."""
    return [(case, play(case.scenario)) for case in pmm.cases(FILES)]


@pytest.fixture(autouse=True)
def quiet():
    """That nothing can be quoted is part of many scenarios, and keeping its warnings takes longer than playing."""
    with pmm._quiet():
        yield


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
    touched = [case for case in loaded if any(rule.since(case.scenario, case.trace) is not None for rule in RULES)]
    assert len(touched) < 0.2 * len(loaded)


@with_traces
def test_with_its_defects_built_in_every_trace_is_the_reference_s():
    """So the rules excuse these defects and nothing else. Where it threw, up to there."""
    left = {case.name: reenact(case.scenario, case.trace).difference for case in pmm.cases(FILES)}
    assert {name: difference for name, difference in left.items() if difference is not None} == {}


@with_traces
def test_every_trace_of_ours_is_sound_in_itself():
    left = {case.name: unsound(case.scenario, exact(ours)) for case, ours in played()}
    assert {name: problem for name, problem in left.items() if problem is not None} == {}


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


BROKEN = {**SMALL, "config": {**SMALL["config"], "bid_spred": 1}}


def lines_of(tmp_path, *rows):
    source = tmp_path / "in.jsonl"
    source.write_text("".join((row if isinstance(row, str) else json.dumps(row, default=str)) + "\n" for row in rows))
    return source


def test_a_scenario_that_cannot_be_played_differs(tmp_path, capsys):
    source = lines_of(tmp_path, {"name": "broken", "scenario": BROKEN, "trace": [STATE]})
    assert pmm.main([str(source), "--check"]) == 1
    assert "broken: cannot be played: InvalidInput: " in capsys.readouterr().out


def test_the_others_are_written_where_one_cannot_be_played(tmp_path, capsys):
    bad = {"name": "broken", "scenario": BROKEN}
    source = lines_of(tmp_path, {"scenario": SMALL}, bad, "{no json", [1], {"name": "last", "scenario": SMALL})
    written = tmp_path / "out.jsonl"
    assert pmm.main([str(source), "--out", str(written)]) == 1
    assert [json.loads(line)["name"] for line in written.read_text().splitlines()] == ["small", "last"]
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in told] == [
        ["broken", "cannot be played"],
        ["in.jsonl line 3", "is no JSON"],
        ["in.jsonl line 4", 'has no "scenario" with "config" and "steps"'],
    ]
    assert "bid_spred" in told[0]


def test_a_line_without_a_trace_is_named_and_does_not_stop_the_check(tmp_path, capsys):
    good = {"name": "good", "scenario": SMALL, "trace": play(SMALL)}
    nameless = {"scenario": {key: SMALL[key] for key in ("config", "steps")}}
    source = lines_of(tmp_path, nameless, good)
    assert pmm.main([str(source), "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("in.jsonl line 1: no trace to compare with; write ours with --out FILE")
    assert lines[-1] == "equal 1 of 2"


@pytest.mark.parametrize("state", ["x", 5, {"t": 1, "buys": 5}, {"t": 1, "buys": [[]], "sells": [5], "events": [[]]}])
def test_a_trace_of_another_form_is_named_and_does_not_stop_the_check(tmp_path, capsys, state):
    trace = play(SMALL)
    good, bad = {"name": "good", "scenario": SMALL, "trace": trace}, {"name": "bad", "scenario": SMALL}
    source = lines_of(tmp_path, {**bad, "trace": [*trace[:3], state, *trace[4:]]}, good)
    assert pmm.main([str(source), "--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("bad: ")
    assert lines[-1] == "equal 1 of 2"


def test_what_is_null_is_as_if_it_were_not_given():
    nulls = dict.fromkeys(("pair", "book", "balances", "fee", "quant"))
    off = dict.fromkeys(("price_ceiling", "price_floor", "minimum_spread", "order_refresh_tolerance_pct"))
    changed = {**SMALL, **nulls, "config": {**SMALL["config"], **off}}
    assert play(changed) == play(SMALL)


def test_an_asset_without_a_balance_is_zero():
    assert [state["sells"] for state in play({**SMALL, "balances": {"ETH": "500"}})] == [[]] * 8


def test_a_check_that_is_to_write_does_both(tmp_path, capsys):
    source, written = lines_of(tmp_path, {"name": "small", "scenario": SMALL, "trace": play(SMALL)}), tmp_path / "out"
    assert pmm.main([str(source), "--check", "--out", str(written)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "equal 1 of 1"
    assert json.loads(written.read_text())["name"] == "small"


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_files_that_cannot_be_read_or_written_are_named(tmp_path, capsys, check):
    source = lines_of(tmp_path, {"scenario": SMALL})
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe")
    nowhere = tmp_path / "no folder" / "out"
    for arguments, words in (
        ([tmp_path / "missing"], "missing: No such file"),
        ([tmp_path], f"{tmp_path}: Is a directory"),
        ([source, "--out", nowhere], f"{nowhere}: No such file"),
        ([source, "--out", source], "would overwrite"),
    ):
        with pytest.raises(SystemExit) as ended:
            pmm.main([str(part) for part in (*arguments, *check)])
        assert ended.value.code == 2
        assert words in capsys.readouterr().err
    assert pmm.main([str(binary), *check]) == 1
    said = capsys.readouterr()
    assert "binary.jsonl line 1: is no JSON" in said.out + said.err


def test_a_book_without_a_step_ends():
    with pytest.raises(ValueError, match="step"):
        play({**SMALL, "book": {"step": "0"}})


def test_numbers_compare_as_decimals():
    ours = [{**STATE, "events": [["OrderFilled", 99, 1, "BUY"]]}]
    theirs = [{**STATE, "events": [["OrderFilled", "99.0000", "1.000000", "BUY"]]}]
    assert first_difference(ours, theirs) is None
    assert first_difference(ours, []) == (0, "1 states instead of 0")
