"""What `kit lab` prepares for JupyterLab."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyterlab_server.workspaces_handler import WorkspacesManager

from kit.__main__ import main
from kit.commands import lab
from kit.commands.lab_workspace import NAME, cockpit_cell, layout, prepare
from kit.errors import NotSupported

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


def write(path, *tags):
    cells = [nbformat.v4.new_code_cell("1", metadata={"tags": [tag]} if tag else {}) for tag in tags]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.mark.parametrize("name", ["00_quickstart.ipynb", "02_prototype_a_strategy.ipynb"])
def test_the_tutorials_have_a_cell_for_the_right_side(name):
    number = cockpit_cell(NOTEBOOKS / name)
    source = nbformat.read(NOTEBOOKS / name, as_version=4).cells[number].source
    assert source.splitlines()[-1] == "core"


def test_the_cell_is_found_by_its_tag(tmp_path):
    assert cockpit_cell(write(tmp_path / "a.ipynb", "", "other", "cockpit")) == 2
    assert cockpit_cell(write(tmp_path / "b.ipynb", "")) is None
    (tmp_path / "c.ipynb").write_text("no notebook")
    assert cockpit_cell(tmp_path / "c.ipynb") is None
    assert cockpit_cell(tmp_path / "none.ipynb") is None


def test_the_layout_names_what_it_restores():
    made = layout("folder/a.ipynb", 3)["data"]
    left, right = "notebook:folder/a.ipynb", "cloned-outputs:folder/a.ipynb:3"
    assert made[right]["data"] == {"path": "folder/a.ipynb", "index": 3}
    areas = made["layout-restorer:data"]["main"]["dock"]["children"]
    assert [area["widgets"] for area in areas] == [[left], [right]]
    alone = layout("a.ipynb", None)["data"]
    assert set(alone) == {"notebook:a.ipynb", "layout-restorer:data"}


def test_jupyterlab_reads_what_is_prepared_and_the_users_folders_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/somewhere")
    variables = prepare(tmp_path, "a.ipynb", 1)
    assert WorkspacesManager(variables["JUPYTERLAB_WORKSPACES_DIR"]).load(NAME)["data"] == layout("a.ipynb", 1)["data"]
    config, others = variables["JUPYTER_CONFIG_PATH"].split(":")
    assert others == "/somewhere"
    assert json.loads((Path(config) / "labconfig" / "default_setting_overrides.json").read_text())
    assert set(variables) == {"JUPYTERLAB_WORKSPACES_DIR", "JUPYTER_CONFIG_PATH"}


def test_it_opens_the_workspace_and_leaves_nothing(tmp_path, monkeypatch):
    write(tmp_path / "mine.ipynb", "cockpit")
    seen = {}

    def call(command, variables):
        seen.update(variables, command=command, there=Path(variables["JUPYTERLAB_WORKSPACES_DIR"]).is_dir())
        return 7

    monkeypatch.setattr(lab, "_call", call)
    assert main(["lab", "--notebooks", str(tmp_path), "--notebook", "mine.ipynb", "--", "--no-browser"]) == 7
    assert f"--ServerApp.root_dir={tmp_path}" in seen["command"]
    assert "--LabApp.default_url=/lab/workspaces/kit" in seen["command"]
    assert seen["command"][-1] == "--no-browser"
    assert seen["there"]
    assert not Path(seen["JUPYTERLAB_WORKSPACES_DIR"]).exists()


@pytest.mark.parametrize("arguments", [["--notebooks", "nowhere"], ["--notebook", "none.ipynb"]])
def test_what_is_not_there_is_told(arguments, capsys):
    assert main(["lab", *arguments]) == 1
    assert arguments[1] in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_ends_jupyterlab_in_order(tmp_path, number):
    stand_in = tmp_path / "jupyterlab.py"
    stand_in.write_text(
        "import signal, sys, time\n"
        "def stop(number, _):\n    time.sleep(0.5)\n    print('orderly', number, flush=True)\n    sys.exit(7)\n"
        "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n    signal.signal(number, stop)\n"
        "print('up', flush=True)\ntime.sleep(600)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kit", "lab"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, number)
    rest, _ = process.communicate(timeout=120)
    assert (rest, process.returncode) == (f"orderly {int(signal.SIGTERM)}\n", 7)


def test_a_signal_that_comes_while_jupyterlab_is_being_started_ends_it(monkeypatch):
    start = subprocess.Popen

    def interrupted(*arguments, **options):
        process = start(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(lab.subprocess, "Popen", interrupted)
    assert lab._call([sys.executable, "-c", "import time; time.sleep(600)"], {}) == -signal.SIGTERM


def test_it_copies_shipped_notebooks_and_never_overwrites_the_users_copy(tmp_path, monkeypatch):
    shipped = tmp_path / "prefix" / "share" / "kit-trading" / "notebooks"
    shipped.mkdir(parents=True)
    (shipped / lab.QUICKSTART).write_text(json.dumps({"cells": []}))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(lab.sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(lab, "__file__", str(tmp_path / "site" / "kit" / "commands" / "lab.py"))
    copy = lab.notebooks_folder() / lab.QUICKSTART
    assert copy.read_text() == (shipped / lab.QUICKSTART).read_text()
    copy.write_text("mine")
    assert (lab.notebooks_folder() / lab.QUICKSTART).read_text() == "mine"


def test_without_any_notebooks_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(lab.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(lab, "__file__", str(tmp_path / "a" / "b" / "lab.py"))
    with pytest.raises(NotSupported, match="--notebooks"):
        lab.notebooks_folder()
