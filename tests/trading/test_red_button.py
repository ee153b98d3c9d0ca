"""The red button: two ways at once, pressed on any thread, told as they go."""

import asyncio
import concurrent.futures
import threading

import pytest

from kit.core.affinity import LoopAffinity
from kit.core.manual_time import ManualTime
from kit.core.tasks import TaskSupervisor
from kit.errors import NotReady
from kit.guard.messages import GuardReport
from kit.trading.instance_lock import Instance
from kit.trading.red_button import RedButton
from kit.trading.watching import ReadOnly


class Guard:
    def __init__(self):
        self.accounts = ("binance",)
        self.commands = []
        self.error = None

    def cancel_now(self, reason):
        if self.error is not None:
            raise self.error
        self.commands.append(reason)
        self.answer = concurrent.futures.Future()
        return self.answer

    def report(self, cleared=1000.25, failures=None):
        cancelled = {"binance": ("a", "b")}
        report = GuardReport("command", "x", 1000.0, cleared, cancelled, failures or {}, (1,))
        thread = threading.Thread(target=self.answer.set_result, args=(report,))
        thread.start()
        thread.join()


class Switch:
    def __init__(self):
        self.reasons = []
        self.error = None
        self.go = asyncio.Event()

    async def go_off(self, reason):
        self.reasons.append(reason)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return "binance: 2 orders cancelled, 0 open on the exchange"

    def disarm(self, cause):
        self.reasons.append(f"go on: {cause}")


class Stage:
    def __init__(self):
        self.name = "main"
        self.time = ManualTime(1000.0)
        self.affinity = LoopAffinity(asyncio.get_running_loop())
        self.supervisor = TaskSupervisor("main")
        self.guard = Guard()
        self.switch = Switch()
        self.connectors = {"binance": object()}
        self.changing = asyncio.Lock()
        self.halted = []
        self.told = []
        self.read_only = None
        self.button = RedButton(self, self.halted.append, self.time)
        self.button.add_listener(self.told.append)

    async def settle(self):
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    assert await stage.supervisor.close() == []


async def test_the_guard_acts_while_the_loop_is_blocked(stage):
    thread = threading.Thread(target=stage.button, args=("by hand",))
    thread.start()
    thread.join()  # the loop does not run meanwhile
    assert stage.halted == ["by hand"]
    assert stage.guard.commands == ["by hand"]
    assert stage.switch.reasons == []
    assert [way.text for way in stage.button.last.ways] == ["the guard cancels on binance", "waits for the core's loop"]
    assert stage.button.last.stage == "acting"

    stage.guard.report()
    press = stage.button.last
    assert (press.stage, press.took) == ("done", 0.25)
    assert press.text == "2 orders cancelled, 0 open on binance, verified after 0.25 s"
    assert stage.told[-1] == press

    await stage.settle()  # the loop runs again
    assert stage.switch.reasons == ["by hand"]
    stage.switch.go.set()
    await stage.settle()
    press = stage.button.last
    assert [way.stage for way in press.ways] == ["done", "done"]
    assert press.text.startswith("2 orders cancelled, 0 open on binance, verified")
    assert press.ways[1].text.startswith("core off; binance: 2 orders cancelled")
    assert press.took == 0.25


async def test_on_paper_the_loop_does_it(stage):
    stage.guard.accounts = ()
    stage.switch.go.set()
    press = stage.button()
    assert (press.stage, [way.name for way in press.ways]) == ("acting", ["core"])
    await stage.settle()
    assert stage.button.last.stage == "done"
    assert stage.guard.commands == []


async def test_one_way_that_arrives_is_enough(stage):
    stage.guard.error = NotReady("no process")
    stage.switch.go.set()
    assert stage.button().stage == "acting"
    await stage.settle()
    press = stage.button.last
    assert press.stage == "done"
    assert press.ways[0].text == "the guard cannot act: no process"


async def test_it_fails_only_when_no_way_is_left(stage):
    stage.button()
    stage.guard.report(cleared=None, failures={"binance": "no connection"})
    assert stage.button.last.stage == "acting"
    stage.switch.error = NotReady("binance does not answer")
    stage.switch.go.set()
    await stage.settle()
    press = stage.button.last
    assert (press.stage, press.took) == ("failed", None)
    assert str(press) == "failed: 2 orders cancelled; binance: no connection; binance does not answer"


async def test_a_later_press_takes_the_place_of_an_earlier(stage):
    stage.button("one")
    first = stage.guard.answer
    stage.button("two")
    first.set_result(GuardReport("command", "x", 1000.0, 1000.1, {}, {}, (1,)))
    assert (stage.button.last.reason, stage.button.last.stage) == ("two", "acting")
    stage.guard.report()
    assert stage.button.last.stage == "done"
    stage.switch.go.set()
    await stage.settle()


async def test_a_guard_that_was_ended_leaves_it_to_the_loop(stage):
    stage.button()
    stage.guard.answer.cancel()
    assert stage.button.last.ways[0].text == "no word from the guard: it was ended"
    stage.switch.go.set()
    await stage.settle()
    assert stage.button.last.stage == "done"


async def test_nothing_connected_is_nothing_to_cancel(stage):
    stage.connectors = {}
    stage.guard.accounts = ()
    press = stage.button()
    assert (press.stage, press.text) == ("done", "no connectors: nothing to cancel")
    assert stage.guard.commands == []
    assert stage.halted == ["the red button"]


async def test_what_a_connector_left_behind_is_the_guards_still(stage):
    stage.connectors = {}
    press = stage.button()
    assert press.stage == "acting"
    assert stage.guard.commands == ["the red button"]
    stage.guard.report()
    stage.switch.go.set()
    await stage.settle()
    assert stage.button.last.stage == "done"


async def test_a_press_while_the_first_connector_comes_in_waits_for_it(stage):
    stage.connectors = {}
    stage.guard.accounts = ()
    async with stage.changing:
        press = stage.button()
        assert (press.stage, press.text) == ("acting", "waits for the core's loop")
    stage.switch.go.set()
    await stage.settle()
    assert stage.button.last.stage == "done"


async def test_a_core_that_is_stopped_meanwhile_ends_the_press(stage):
    stage.guard.accounts = ()
    stage.button()
    await stage.settle()
    assert stage.switch.reasons == ["the red button"]  # which waits for what stops the core
    assert await stage.supervisor.close() == []
    press = stage.button.last
    assert (press.stage, press.text) == ("failed", "the core was stopped before; its report says what is left")


async def test_a_closing_core_says_that_it_takes_nothing(stage):
    stage.guard.accounts = ()
    await stage.supervisor.close()
    press = stage.button()
    assert press.stage == "failed"
    assert "the core's loop takes nothing" in press.text


async def test_a_listener_that_fails_keeps_nobody_from_hearing(stage, caplog):
    def broken(press):
        raise ValueError("gone")

    heard = []
    stage.button.add_listener(broken)
    remove = stage.button.add_listener(heard.append)
    stage.button()
    assert heard
    remove()
    count = len(heard)
    stage.guard.report()
    assert len(heard) == count
    assert "a listener of the red button failed" in caplog.text
    stage.switch.go.set()
    await stage.settle()


async def test_a_view_of_another_process_core_says_where_to_press():
    core = Stage()
    core.read_only = ReadOnly("my core", Instance(7, 1.0, "a.ipynb"), None)
    press = core.button("now")
    assert press.stage == "failed"
    assert (
        "press it where the core runs, or in a terminal: kit red 'my core'. Core 'my core' runs in a.ipynb"
        in press.text
    )
    assert core.halted == []
