"""The contracts of import-linter hold, and each one notices a planted violation."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PLANTED = {
    "arrows": ("kit/types/planted.py", "import kit.core.clock\n"),
    "no-jupyter": ("kit/orders/planted.py", "import ipywidgets\n"),
    "one-ccxt": ("kit/connectors/planted.py", "import ccxt\n"),
    "testnet-apart": ("kit/testnet/planted.py", "import kit.core.clock\n"),
    "nothing-needs-the-testnet": ("kit/strategy/planted.py", "import kit.testnet\n"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    return subprocess.run(
        [*command, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(folder)},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "kit", tmp_path / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_contracts_hold(copy: Path):
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("contract", PLANTED)
def test_a_planted_violation_is_found(copy: Path, contract: str):
    path, source = PLANTED[contract]
    (copy / path).write_text(source)
    result = lint(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert Path(path).stem in result.stdout


def test_every_contract_has_a_planted_violation():
    config = (ROOT / "pyproject.toml").read_text()
    assert config.count("[[tool.importlinter.contracts]]") == len(PLANTED)
    for contract in PLANTED:
        assert f'id = "{contract}"' in config


def test_one_file_imports_ccxt_also_by_name():
    """What the linter cannot see: an import by a text."""
    importing = re.compile(
        r"^\s*(import ccxt(\.\S+)?( as \w+)?$|from ccxt\S* import)|import_module\(\s*f?[\"']ccxt", re.MULTILINE
    )
    files = {path.name for path in (ROOT / "kit").rglob("*.py") if importing.search(path.read_text())}
    assert files == {"ccxt_exchange.py"}
