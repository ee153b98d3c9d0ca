import json
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kit.notebook import saving
from kit.notebook.health_rows import saving_rows
from kit.notebook.orders_model import OrdersModel
from kit.notebook.panel import Panel
from kit.notebook.saving import note, widget_state_saving
from kit.trading_core import TradingCore


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(saving, "_word", saving._Word())
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("JUPYTERLAB_DIR", str(tmp_path / "lab"))
    return tmp_path


def put(folder: Path, text: str) -> None:
    path = folder / "settings" / saving._PLUGIN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_settings_of_the_machine_tell(fresh: Path):
    assert widget_state_saving() is None  # no JupyterLab was ever here
    (fresh / "settings").mkdir()
    assert widget_state_saving() is False  # one that nobody changed
    put(fresh, '{\n// Save "it"\n/* all\nof it */\n"saveState": true\n}')
    assert widget_state_saving() is True
    put(fresh, '{"saveState": false}')
    assert widget_state_saving() is False


@pytest.mark.parametrize("text", ["", "{", "[]", '{"saveState": "yes"}', "{}"])
def test_settings_that_say_nothing_mean_the_default(fresh: Path, text: str):
    put(fresh, text)
    assert widget_state_saving() is False


def test_the_defaults_of_the_installation_count(fresh: Path):
    (fresh / "settings").mkdir()
    overrides = fresh / "lab" / "settings" / "overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps({"@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True}}))
    assert widget_state_saving() is True
    put(fresh, '{"saveState": false}')
    assert widget_state_saving() is False


def test_what_a_page_says_counts_more(fresh: Path):
    put(fresh, '{"saveState": true}')
    note(False)
    assert widget_state_saving() is False
    note(None)
    note("true")
    assert widget_state_saving() is False
    note(True)
    assert widget_state_saving() is True


def test_without_a_kernel_there_is_no_page(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    put(fresh, '{"saveState": true}')
    monkeypatch.delitem(sys.modules, "ipykernel")
    assert widget_state_saving() is None


def test_it_is_warned_of_once(fresh: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            note(True)
            widget_state_saving()
    assert caplog.text.count("Save Widget State Automatically") == 1


def test_every_panels_page_tells(fresh: Path):
    panel = Panel(OrdersModel(TradingCore("saving")), lambda content, buffers: None)
    panel.receive({"kind": "view", "id": "a", "visible": True, "paint": False, "saving": True})
    assert widget_state_saving() is True
    panel.receive({"kind": "view", "id": "a", "visible": True, "paint": False})  # a page that does not know
    assert widget_state_saving() is True


def test_health_shows_it_only_where_there_is_something_to_do():
    assert saving_rows(None) == saving_rows(False) == []
    [row] = saving_rows(True)
    assert row.verdict == "look"
    assert "Save Widget State Automatically" in row.detail
