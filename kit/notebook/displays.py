"""Every object of the kit that draws itself, and how: the drawer that ``kit`` hands to ``kit.types.drawn``.

A drawing has three forms of one content: in a kernel a live panel, elsewhere HTML that needs no script and no style
sheet, and text. The classes are named by text, so that showing one loads none of the others.
"""

from __future__ import annotations

import importlib
import logging
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from kit.core.affinity import LoopAffinity
from kit.notebook.drawing import Drawing
from kit.types.drawn import Bundle

if TYPE_CHECKING:
    from kit.notebook.widgets import LiveWidget

logger = logging.getLogger(__name__)

DRAWN: Final = {
    "kit.connectors.connector:Connector": "draw_market:draw_connector",
    "kit.core.clock:Clock": "draw_core:draw_clock",
    "kit.guard.guard:Guard": "draw_core:draw_guard",
    "kit.market.order_book:OrderBook": "draw_market:draw_book",
    "kit.orders.balances:Balances": "draw_orders:draw_balances",
    "kit.orders.in_flight_order:InFlightOrder": "draw_orders:draw_order",
    "kit.storage.recorder:Recorder": "draw_core:draw_recorder",
    "kit.strategy.live_params:LiveParams": "draw_strategy:draw_live_params",
    "kit.strategy.params:Params": "draw_strategy:draw_params",
    "kit.strategy.session_recorder:SessionRecording": "draw_core:draw_session",
    "kit.strategy.strategy_base:StrategyBase": "draw_strategy:draw_strategy",
    "kit.testnet.process:Testnet": "draw_core:draw_testnet",
    "kit.trading.switch:LiveSwitch": "draw_core:draw_switch",
    "kit.trading.core_run:StopReport": "draw_core:draw_stop_report",
    "kit.trading_core:TradingCore": "draw_core:draw_core",
    "kit.types.market:TradingRule": "draw_market:draw_rule",
    "kit.types.orders:LimitOrder": "draw_orders:draw_limit_order",
}
"""Who draws what, subclasses included."""

_panels: weakref.WeakKeyDictionary[object, weakref.ref[LiveWidget]] = weakref.WeakKeyDictionary()
"""Weak on both sides, as a panel knows its object: open panels are kept by ipywidgets."""


def draw(thing: object) -> Bundle:
    """Return the pictures of an object by MIME type."""
    try:
        drawing = _on_its_loop(thing, _drawer_of(type(thing)))
        plain = {"text/plain": drawing.text, "text/html": drawing.html}
        if drawing.live is None or not in_kernel():
            return plain
        data, metadata = _panel(thing, drawing.live)._repr_mimebundle_()  # its name in notebooks
    except Exception:
        # A picture that fails must not hide the object, nor look like a failure of the cell.
        logger.exception("%s cannot be drawn", type(thing).__name__)
        return {"text/plain": repr(thing)}
    return {**data, **plain}, metadata


def _drawer_of(kind: type) -> Callable[[Any], Drawing]:
    for base in kind.__mro__:
        found = DRAWN.get(f"{base.__module__}:{base.__qualname__}")
        if found is not None:
            module, _, name = found.partition(":")
            drawer: Callable[[Any], Drawing] = getattr(importlib.import_module(f"kit.notebook.{module}"), name)
            return drawer
    return lambda thing: Drawing("", repr(thing))


def _on_its_loop(thing: object, drawer: Callable[[Any], Drawing]) -> Drawing:
    affinity = getattr(thing, "affinity", None)
    if isinstance(affinity, LoopAffinity):
        return affinity.read(drawer, thing)
    return drawer(thing)


def _panel(thing: object, make: Callable[[], LiveWidget]) -> LiveWidget:
    """Return the panel of an object: shown twice, it is one panel with two views."""
    if type(thing).__hash__ is None:  # as of a dataclass of the user's: nothing can be kept by it
        return make()
    known = _panels.get(thing)
    panel = known() if known is not None else None
    if panel is None:
        panel = make()
        _panels[thing] = weakref.ref(panel)
    return panel


def in_kernel() -> bool:
    """Tell whether there is a notebook to answer to; IPython is not loaded for that."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
