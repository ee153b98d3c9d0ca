"""`kit red` presses at the doors of the cores that run; what the doors are made of is tested with them."""

import pytest

from kit.__main__ import main
from kit.errors import NotReady
from kit.trading import red_door
from kit.trading.instance_lock import Instance
from kit.trading.red_button import RedPress, RedWay
from kit.trading.red_door import OpenDoor


class Door(OpenDoor):
    """A door that answers as its core's name says."""

    def press(self, reason, hear, patience=15.0):
        if self.core_name == "mute":
            raise NotReady(f"it does not answer for {patience:g} s")
        acting = RedWay("core", "acting", "waits for the core's loop")
        hear(RedPress(1, reason, 5.0, (acting,)))
        end = RedWay("core", "failed" if self.core_name == "stuck" else "done", f"pressed by {reason}")
        hear(press := RedPress(1, reason, 5.0, (end,)))
        return press


@pytest.fixture
def running(monkeypatch):
    def run(*names):
        doors = [Door(name, Instance(7, 1.0, "a.ipynb"), 1, "k") for name in names]
        monkeypatch.setattr(red_door, "open_doors", lambda: doors)

    return run


def test_every_core_that_runs_is_pressed_and_says_how_it_goes(running, capsys):
    running("main", "second core")
    assert main(["red"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(
        f"{name}: {text}"
        for name in ("main", "second core")
        for text in ("waits for the core's loop", "pressed by the red button in a terminal")
    )


def test_one_is_pressed_by_its_name(running, capsys):
    running("main", "second core")
    assert main(["red", "second core"]) == 0
    assert "main:" not in capsys.readouterr().out


@pytest.mark.parametrize("other", ["stuck", "mute"])
def test_one_that_does_not_get_there_fails_the_command_and_keeps_no_other_from_it(running, capsys, other):
    running(other, "main")
    assert main(["red", "--patience", "7"]) == 1
    said = capsys.readouterr()
    assert "main: pressed by" in said.out
    assert ("it does not answer for 7 s" in said.err) == (other == "mute")


def test_a_name_that_does_not_run_presses_nothing(running, capsys):
    running("main")
    assert main(["red", "main", "mian"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "no core 'mian' of yours runs on this machine (running: main)" in said.err


def test_where_nothing_runs_the_command_says_so(running, capsys):
    running()
    assert main(["red"]) == 1
    assert "(running: none)" in capsys.readouterr().err


def test_a_list_presses_nothing(running, capsys):
    running("main", "mute")
    assert main(["red", "--list"]) == 0
    said = capsys.readouterr()
    assert [line.split(",")[0] for line in said.out.splitlines()] == [
        f"{name}: in a.ipynb (pid 7" for name in ("main", "mute")
    ]
    assert said.err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_nobody_thought_of_is_no_success(running, monkeypatch):
    def broken(*_):
        raise RuntimeError("not thought of")

    running("main")
    monkeypatch.setattr(Door, "press", broken)
    assert main(["red"]) == 1
