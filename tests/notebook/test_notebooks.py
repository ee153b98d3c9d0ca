"""Every tutorial notebook runs from top to bottom in a fresh kernel."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tests.support.patient_notebook import run_patiently

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

STOP = """\
report = await core.stop()
print("open orders on the exchange:", len(await testnet.open_orders()))
report"""

# What a busy machine does not manage in the seconds that a notebook gives it: waited for in the test.
WAITS = {
    "# Quickstart": {
        "await asyncio.sleep(3)\nprint": "while strategy.params.pending:\n    await asyncio.sleep(0.1)\nprint",
    },
    "# Record and backtest": {
        "await asyncio.sleep(30)": "await asyncio.sleep(30)\nwhile len(core.fills) < 5:\n    await asyncio.sleep(0.1)",
    },
    "# Prototype a strategy": {
        "strategy.explain()": "while not strategy.active_orders:\n    await asyncio.sleep(0.1)\nstrategy.explain()",
        "core.red_button(": "core.disarm_rules = kit.DisarmRules(loop_lag=None, behind=None)\ncore.red_button(",
        "time.sleep(2)  #": """\
end = time.monotonic() + 120
while core.red_button.last.stage == "acting" and time.monotonic() < end:
    time.sleep(0.1)  #""",
        "await asyncio.sleep(2)\nswitch": """\
while core.switch.state is not kit.TradingState.OFF:
    await asyncio.sleep(0.1)
switch""",
    },
}


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_outputs_are_stripped(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def stop_for_certain(notebook: nbformat.NotebookNode) -> None:
    """Run what stands there for the user to run in the end."""
    for cell in notebook.cells:
        cell.source = cell.source.replace("# await core.stop()", STOP)


def wait_for_certain(notebook: nbformat.NotebookNode, title: str) -> None:
    """Wait for what the notebook gives a few seconds."""
    for given, wait in WAITS.get(title, {}).items():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and given in cell.source]
        assert cells, given
        for cell in cells:
            cell.source = cell.source.replace(given, wait)


# jupyter_client leaves its own sockets to the garbage collector.
@pytest.mark.filterwarnings("default::ResourceWarning")
async def test_it_runs(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    title = notebook.cells[0].source.partition("\n")[0]
    stop_for_certain(notebook)
    wait_for_certain(notebook, title)
    cells = await run_patiently(notebook, monkeypatch)
    assert not list(tmp_path.rglob("*.parquet"))
    texts = {}
    for cell in cells:
        ast.parse(cell.source.replace("await ", ""))
        for output in cell.outputs:
            assert output.output_type != "error"
            if not re.search(r"core\.red_button|switch\.reason", cell.source):  # that is told there, or right behind it
                assert output.get("name") != "stderr", output.get("text")
            data = output.get("data", {})
            shown = output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")
            texts[cell.source] = texts.get(cell.source, "") + "\n".join(map(str, shown))
    CHECKS.get(title, lambda _: None)(lambda source: next(text for cell, text in texts.items() if source in cell))


def check_quickstart(output_of: Callable[[str], str]) -> None:
    """The tables hold what the prose says."""
    assert "cumulative" in output_of("book.bids.head()")
    assert "open orders on the exchange: 0" in output_of("open orders on the exchange")
    assert "no order and no task was left" in output_of("report = await core.stop()")
    assert "applied: 0.0005 0.0005" in output_of("params.update")
    assert "pnl_quote" in output_of("core.pnl")


def check_prototype(output_of: Callable[[str], str]) -> None:
    """The change is swapped in, trades live after every check, and ends by the red button."""
    assert re.search(r"\d orders taken over", output_of("core.swap_strategy"))
    assert "lean" in output_of("strategy.explain()")
    checks = output_of("core.go_live()")
    assert "passed  able to trade" in checks
    assert "failed" not in checks
    assert re.search(r"live with [1-6] orders", output_of("core.trading_state.value"))
    assert "<td>live</td>" in output_of("core.trading_state.value")
    assert "orders on the exchange: 0" in output_of("core.red_button")
    assert "off; tried it out" in output_of("switch.reason")
    assert "no order and no task was left" in output_of("report = await core.stop()")


def check_record_and_backtest(output_of: Callable[[str], str]) -> None:
    """Paper and backtest trade, the replay decides the same, and nothing is left."""
    assert "no order and no task was left" in output_of("report = await core.stop()")
    assert "Empty DataFrame" in output_of("recording.gaps()")
    assert "severity='error'" not in output_of("kit.check(events)")
    result = output_of('queue="RiskAverse", **quotes\n')
    assert re.search(r"[1-9]\d* fills", result)
    assert "the same decisions" in output_of("kit.parity(session)")
    assert re.search(r"[1-9]\d* fills", output_of("set_axis(opened)"))
    # How many of them are alike is left to chance: a tick that is a little late quotes another price.
    cells = re.findall("<td>(.*?)</td>", output_of("pd.concat("))
    rows = [cells[at : at + 6] for at in range(0, len(cells), 6)]
    for side in (1, 4):  # time, side and price on paper, then of the backtest
        assert {row[side] for row in rows} - {"NaN"} <= {"buy", "sell"}
        assert any(float(row[side + 1]) > 0 for row in rows)


def check_sweep(output_of: Callable[[str], str]) -> None:
    """All trials end, and the best is judged."""
    assert "16 of 16 trials done" in output_of("spreads = [")
    assert "DeflatedSharpe(probability=" in output_of("sweep.warnings")
    assert "Result PureMarketMaking" in output_of("sweep.best.params")


CHECKS = {
    "# Quickstart": check_quickstart,
    "# Prototype a strategy": check_prototype,
    "# Record and backtest": check_record_and_backtest,
    "# Sweep parameters": check_sweep,
}
