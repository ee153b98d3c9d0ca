"""The live switch as a panel: what it shows, and how clicks become what the core does."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from kit.core.affinity import LoopAffinity
from kit.errors import InvalidInput, NotReady, NotSupported
from kit.notebook.errands import Errands
from kit.notebook.switch_model import SwitchModel
from kit.trading.checks import Check
from kit.trading.core_run import StopReport
from kit.trading.switch import TradingState

CHECKS = (
    Check("credentials", "binance", "passed", "the key may trade"),
    Check("clock", "binance", "failed", "1.4 s behind: set the clock"),
)


class Elsewhere:
    seen = SimpleNamespace(trading_state="live")

    def __str__(self):
        return "core 'main' runs in pid 12"


class Strategy:
    name, paused, pause_reason, cancelled = "Quoter", False, "", 0

    def pause(self, reason):
        self.paused, self.pause_reason = True, reason

    def resume(self):
        self.paused, self.pause_reason = False, ""

    def cancel_all(self):
        self.cancelled += 1


class Core:
    """As much of a core as the switch panel reads and commands."""

    def __init__(self):
        self.name, self.affinity = "main", LoopAffinity(None)
        self.clock = SimpleNamespace(time=lambda: 100.0)
        self.in_use = self.running = True
        self.read_only = None
        self.strategy = Strategy()
        self.connectors = {"binance": SimpleNamespace(mode="paper", trading_pairs=("BTC/USDT", "ETH/USDT"))}
        url = "http://127.0.0.1:8123"
        self.connector_manager = SimpleNamespace(endpoint_of=lambda name: url)
        self.switch = SimpleNamespace(
            state=TradingState.PAPER, since=90.0, reason="", busy="", checks=(), last_word="",
            confirmations=("binance", "BTC/USDT"), rules=SimpleNamespace(armed_for=60.0),
        )  # fmt: skip
        self.calls = []
        self.gate = asyncio.Event()
        self.error = None

    def __getattr__(self, name):
        if name not in {"arm", "confirm_live", "go_paper", "go_off", "start", "stop"}:
            raise AttributeError(name)

        async def call(*args):
            self.calls.append((name, *args))
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return {"stop": StopReport({}, []), "arm": CHECKS}.get(name, f"{name} done")

        return call


@pytest.fixture
async def core():
    core = Core()
    yield core
    core.gate.set()
    await settle()


async def settle():
    for _ in range(6):
        await asyncio.sleep(0)


def read(model):
    return model.frame(full=True).content


async def test_it_shows_state_accounts_and_what_confirms(core):
    model = SwitchModel(core)
    shown = read(model)
    json.dumps(shown)
    assert (shown["state"], shown["running"], shown["confirmations"]) == ("paper", True, ["binance", "BTC/USDT"])
    assert shown["accounts"] == [["binance", "paper", "BTC/USDT, ETH/USDT", "testnet at 127.0.0.1:8123"]]
    assert shown["strategy"] == {"name": "Quoter", "paused": False, "reason": ""}
    assert set(shown["meanings"]) == {state.value for state in TradingState}
    assert model.frame(full=False) is None
    core.switch.reason = "loop lag 2.1 s"
    assert model.frame(full=False).content["reason"] == "loop lag 2.1 s"


async def test_an_armed_core_tells_until_when(core):
    model = SwitchModel(core)
    assert read(model)["until"] is None
    core.switch.state = TradingState.ARMED
    assert read(model)["until"] == 150.0


async def test_before_the_other_process_told_anything_the_state_is_its_own(core):
    core.read_only = Elsewhere()
    core.read_only.seen = None
    assert read(SwitchModel(core))["state"] == "paper"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (None, ""),
        ("http://localhost:80", "testnet at localhost:80"),
        ("https://testnet.example.com", "testnet.example.com"),
    ],
)
async def test_only_a_loopback_address_is_called_a_testnet(core, url, told):
    core.connector_manager.endpoint_of = lambda name: url
    assert read(SwitchModel(core))["accounts"][0][3] == told


@pytest.mark.parametrize(
    ("do", "call", "busy"),
    [
        ("off", ("go_off",), "going off"),
        ("paper", ("go_paper",), "going to paper"),
        ("arm", ("arm",), "checking"),
        ("start", ("start",), "starting"),
        ("stop", ("stop",), "stopping"),
    ],
)
async def test_a_click_begins_and_a_frame_tells_the_end(core, do, call, busy):
    model = SwitchModel(core)
    assert model.command({"do": do}) == {"text": ""}
    await settle()
    assert core.calls == [call]
    assert read(model)["busy"] == busy
    with pytest.raises(NotReady, match=busy):
        model.command({"do": do if do in {"off", "stop"} else "paper"})
    core.gate.set()
    await settle()
    shown = read(model)
    assert shown["busy"] == ""
    assert shown["outcome"][:3] == [1, busy, True]
    assert core.calls == [call]


@pytest.mark.parametrize(("do", "call"), [("off", ("go_off",)), ("stop", ("stop",))])
async def test_going_off_waits_for_nothing(core, do, call):
    model = SwitchModel(core)
    model.command({"do": "arm"})
    await settle()
    model.command({"do": do})
    await settle()
    assert core.calls == [("arm",), call]
    core.gate.set()
    await settle()
    shown = read(model)
    assert shown["busy"] == ""
    assert shown["outcome"][1] in {"going off", "stopping"}


async def test_what_went_wrong_is_told(core):
    core.error = NotReady("binance: the exchange has not confirmed")
    core.gate.set()
    model = SwitchModel(core)
    model.command({"do": "paper"})
    await settle()
    assert read(model)["outcome"] == [1, "going to paper", False, "binance: the exchange has not confirmed"]


@pytest.mark.parametrize("text", ["binance", " BTC/USDT ", "btc/usdt"])
async def test_live_needs_a_name_typed(core, text):
    SwitchModel(core).command({"do": "confirm", "text": text})
    await settle()
    assert core.calls == [("confirm_live", text.strip())]


@pytest.mark.parametrize("text", ["", "yes", "binanc", "BTC", None, 7])
async def test_another_text_does_not_confirm(core, text):
    with pytest.raises(InvalidInput, match="type binance or BTC/USDT"):
        SwitchModel(core).command({"do": "confirm", "text": text})
    await settle()
    assert core.calls == []


async def test_pause_cancels_and_resume_goes_on(core):
    model = SwitchModel(core)
    model.command({"do": "pause"})
    assert (core.strategy.paused, core.strategy.cancelled) == (True, 1)
    assert read(model)["strategy"]["reason"] == "by hand"
    model.command({"do": "resume"})
    assert not core.strategy.paused
    core.strategy = None
    with pytest.raises(NotReady, match="no strategy"):
        model.command({"do": "pause"})


@pytest.mark.parametrize("do", ["off", "paper", "arm", "confirm", "start", "stop", "pause", "resume"])
async def test_who_only_looks_commands_nothing(core, do):
    core.read_only = Elsewhere()
    model = SwitchModel(core)
    shown = read(model)
    assert (shown["read_only"], shown["state"]) == ("core 'main' runs in pid 12", "live")
    with pytest.raises(NotReady, match="pid 12"):
        model.command({"do": do, "text": "binance"})
    await settle()
    assert core.calls == []


async def test_unknown_commands_are_refused(core):
    with pytest.raises(NotSupported):
        SwitchModel(core).command({"do": "explode"})


async def test_without_a_page(core):
    core.switch.checks, core.switch.reason = CHECKS, "loop <lag>"
    core.switch.last_word = "binance: 2 orders cancelled"
    model = SwitchModel(core)
    assert model.text().splitlines() == [
        "live switch of main: paper, simulated",
        "went back: loop <lag>",
        "the exchange: binance: 2 orders cancelled",
        "credentials on binance passed: the key may trade",
        "clock on binance failed: 1.4 s behind: set the clock",
    ]
    assert "loop &lt;lag&gt;" in model.html()
    assert "<td" in model.html()


async def test_it_ends_with_the_core_but_not_while_something_is_under_way(core):
    model = SwitchModel(core)
    model.command({"do": "stop"})
    core.in_use = False
    assert not model.ended
    core.gate.set()
    await settle()
    assert model.ended
    assert read(model)["outcome"][3].startswith("stopped: no order and no task is left")


async def test_a_defect_is_told_and_counted(core, caplog):
    errands = Errands("test")

    async def broken():
        raise ZeroDivisionError("no")

    errands.start("dividing", broken())
    await settle()
    assert (errands.what, errands.outcome.ok, errands.outcome.text) == ("", False, "ZeroDivisionError: no")
    assert "ZeroDivisionError" in caplog.text
