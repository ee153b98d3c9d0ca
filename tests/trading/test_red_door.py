"""The red button pressed from another process: through a door on loopback whose key is in a private file."""

import contextlib
import json
import os
import socket
import stat
import threading

import pytest

from kit.core.listeners import Listeners
from kit.errors import NotReady
from kit.trading import red_door
from kit.trading.instance_lock import Instance, core_file
from kit.trading.red_button import RedPress, RedWay
from kit.trading.red_door import OpenDoor, RedDoor, open_doors

HERE = Instance(os.getpid(), 1.0, "a.ipynb")
ACTING = RedWay("guard", "acting", "the guard cancels on binance")
CLEARED = RedWay("guard", "done", "2 orders cancelled, 0 open on binance")
WAITING = RedWay("core", "acting", "waits for the core's loop")
NO_GUARD = RedWay("guard", "failed", "the guard cannot act: no process")
REFUSED = RedWay("core", "failed", "the core stays live")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_STATE", str(tmp_path))
    return tmp_path


class Button:
    """A red button that goes through ``stages``, each the ways of a press, and then through what ``tell`` says."""

    def __init__(self, *stages):
        self.stages = stages
        self.reasons = []
        self.listeners = Listeners("the button")
        self.pressed = threading.Event()

    def __call__(self, reason):
        self.reasons.append(reason)
        self.tell(*self.stages)
        self.pressed.set()
        return RedPress(len(self.reasons), reason, 5.0, ())

    def add_listener(self, listener):
        return self.listeners.add(listener)

    def tell(self, *stages, number=None):
        for ways in stages:
            self.listeners.tell(RedPress(number or len(self.reasons), "x", 5.0, ways, 0.25))


@pytest.fixture
def door():
    doors = []

    def make(button, name="main"):
        doors.append(RedDoor(name, button, HERE))
        doors[-1].open()
        return doors[-1]

    yield make
    for door in doors:
        door.close()


def test_a_press_from_elsewhere_reaches_the_button_and_is_told_of_as_it_goes(door):
    button = Button((ACTING,), (ACTING, WAITING), (CLEARED, WAITING))
    door(button, "my core")
    (found,) = open_doors()
    heard = []
    press = found.press("by hand", heard.append)
    assert button.reasons == ["by hand"]
    assert [one.ways for one in heard] == [(CLEARED, WAITING)]  # what was so before the press was over is no news
    assert press == RedPress(1, "x", 5.0, (CLEARED, WAITING), 0.25)
    assert (found.core_name, found.instance) == ("my core", HERE)


def test_what_happens_after_the_press_is_told_too(door):
    button = Button((WAITING,))
    door(button)
    (found,) = open_doors()
    threading.Thread(target=lambda: button.pressed.wait(60) and button.tell((REFUSED,))).start()
    press = found.press("by hand", lambda _: None)
    assert (press.stage, press.text) == ("failed", "the core stays live")


def test_a_way_that_fails_before_the_other_begins_is_not_the_end(door):
    button = Button((ACTING,), (NO_GUARD,), (NO_GUARD, WAITING))
    door(button)
    (found,) = open_doors()
    heard = []
    off = RedWay("core", "done", "core off")
    threading.Thread(target=lambda: button.pressed.wait(60) and button.tell((NO_GUARD, off))).start()
    assert found.press("by hand", heard.append).text == "core off"
    assert heard[-1].ways == (NO_GUARD, off)


def test_a_later_press_speaks_for_an_earlier_one(door):
    button = Button((WAITING,))
    door(button)
    (found,) = open_doors()
    threading.Thread(target=lambda: button.pressed.wait(60) and button.tell((CLEARED,), number=2)).start()
    assert found.press("by hand", lambda _: None).number == 2


def test_nobody_listens_to_the_button_afterwards(door):
    button = Button((REFUSED,))
    door(button)
    (found,) = open_doors()
    assert found.press("by hand", lambda _: None).stage == "failed"  # the door has hung up
    assert len(button.listeners) == 0
    assert found.press("again", lambda _: None).number == 2
    assert button.reasons == ["by hand", "again"]


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"\n",
        b"[]\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"key": "guessed", "reason": "x"}\n',
        b'{"key": null, "reason": "x"}\n',
        b"\xff\n",
        b'{"key": "\\ud800", "reason": "x"}\n',
        b"[" * 4000 + b"\n",
        b"x" * 5000 + b"\n",
    ],
)
def test_whoever_does_not_show_the_key_presses_nothing(door, words):
    button = Button((CLEARED,))
    door(button)
    (found,) = open_doors()
    answer = b""
    line = socket.create_connection(("127.0.0.1", found.port), timeout=60)
    with line, contextlib.suppress(OSError):  # it hung up before all was said
        line.sendall(words)
        line.shutdown(socket.SHUT_WR)
        answer = line.recv(100)
    assert answer == b""
    assert button.reasons == []
    assert found.press("by hand", lambda _: None).stage == "done"


