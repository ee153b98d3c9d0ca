"""The panels as widgets: where they show without a widget manager, and what stays of them when nobody looks."""

import asyncio
import subprocess
import sys
from pathlib import Path

import ipywidgets
import pytest

import kit
from kit.notebook import controls, widgets

ROOT = Path(__file__).resolve().parents[2]
VIEW = "application/vnd.jupyter.widget-view+json"


class Quoter(kit.Strategy):
    class Params(kit.Params):
        levels: int = kit.param(2, ge=1, le=10, step=1, doc="orders <each> side")


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    ipywidgets.Widget.close_all()
    assert not widgets._unseen


def test_a_panel_shows_as_widget_html_and_text():
    strategy = Quoter()
    panel = controls(strategy)
    data, _ = panel._repr_mimebundle_()
    assert data[VIEW]["model_id"] == panel.model_id
    assert data["text/plain"] == repr(panel) == "controls of Quoter\nlevels = 2"
    assert "<td" in data["text/html"]
    assert "orders &lt;each&gt; side" in data["text/html"]
    strategy.params.levels = 3
    assert "levels = 3" in panel._repr_mimebundle_()[0]["text/plain"]


def test_the_page_gets_no_trading_state_but_by_messages_and_what_the_notebook_saves_anyway():
    panel = controls(Quoter())
    state = panel.get_state()
    synced = {name for name in state if not name.startswith("_")}
    assert synced <= {"layout", "tooltip", "tabbable", "snapshot"}
    assert state["snapshot"] == ""
    data, _ = panel._repr_mimebundle_()
    assert panel.get_state()["snapshot"] == data["text/html"]


def test_panels_that_nobody_sees_are_bounded_and_can_be_shown_again():
    strategy = Quoter()
    first = controls(strategy)
    for _ in range(3 * widgets.MAX_UNSEEN):
        last = controls(strategy)
    assert len(widgets._unseen) == widgets.MAX_UNSEEN
    assert first.comm is None
    assert last.comm is not None
    data, _ = first._repr_mimebundle_()
    assert data[VIEW]["model_id"] == first.model_id
    assert first.comm is not None


def test_a_panel_that_is_seen_stays():
    strategy = Quoter()
    seen = controls(strategy)
    seen.panel.receive({"kind": "view", "id": "a", "visible": True})
    for _ in range(2 * widgets.MAX_UNSEEN):
        controls(strategy)
    assert seen.comm is not None
    seen.panel.receive({"kind": "gone", "id": "a"})
    assert id(seen) in widgets._unseen


async def test_a_closed_panel_leaves_the_timer_and_no_task():
    tasks = asyncio.all_tasks()
    panel = controls(Quoter())
    panel.panel.receive({"kind": "view", "id": "a", "visible": True})
    refresher = panel.panel._refresher()
    assert refresher.waiting
    assert asyncio.all_tasks() == tasks
    panel.close()
    assert not refresher.waiting
    assert refresher.panels == ()


async def test_messages_of_the_page_reach_the_strategy():
    strategy = Quoter()
    panel = controls(strategy)
    sent = []
    panel.send = lambda content, buffers=None: sent.append(content)
    panel._handle_custom_msg({"kind": "view", "id": "a", "visible": True}, [])
    panel._handle_custom_msg({"kind": "command", "id": "a", "number": 1, "do": "apply", "values": {"levels": "4"}}, [])
    assert strategy.params.levels == 4
    assert [message["kind"] for message in sent] == ["frame", "answer", "frame"]
    panel.close()


def test_every_panel_of_a_market_is_made_lazily():
    code = (
        "import sys, kit.notebook\n"
        "kit.notebook.depth, kit.notebook.ladder, kit.notebook.orders, kit.notebook.controls\n"
        "print([name for name in ('ipywidgets', 'anywidget', 'pandas', 'plotly') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.strip() == "[]"


def test_scripts_and_styles_are_beside_the_python_and_complete():
    kinds = [kind for kind in widgets.LiveWidget.__subclasses__() if kind.__module__ == widgets.__name__]
    assert len(kinds) == 9
    for kind in kinds:
        assert "function connect(" in str(kind._esm)
        assert str(kind._esm).count("export default") == 1
        assert ".kit {" in str(kind._css)
        assert len(str(kind._esm)) + len(str(kind._css)) < 32_000
