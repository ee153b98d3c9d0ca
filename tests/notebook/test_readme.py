"""What the README shows, run as it stands there."""

import re
import tomllib
from pathlib import Path

import nbformat
import pytest

from kit.__main__ import build_parser
from kit.backtest.config import read_config
from tests.support.patient_notebook import run_patiently

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


_LAST = "assert len(result.orders) > 2 and sweep.frame()['objective_in'].notna().all(); await testnet.stop()"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


# jupyter_client leaves its own sockets to the garbage collector.
@pytest.mark.filterwarnings("default::ResourceWarning")
async def test_the_cells_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_CACHE", str(tmp_path / "cache"))
    cells = [nbformat.v4.new_code_cell(source) for source in [*blocks("python"), _LAST]]
    cells = await run_patiently(nbformat.v4.new_notebook(cells=cells), monkeypatch, tmp_path)
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output.get("text") for output in outputs if output.get("name") == "stderr"]
    assert any("the same decisions" in str(output.get("data", {}).get("text/plain")) for output in outputs)
    assert (tmp_path / "result.html").exists()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backtest.toml").write_text(blocks("toml")[0])
    config = read_config("backtest.toml")
    assert config.data == Path("recording")


def test_the_commands_exist():
    parser = build_parser()
    commands = re.findall(r"uv run kit ([^#\n]+)", README)
    assert len(commands) >= 4
    for command in commands:
        parser.parse_args(command.split())


def test_the_configuration_is_toml():
    (text,) = blocks("toml")
    assert set(tomllib.loads(text)) == {"strategy", "data", "balances", "latency", "queue", "params"}
