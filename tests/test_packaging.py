"""The package as a stranger meets it: names, dependencies, import weight."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kit

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("pandas", "numpy", "ccxt", "aiohttp", "plotly", "pydantic", "rich", "ipywidgets", "IPython")


def test_every_public_name_exists_and_the_list_is_sorted():
    assert kit.__all__ == sorted(kit.__all__)
    assert set(kit.__all__) == set(kit._HOMES)
    for name in kit.__all__:
        assert getattr(kit, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchThing"):
        kit.NoSuchThing  # noqa: B018


def test_modules_are_attributes():
    code = "import kit; print(kit.errors.KitError.__name__, kit.notebook.plot_depth.__name__)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.split() == ["KitError", "plot_depth"]


def test_import_kit_loads_no_heavy_library():
    code = f"import sys, kit; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"


def test_environment_yml_and_pyproject_ask_for_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = set(project["project"]["dependencies"])
    wanted |= set(project["dependency-groups"]["dev"])
    environment = (ROOT / "environment.yml").read_text()
    listed = set(re.findall(r"^ {6}- (?!-e)(\S+)$", environment, re.MULTILINE))
    assert listed == wanted
    assert f"python {project['project']['requires-python']}" in environment


def test_the_owners_packages_are_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {re.split(r"[<>=]", line)[0] for line in project["project"]["dependencies"]}
    assert names >= {"jupyterlab", "ipywidgets", "nest-asyncio", "pandas", "plotly", "ccxt"}
