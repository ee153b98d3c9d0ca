"""The cockpit and its parts as widgets. This module loads ipywidgets, so it is imported when the first is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.notebook.cockpit_model import CockpitModel
from kit.notebook.panel import Panel, PanelModel
from kit.notebook.red_model import RedModel
from kit.notebook.urgent_panel import UrgentPanel
from kit.notebook.widgets import LiveWidget, _read, closed_in


class HealthWidget(LiveWidget):
    """The verdicts, part by part."""

    _esm = _read("live.js", "health.js")
    _css = _read("live.css", "health.css")


class SwitchWidget(LiveWidget):
    """The live switch."""

    _esm = _read("live.js", "switch.js")
    _css = _read("live.css", "switch.css")


class RedWidget(LiveWidget):
    """The red button."""

    _esm = _read("live.js", "red.js")
    _css = _read("live.css", "red.css")

    def _panel_of(self, model: PanelModel) -> Panel:
        assert isinstance(model, RedModel)
        return UrgentPanel(model, self._send_frame, on_views=self._note_views)


PARTS = ("switch", "red", "depth", "orders", "price", "pnl", "controls", "balances", "health", "log")
"""Parts with a script and a style sheet of their name."""


def _script() -> str:
    """Return one script: what views share, each part closed in on itself, and what composes them."""
    parts = [f'"{name}": {closed_in(name)},' for name in PARTS]
    return "\n".join([_read("live.js", "canvas.js", "chart.js"), "const PARTS = {", *parts, "};", _read("cockpit.js")])


class CockpitWidget(LiveWidget):
    """All parts of a core in one view, on one line to the page: each is a panel of its own, and hidden ones rest."""

    _esm = _script()
    _css = _read("live.css", *(f"{name}.css" for name in PARTS), "cockpit.css")

    def __init__(self, model: CockpitModel) -> None:
        self.panels: dict[str, Panel] = {}
        for name, part in model.parts.items():
            kind = UrgentPanel if name == "red" else Panel
            self.panels[name] = kind(part, self._sender(name))
        model.on_frame = self._rouse
        super().__init__(model)

    def _sender(self, part: str) -> Any:
        def send(content: dict[str, Any], buffers: list[bytes]) -> None:
            self.send({"part": part, **content}, buffers)

        return send

    def _send_frame(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.send({"part": "", **content}, buffers)

    def _receive(self, content: Mapping[str, Any]) -> None:
        panel = self.panels.get(str(content.get("part", "")), self.panel)
        panel.receive(content)

    def _rouse(self) -> None:
        """Take parts into the beat again that rested as nothing could change, and now something has."""
        for panel in self.panels.values():
            panel.rouse()

    def close(self) -> None:
        """End the line to the pages, for every part."""
        for panel in self.panels.values():
            panel.close()
        super().close()
