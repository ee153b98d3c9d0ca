"""Every tutorial notebook runs from top to bottom in a fresh kernel."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_outputs_are_stripped(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


# jupyter_client leaves its own sockets to the garbage collector.
@pytest.mark.filterwarnings("default::ResourceWarning")
async def test_it_runs(notebook):
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", store_widget_state=False)
    await client.async_execute()
    texts = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        ast.parse(cell.source.replace("await ", ""))
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            texts[cell.source] = (
                texts.get(cell.source, "") + output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            )
    if "Quickstart" in notebook.cells[0].source:
        check_quickstart(texts)


def check_quickstart(texts: dict[str, str]) -> None:
    """The tables hold what the prose says."""

    def output_of(source: str) -> str:
        return next(text for cell, text in texts.items() if source in cell)

    assert "cumulative" in output_of("book.bids.head()")
    assert "open orders on the exchange: 0" in output_of("open orders on the exchange")
    assert "orders_left={}" in output_of("report = await core.stop()")
    assert "tasks_left=[]" in output_of("report = await core.stop()")
    assert "applied: 0.0005 0.0005" in output_of("params.update")
    assert "pnl_quote" in output_of("core.pnl")
