import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.__main__ import build_parser, main
from kit.commands import lab
from kit.errors import NotSupported

ROOT = Path(__file__).resolve().parents[2]


def test_every_command_has_help(capsys):
    for command in ("backtest", "demo", "lab", "record", "testnet"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert f"kit {command}" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["0", "-3", "nan", "inf", "soon"])
def test_demo_refuses_impossible_lengths(seconds, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--seconds", seconds])
    assert caught.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_demo_options():
    args = build_parser().parse_args(["demo", "--seconds", "5", "--seed", "7", "--json"])
    assert (args.seconds, args.seed, args.json, args.replay) == (5.0, 7, True, None)


def test_demo_says_which_file_is_missing(capsys):
    assert main(["demo", "--replay", "no-such-file.gz"]) == 1
    assert "no-such-file.gz" in capsys.readouterr().err


def test_lab_opens_the_checkouts_notebooks(monkeypatch):
    called = []
    monkeypatch.setattr(lab.subprocess, "call", lambda command: called.append(command) or 0)
    assert main(["lab", "--", "--no-browser"]) == 0
    assert called[0][1:3] == ["-m", "jupyterlab"]
    assert called[0][3].endswith("00_quickstart.ipynb")
    assert called[0][4:] == ["--no-browser"]


def test_ctrl_c_is_left_to_jupyterlab(tmp_path):
    """The child asks for one more moment at SIGINT, as JupyterLab does; the parent must wait for it."""
    stand_in = tmp_path / "jupyterlab.py"
    stand_in.write_text(
        "import signal, sys, time\n"
        "def stop(*_):\n    time.sleep(1.0)\n    print('orderly', flush=True)\n    sys.exit(7)\n"
        "signal.signal(signal.SIGINT, stop)\nprint('up', flush=True)\ntime.sleep(30)\n"
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
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert (rest, process.returncode) == ("orderly\n", 7)


def test_lab_copies_shipped_notebooks_and_never_overwrites_the_users_copy(tmp_path, monkeypatch):
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


def test_lab_without_any_notebooks_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(lab.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(lab, "__file__", str(tmp_path / "a" / "b" / "lab.py"))
    with pytest.raises(NotSupported, match="--notebooks"):
        lab.notebooks_folder()
