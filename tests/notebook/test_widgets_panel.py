"""The timer and the panels' side of the talk with pages, with pages played by the tests."""

import asyncio
import threading

import pytest

from kit.core.affinity import LoopAffinity
from kit.core.error_list import ErrorList
from kit.core.manual_time import ManualTime
from kit.errors import InvalidInput, OrderNotFound
from kit.notebook.panel import LEASE, Frame, Panel
from kit.notebook.refresh import Refresher, refresher_of
from kit.trading.core_loop import CoreLoop
from tests.support.kit_logs import kit_records


class Counter:
    """A model whose value the test sets."""

    def __init__(self, affinity, name="counter"):
        self.affinity, self.name = affinity, name
        self.value, self.sent, self.asked = 0, None, 0
        self.ended = False
        self.broken = None
        self.threads = []

    def frame(self, full):
        self.asked += 1
        self.threads.append(threading.get_ident())
        if self.broken:
            raise self.broken
        if not full and self.value == self.sent:
            return None
        self.sent = self.value
        return Frame({"value": self.value}, full=full)

    def command(self, message):
        self.threads.append(threading.get_ident())
        if message["do"] == "break":
            raise ZeroDivisionError("no")
        if message["do"] == "miss":
            raise OrderNotFound("gone already")
        self.value += 1
        return {"text": "done"}

    def html(self):
        return f"<b>{self.value}</b>"

    def text(self):
        return str(self.value)


class Stage:
    def __init__(self):
        self.time = ManualTime()
        self.errors = ErrorList()
        self.affinity = LoopAffinity(asyncio.get_running_loop(), errors=self.errors)
        self.refresher = Refresher(self.affinity, time_source=self.time)

    def panel(self, name="counter"):
        messages = []
        panel = Panel(
            Counter(self.affinity, name),
            lambda content, buffers: messages.append(content),
            refresher=self.refresher,
            time_source=self.time,
        )
        return panel, panel.model, messages


@pytest.fixture
async def stage():
    return Stage()


def show(panel, visible=True, key="page", **more):
    panel.receive({"kind": "view", "id": key, "visible": visible, **more})


async def test_a_view_gets_a_full_frame_at_once_and_then_only_what_changed(stage):
    panel, model, messages = stage.panel()
    show(panel)
    assert messages == [{"kind": "frame", "seq": 1, "full": True, "value": 0}]
    await stage.time.advance(1.0)
    assert len(messages) == 1
    assert model.asked == 5  # at once, then four times a second
    model.value = 7
    await stage.time.advance(0.25)
    assert messages[1:] == [{"kind": "frame", "seq": 2, "full": False, "value": 7}]


async def test_many_changes_between_two_beats_are_one_frame(stage):
    panel, model, messages = stage.panel()
    show(panel)
    for model.value in range(1, 100):
        await stage.time.advance(0.001)
    await stage.time.advance(0.2)
    assert [message["value"] for message in messages] == [0, 99]


async def test_nothing_is_asked_or_sent_while_hidden_and_no_timer_waits(stage):
    panel, model, messages = stage.panel()
    show(panel)
    show(panel, visible=False)
    asked = model.asked
    model.value = 1
    await stage.time.advance(5)
    assert (model.asked, len(messages), stage.refresher.waiting, stage.time.pending) == (asked, 1, False, 0)
    show(panel)
    assert messages[-1] == {"kind": "frame", "seq": 2, "full": True, "value": 1}


async def test_it_ends_with_its_last_view(stage):
    panel, _model, _ = stage.panel()
    show(panel, key="a")
    show(panel, key="b")
    panel.receive({"kind": "gone", "id": "a"})
    await stage.time.advance(1)
    assert stage.refresher.waiting
    panel.receive({"kind": "gone", "id": "b"})
    await stage.time.advance(1)
    assert not stage.refresher.waiting
    assert stage.refresher.panels == ()
    assert stage.time.pending == 0


async def test_a_page_that_was_lost_counts_until_its_lease_ends(stage):
    panel, _model, _ = stage.panel()
    show(panel)
    await stage.time.advance(LEASE - 10)
    show(panel)  # a sign of life
    await stage.time.advance(LEASE - 1)
    assert stage.refresher.waiting
    await stage.time.advance(2)
    assert not stage.refresher.waiting
    assert panel.views == 0


async def test_a_page_that_missed_a_frame_gets_all(stage):
    panel, _model, messages = stage.panel()
    show(panel)
    show(panel)
    assert len(messages) == 1  # a sign of life alone is no reason to paint
    show(panel, paint=True)
    assert messages[-1]["full"]


