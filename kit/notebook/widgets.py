"""Panels as anywidgets. This module loads ipywidgets, so it is imported when the first panel is made."""

from __future__ import annotations

import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

from kit.notebook.panel import Panel, PanelModel
from kit.notebook.subshell import EVIDENCE, route

STATIC: Final = Path(__file__).parent / "static"

MAX_UNSEEN: Final = 32
"""Panels that no page shows and that keep their line to the pages nevertheless, for a page that is loaded again."""

_unseen: OrderedDict[int, weakref.ref[LiveWidget]] = OrderedDict()
_lock = threading.RLock()


def _read(*names: str) -> str:
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


_EXPORT: Final = re.compile(r"^export default \{ render \};\s*$", re.MULTILINE)


def closed_in(name: str) -> str:
    """Return a panel's script as an expression: an object with its ``render``, whose names disturb nobody."""
    return f"(() => {{\n{_EXPORT.sub('return { render };', _read(f'{name}.js'))}\n}})()"


class LiveWidget(anywidget.AnyWidget):
    """A panel on the page: sends what the model says, hands over what the page says, holds no state itself.

    Its line to the page (a comm) ends when 32 other panels were left unseen after it, as when a cell is run again and
    again; shown again, it opens a new one. Where no widget manager exists it shows as plain HTML or text; where one
    does but no kernel, as on a page exported with the state of widgets, the page shows ``snapshot``, that same HTML.
    """

    snapshot = traitlets.Unicode().tag(sync=True)

    def __init__(self, model: PanelModel) -> None:
        self.panel = self._panel_of(model)
        super().__init__()
        self.on_msg(self._on_page_message)
        self._note_views()

    @property
    def model(self) -> PanelModel:
        """Return what the panel shows."""
        return self.panel.model

    def _panel_of(self, model: PanelModel) -> Panel:
        return Panel(model, self._send_frame, on_views=self._note_views)

    def open(self) -> None:
        """Open the line to the pages; their messages come while a cell runs, too, where the kernel can do that."""
        super().open()
        route(self.comm)

    def _send_frame(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.send(content, buffers)

    def _on_page_message(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        EVIDENCE.note()
        self._receive(content)

    def _receive(self, content: Mapping[str, Any]) -> None:
        self.panel.receive(content)

    def _note_views(self) -> None:
        with _lock:
            _unseen.pop(id(self), None)
            if not self.panel.views and self.comm is not None:
                _unseen[id(self)] = weakref.ref(self)
            while len(_unseen) > MAX_UNSEEN:
                _, oldest = _unseen.popitem(last=False)
                if (widget := oldest()) is not None:
                    widget.close()

    def close(self) -> None:
        """End the line to the pages; showing the panel again opens a new one."""
        self.panel.close()
        with _lock:
            _unseen.pop(id(self), None)
        super().close()
        # ipywidgets takes the method away from closed widgets, so that they could never be shown again.
        self.__dict__.pop("_repr_mimebundle_", None)

    def __repr__(self) -> str:
        return self.model.text()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self.snapshot = self.model.html()
        if self.comm is None:
            self._model_id = None
            self.open()
            self._note_views()
        data, metadata = super()._repr_mimebundle_() or ({}, {})
        return {**data, "text/plain": self.model.text(), "text/html": self.snapshot}, metadata


class DepthWidget(LiveWidget):
    """The depth chart on a canvas."""

    _esm = _read("live.js", "canvas.js", "depth.js")
    _css = _read("live.css", "depth.css")


class LadderWidget(LiveWidget):
    """The ladder as a table."""

    _esm = _read("live.js", "ladder.js")
    _css = _read("live.css", "ladder.css")


class OrdersWidget(LiveWidget):
    """The table of orders, with a button to cancel in each row."""

    _esm = _read("live.js", "orders.js")
    _css = _read("live.css", "orders.css")


class PriceWidget(LiveWidget):
    """The price over time on a canvas."""

    _esm = _read("live.js", "canvas.js", "chart.js", "price.js")
    _css = _read("live.css", "price.css")


class PnlWidget(LiveWidget):
    """Profit and inventory over time on a canvas, the figures of now beside it."""

    _esm = _read("live.js", "canvas.js", "chart.js", "pnl.js")
    _css = _read("live.css", "pnl.css")


class BalancesWidget(LiveWidget):
    """The accounts as a table."""

    _esm = _read("live.js", "balances.js")
    _css = _read("live.css", "balances.css")


class LogWidget(LiveWidget):
    """Errors, and the last lines of the log."""

    _esm = _read("live.js", "log.js")
    _css = _read("live.css", "log.css")


class ControlsWidget(LiveWidget):
    """The form of parameters."""

    _esm = _read("live.js", "controls.js")
    _css = _read("live.css", "controls.css")


class StrategyWidget(LiveWidget):
    """The form of parameters, and why the strategy quotes what it quotes."""

    _esm = "\n".join([_read("live.js"), f"const CONTROLS = {closed_in('controls')};", _read("strategy.js")])
    _css = _read("live.css", "controls.css", "strategy.css")