def test_the_file_of_the_key_is_its_owners_alone_and_goes_with_the_door(door):
    opened = door(Button((CLEARED,)))
    path = core_file("main", "red")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_bytes())["key"] not in repr(opened)
    (found,) = open_doors()
    assert json.loads(path.read_bytes())["key"] not in repr(found)
    opened.close()
    opened.close()
    assert not path.exists()
    assert open_doors() == []
    with pytest.raises(NotReady, match=r"nobody listens for core 'main' any more: it has stopped, or a\.ipynb .* has"):
        found.press("by hand", lambda _: None)


def test_a_door_closes_although_a_forked_child_holds_a_copy(door):
    opened = door(Button((CLEARED,)))
    (found,) = open_doors()
    copies = [socket.socket(fileno=os.dup(one.fileno())) for one in opened._sockets]  # as a child has them
    opened.close()
    assert "red button of main" not in [thread.name for thread in threading.enumerate()]
    assert not found.open
    for copy in copies:
        copy.close()


def test_a_door_that_cannot_open_leaves_nothing(door, state):
    (state / "cores").write_text("a file where the folder is to be")
    broken = RedDoor("main", Button(), HERE)
    with pytest.raises(OSError, match="cores"):
        broken.open()
    assert repr(broken) == "<RedDoor of 'main': closed>"
    assert "red button of main" not in [thread.name for thread in threading.enumerate()]


def test_a_crowd_that_says_nothing_is_not_let_in(door, monkeypatch):
    monkeypatch.setattr(red_door, "_WORD", 600.0)
    door(button := Button((CLEARED,)))
    (found,) = open_doors()
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", found.port), timeout=60)) for _ in range(40)
        ]
        assert [guest.recv(1) for guest in crowd[20:]] == [b""] * 20  # hung up on at once
    assert button.reasons == []


def test_a_core_of_the_same_name_that_opened_its_door_later_keeps_it(door):
    first, second = Button((CLEARED,)), Button((CLEARED,))
    earlier = door(first)
    door(second)
    earlier.close()
    (found,) = open_doors()
    found.press("by hand", lambda _: None)
    assert (first.reasons, second.reasons) == ([], ["by hand"])


def test_doors_are_found_by_name_and_those_of_dead_processes_are_not(door, state):
    door(Button(), "b")
    door(Button(), "a")
    for name, content in [
        ("torn", b"{"),
        ("list", b"[]"),
        ("dead", json.dumps({"core": "dead", "port": 1, "key": "k", "instance": [2**22 + 1, 1.0, "x"]}).encode()),
        ("gone", json.dumps({"core": "gone", "port": 1, "key": "k", "instance": _words_of(2**22 + 1)}).encode()),
    ]:
        (state / "cores" / f"{name}.red").write_bytes(content)
    assert [found.core_name for found in open_doors()] == ["a", "b"]


def _words_of(pid):
    return {"pid": pid, "since": 1.0, "what": "x"}


def test_a_door_that_says_nothing_is_an_error_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = OpenDoor("main", HERE, silent.getsockname()[1], "k")
        with pytest.raises(NotReady, match=r"nothing new for 0\.05 s: it has not answered: where a long C call"):
            found.press("by hand", lambda _: None, patience=0.05)


@contextlib.contextmanager
def answering(words):
    """Yield a door at which somebody says ``words`` to the first who knocks, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            guest, _ = listening.accept()
            with guest, guest.makefile("rb") as reading:
                reading.readline()
                guest.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        yield OpenDoor("main", HERE, listening.getsockname()[1], "k")
        thread.join()


@pytest.mark.parametrize("words", [b"{}\n", b"[]\n", b"x\n", b'{"ways": [{}], "number": 1}\n'])
def test_what_no_door_of_this_kit_says_is_an_error(words):
    with answering(words) as found, pytest.raises(NotReady, match="it has not answered"):
        found.press("by hand", lambda _: None)


def test_a_door_that_hangs_up_half_way_tells_how_it_stood():
    ways = [{"name": "core", "stage": "acting", "text": "waits for the core's loop"}]
    words = json.dumps({"number": 1, "reason": "x", "time": 5.0, "took": None, "ways": ways}).encode() + b"\n"
    stood = r"it hung up: it goes on there, and stood last at acting: waits for the core"
    with answering(words) as found, pytest.raises(NotReady, match=stood):
        found.press("by hand", lambda _: None)