async def test_the_last_state_of_a_stopped_core_is_shown_then_the_timer_ends(stage):
    panel, model, messages = stage.panel()
    show(panel)
    model.value, model.ended = 5, True
    await stage.time.advance(1)
    assert not stage.refresher.waiting
    assert messages[-1]["value"] == 5
    model.value, model.ended = 6, False  # started again: the next sign of life brings it back
    show(panel)
    assert messages[-1]["value"] == 6
    assert stage.refresher.waiting


async def test_an_error_is_listed_once_with_a_count_and_stops_no_other_panel(stage, caplog):
    broken, broken_model, _ = stage.panel("broken")
    sound, sound_model, messages = stage.panel("sound")
    show(broken)
    show(sound)
    broken_model.broken = ValueError("bad")
    for sound_model.value in (1, 2, 3):
        await stage.time.advance(0.25)
    assert [message["value"] for message in messages] == [0, 1, 2, 3]
    (error,) = stage.errors.items
    assert str(error) == "broken: ValueError: bad (3 times)"
    assert len(kit_records(caplog)) == 1
    assert stage.refresher.stats.errors == 3
    broken_model.broken, broken_model.value = None, 1
    await stage.time.advance(0.25)
    assert broken.frames == 2


async def test_commands_are_answered_whatever_happens(stage):
    panel, _model, messages = stage.panel()
    show(panel)
    for number, do in enumerate(("count", "miss", "break")):
        panel.receive({"kind": "command", "id": "page", "number": number, "do": do})
    answers = [message for message in messages if message["kind"] == "answer"]
    assert answers == [
        {"kind": "answer", "id": "page", "number": 0, "ok": True, "text": "done"},
        {"kind": "answer", "id": "page", "number": 1, "ok": False, "text": "gone already"},
        {"kind": "answer", "id": "page", "number": 2, "ok": False, "text": "ZeroDivisionError: no"},
    ]
    assert [str(error) for error in stage.errors.items] == ["counter: break: ZeroDivisionError: no"]
    assert [message["value"] for message in messages if message["kind"] == "frame"] == [0, 1]


async def test_messages_of_another_thread_and_loop_act_on_the_cores_loop(stage):
    panel, model, messages = stage.panel()

    async def subshell():
        show(panel)
        panel.receive({"kind": "command", "id": "page", "number": 1, "do": "count"})

    await asyncio.to_thread(asyncio.run, subshell())
    await asyncio.sleep(0)
    assert set(model.threads) == {threading.get_ident()}
    assert [message["kind"] for message in messages] == ["frame", "answer", "frame"]


def test_after_the_loops_end_a_command_is_refused_and_a_view_is_no_error():
    async def make():
        return Stage().panel()

    panel, model, messages = asyncio.run(make())

    def later():
        show(panel)
        panel.receive({"kind": "command", "id": "page", "number": 1, "do": "count"})
        panel.close()

    thread = threading.Thread(target=later)
    thread.start()
    thread.join()
    assert model.value == 0
    assert [message["ok"] for message in messages] == [False]


async def test_slow_panels_make_the_beat_rarer(stage):
    panel, model, _ = stage.panel()
    show(panel)
    frame = model.frame

    def slow(full):
        stage.time.jump(0.5)
        return frame(full)

    model.frame = slow
    await stage.time.advance(20)
    assert model.asked <= 12  # at most a fifth of the time
    assert stage.refresher.stats.slowest == pytest.approx(0.5)


async def test_one_timer_a_loop_and_none_of_closed_loops():
    mine = refresher_of(asyncio.get_running_loop())
    assert refresher_of(asyncio.get_running_loop()) is mine
    other = asyncio.new_event_loop()
    assert refresher_of(other) is not mine
    other.close()
    refresher_of(asyncio.get_running_loop())
    from kit.notebook import refresh

    assert other not in refresh._refreshers


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
async def test_an_interval_is_positive(interval):
    with pytest.raises(InvalidInput, match="interval is"):
        Refresher(LoopAffinity(None), interval=interval)


async def test_a_panel_follows_its_core_to_the_loop_that_it_starts_on():
    """Made before the core runs, a panel is first brought up to date here, then only on the core's own loop."""
    model = Counter(LoopAffinity(None))
    messages = []
    panel = Panel(model, lambda content, _: messages.append(content))
    show(panel)
    assert model.threads == [threading.get_ident()]
    loop = CoreLoop("thread", "panel")
    model.affinity = LoopAffinity(loop.find())
    async with asyncio.timeout(60):
        while len(model.threads) < 4:
            await asyncio.sleep(0.01)
    assert threading.get_ident() not in model.threads[1:]
    assert panel not in refresher_of(asyncio.get_running_loop()).panels
    await loop.end()
    panel.close()
