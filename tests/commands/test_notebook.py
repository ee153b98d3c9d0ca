"""`kit notebook new`."""

import nbformat
import pytest

from kit.__main__ import main
from kit.commands.lab_workspace import cockpit_cell
from kit.commands.notebook_template import strategy_notebook
from tests.support.patient_notebook import run_patiently

# A busy machine takes longer than five seconds to quote.
_ORDERS = "while core.orders.empty:\n    await asyncio.sleep(0.1)\ncore.orders.tail()"


def test_it_makes_a_notebook_that_kit_lab_shows_and_never_overwrites(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main(["notebook", "new", "wide quotes", "--folder", str(folder)]) == 0
    path = folder / "wide quotes.ipynb"
    assert str(path) in capsys.readouterr().out
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[cockpit_cell(path)].source == "core"
    path.write_text("edited")
    assert main(["notebook", "new", "wide quotes.ipynb", "--folder", str(folder)]) == 1
    assert "stays as it is" in capsys.readouterr().err
    assert path.read_text() == "edited"


@pytest.mark.parametrize("name", ["", ".ipynb", "../up", "a/b"])
def test_names_that_are_none(tmp_path, capsys, name):
    assert main(["notebook", "new", name, "--folder", str(tmp_path)]) == 1
    assert "NAME is" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("title", "strategy"),
    [
        ("wide quotes", "WideQuotes"),
        ("2nd try", "Strategy2ndTry"),
        ("Größe", "Größe"),
        ("{x}", "X"),
        ("None", "StrategyNone"),
    ],
)
def test_any_title_gives_code_that_compiles(title, strategy):
    notebook = strategy_notebook(title)
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    compile("\n".join(code).replace("await ", ""), "notebook", "exec")
    assert any(f"class {strategy}(kit.Strategy)" in source for source in code)
    assert "".join(notebook["cells"][0]["source"]).startswith(f"# {title}\n")


@pytest.mark.filterwarnings("default::ResourceWarning")  # jupyter_client leaves its own sockets to the collector
async def test_it_runs(tmp_path, monkeypatch):
    assert main(["notebook", "new", "first_try", "--folder", str(tmp_path)]) == 0
    notebook = nbformat.read(tmp_path / "first_try.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("core.orders.tail()", _ORDERS)
    outputs = [output for cell in await run_patiently(notebook, monkeypatch) for output in cell.outputs]
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs)
    assert "no order and no task was left" in outputs[-1]["data"]["text/plain"]
    tables = [output["data"]["text/html"] for output in outputs if "client_order_id" in str(output)]
    assert any("<td>BTC/USDT</td>" in table for table in tables)
