"""The cockpit: its parts on one line to the page, following the core, the red button's way past the loop."""

import asyncio
import json
import threading
from decimal import Decimal

import ipywidgets
import pytest

import kit
from kit.connectors import connector_manager
from kit.errors import InvalidInput, NotReady, NotSupported
from kit.notebook import cockpit, health, red_button, switch
from kit.notebook.cockpit_model import CockpitModel
from kit.notebook.cockpit_widget import PARTS, CockpitWidget
from kit.notebook.red_model import RedModel
from kit.trading.switch import TradingState
from tests.support.fake_venue import PAIR, FakeVenue
from tests.support.faked_core import connect, until
from tests.support.stack import LENIENT


class Quoter(kit.Strategy):
    class Params(kit.Params):
        amount: int = kit.param(1, ge=1, le=10, doc="lots")

    def on_tick(self, timestamp):
        if not self.active_orders:
            self.buy("1", "99")


class Other(Quoter):
    pass


@pytest.fixture
async def core(monkeypatch):
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: FakeVenue())
    core = kit.TradingCore("cockpit test", tick_size=0.05, guard=False)
    core.disarm_rules = LENIENT
    yield core
    ipywidgets.Widget.close_all()
    assert (await core.stop()).clean


class Page:
    """A page that shows a cockpit: takes what is sent, by part."""

    def __init__(self, widget):
        self.widget, self.sent = widget, []
        widget.send = lambda content, buffers=None: self.sent.append(content)

    def say(self, part, **content):
        self.widget._handle_custom_msg({"part": part, "id": "page", **content}, [])

    def look(self, *parts, visible=True):
        for part in parts or ("", *PARTS):
            self.say(part, kind="view", visible=visible)

    def frames(self, part, kind="frame"):
        return [message for message in self.sent if message["part"] == part and message["kind"] == kind]


async def test_every_part_of_a_running_core_shows_itself_on_one_line(core):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    page = Page(cockpit(core))
    page.look()
    assert all(page.frames(part) for part in ("", *PARTS))
    json.dumps(page.sent)
    assert page.frames("depth")[0]["pair"] == PAIR
    assert page.frames("controls")[0]["title"] == "Quoter"
    await until(lambda: any(frame["rows"] for frame in page.frames("orders")))
    assert page.frames("")[0]["choices"] == [[f"binance {PAIR}", f"binance {PAIR}"]]


async def test_before_anything_is_connected_it_says_what_to_do(core):
    page = Page(cockpit(core))
    page.look()
    assert "add_connector" in page.frames("depth")[-1]["empty"]
    assert "core.strategy" in page.frames("controls")[-1]["empty"]
    assert page.frames("switch")[-1]["state"] == "off"
    assert "no strategy yet" in cockpit(core).model.text()


async def test_it_follows_what_is_connected_and_swapped(core):
    page = Page(cockpit(core))
    page.look()
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: page.frames("depth")[-1].get("pair") == PAIR)
    await until(lambda: page.frames("controls")[-1].get("title") == "Quoter")
    core.strategy = Other(market, PAIR)
    await until(lambda: page.frames("controls")[-1].get("title") == "Other")
    await core.stop()
    await until(lambda: "empty" in page.frames("depth")[-1])
    assert not page.frames("switch")[-1]["in_use"]


async def test_folded_parts_cost_nothing(core):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    page = Page(cockpit(core))
    page.look()
    page.look("orders", visible=False)
    await asyncio.sleep(0.3)
    count = len(page.frames("orders"))
    market.buy(PAIR, Decimal(1), price=Decimal(98))
    await asyncio.sleep(0.4)
    assert len(page.frames("orders")) == count
    page.look("orders")
    assert len(page.frames("orders")) == count + 1


async def test_shown_twice_it_is_one_cockpit(core):
    widget = cockpit(core)
    assert cockpit(core) is widget
    data, _ = widget._repr_mimebundle_()
    again, _ = cockpit(core)._repr_mimebundle_()
    key = "application/vnd.jupyter.widget-view+json"
    assert data[key]["model_id"] == again[key]["model_id"]
    widget.close()
    assert cockpit(core)._repr_mimebundle_()[0][key]["model_id"] == cockpit(core).model_id


async def test_a_closed_cockpit_leaves_no_task_no_timer_no_listener(core):
    tasks = asyncio.all_tasks()
    page = Page(cockpit(core))
    page.look()
    refresher = page.widget.panel._refresher()
    assert refresher.waiting
    assert core.red_button._listeners
    page.widget.close()
    assert not refresher.waiting
    assert refresher.panels == ()
    assert not core.red_button._listeners
    assert asyncio.all_tasks() == tasks


async def test_the_red_button_is_pressed_on_the_thread_that_brings_the_click(core):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    await core.start()
    await until(lambda: core.strategy.active_orders)
    page = Page(cockpit(core))
    page.look()
    thread = threading.Thread(target=page.say, args=("red",), kwargs={"kind": "command", "number": 1, "do": "red"})
    thread.start()
    thread.join()  # the loop is blocked meanwhile
    assert core.strategy.paused
    assert page.frames("red", "answer")[0]["press"]["stage"] == "acting"
    await until(lambda: page.frames("red", "news")[-1]["press"]["stage"] == "done")
    assert page.frames("red", "news")[-1]["press"]["took"] is not None
    assert not market.in_flight_orders
    await until(lambda: (page.frames("red")[-1]["press"] or {}).get("stage") == "done")
    assert core.trading_state is TradingState.OFF


async def test_the_choice_of_the_pair(core):
    model = CockpitModel(core)
    with pytest.raises(InvalidInput, match="none yet"):
        model.command({"do": "choose", "market": "binance BTC/USDT"})
    with pytest.raises(NotSupported):
        model.command({"do": "dance"})
    await connect(core, mode="data")
    await connect(core, name="second")
    assert model.chosen() == f"binance {PAIR}"
    model.command({"do": "choose", "market": f"second {PAIR}"})
    assert model.frame(full=False).content["chosen"] == f"second {PAIR}"
    model.parts["depth"].frame(full=True)
    assert model.parts["depth"].model.source.market is core.connectors["second"]
    core.strategy = Quoter(core.connectors["binance"], PAIR)
    await core.remove_connector("second")
    assert model.chosen() == f"binance {PAIR}"


async def test_without_a_page(core):
    market = await connect(core)
    core.strategy = Quoter(market, PAIR)
    data, _ = cockpit(core)._repr_mimebundle_()
    for text in ("live switch of cockpit test", "health of cockpit test", "amount = 1"):
        assert text in data["text/plain"]
        assert text.split(" =")[0] in data["text/html"]


async def test_each_part_is_a_panel_of_its_own(core):
    for make, word in ((health, "ticks"), (switch, "off"), (red_button, "not pressed")):
        widget = make(core)
        assert word in repr(widget)
        assert "function connect(" in str(widget._esm)
        assert str(widget._esm).count("export default") == 1
        assert len(str(widget._esm)) + len(str(widget._css)) < 32_000


def test_one_script_of_all_parts():
    script = str(CockpitWidget._esm)
    assert script.count("export default") == 1
    assert script.count("function connect(") == 1
    for part in PARTS:
        assert f'"{part}": (() => {{' in script
        assert f".kit-{part} " in str(CockpitWidget._css)


async def test_the_red_button_takes_one_command(core):
    with pytest.raises(NotSupported):
        RedModel(core).command({"do": "cancel"})


async def test_a_part_that_shows_nothing_takes_no_command(core):
    with pytest.raises(NotReady, match="no strategy yet"):
        CockpitModel(core).parts["controls"].command({"do": "apply", "values": {}})
