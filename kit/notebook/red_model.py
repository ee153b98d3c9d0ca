"""The red button as a panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kit.errors import NotReady, NotSupported
from kit.notebook.core_model import CoreModel, WholeFrames
from kit.notebook.formats import escape
from kit.notebook.subshell import red_path

if TYPE_CHECKING:
    from kit.trading.red_button import RedPress
    from kit.trading_core import TradingCore


class RedModel(WholeFrames, CoreModel):
    """The red button of a core, and what became of its last press."""

    def __init__(self, core: TradingCore) -> None:
        super().__init__(core, "red button")

    def _read(self) -> dict[str, Any]:
        connectors = self.core.connectors
        guard = self.core.guard
        return {
            "core": self.core.name,
            "accounts": [name for name, connector in connectors.items() if connector.mode != "data"],
            "open": sum(len(connector.in_flight_orders) for connector in connectors.values()),
            "path": red_path().text,
            "guarded": guard is not None and bool(guard.accounts),
            "stall_limit": guard.stall_limit if guard is not None else None,
            "elsewhere": "" if self.core.read_only is None else self.core.read_only.where_to_press,
            "press": _press(self.core.red_button.last),
        }

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Press: ``{"do": "red"}``; on any thread."""
        if message.get("do") != "red":
            raise NotSupported(f"the red button takes no command {message.get('do')!r}")
        if view := self.core.read_only:
            raise NotReady(view.where_to_press)
        return {"press": _press(self.core.red_button("the red button in the notebook"))}

    def follow(self, tell: Callable[[Mapping[str, Any]], None]) -> Callable[[], None]:
        """Tell of every change of a press, on the thread that brings it; returns what ends that."""
        return self.core.red_button.add_listener(lambda press: tell({"press": _press(press)}))

    def text(self) -> str:
        """Return what the last press did, in a line."""
        return f"{self.name}: {self.core.red_button.last or 'not pressed'}; in code: core.red_button()"

    def html(self) -> str:
        """Return the same; a button that does nothing would be worse than none."""
        return f"<div>{escape(self.text())}</div>"


def _press(press: RedPress | None) -> dict[str, Any] | None:
    if press is None:
        return None
    return {
        "number": press.number,
        "time": press.time,
        "stage": press.stage,
        "text": press.text,
        "took": press.took,
        "ways": [[way.name, way.stage, way.text] for way in press.ways],
    }
