"""The panels to ask for by name: live in JupyterLab, Notebook 7 and Voilà, still pictures elsewhere."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.notebook.cockpit_widget import CockpitWidget, HealthWidget, RedWidget, SwitchWidget
    from kit.notebook.key_entry import KeysWidget
    from kit.notebook.widgets import (
        BalancesWidget,
        ControlsWidget,
        DepthWidget,
        LadderWidget,
        LogWidget,
        OrdersWidget,
        PnlWidget,
        PriceWidget,
    )
    from kit.strategy.strategy_base import StrategyBase
    from kit.trading_core import TradingCore


def depth(market: Connector, pair: str, *, levels: int = 200) -> DepthWidget:
    """Show the live depth of a pair, own orders marked on the curve.

    ``levels`` a side are drawn, 1 to 2000; cumulative amounts in base by price in quote. Raises ``InvalidInput`` and
    ``UnknownPair``.
    """
    from kit.notebook.depth_model import DepthModel
    from kit.notebook.kinds import require_market
    from kit.notebook.widgets import DepthWidget

    return DepthWidget(DepthModel(require_market(market, "depth"), pair, levels))


def ladder(market: Connector, pair: str, *, levels: int = 10) -> LadderWidget:
    """Show the best ``levels`` of each side (1 to 100) live, own orders marked.

    Prices in quote, amounts in base. Raises ``InvalidInput`` and ``UnknownPair``.
    """
    from kit.notebook.kinds import require_market
    from kit.notebook.ladder_model import LadderModel
    from kit.notebook.widgets import LadderWidget

    return LadderWidget(LadderModel(require_market(market, "ladder"), pair, levels))


def orders(core: TradingCore) -> OrdersWidget:
    """Show the orders in flight live, each with a button that cancels it; amounts in base, prices in quote."""
    from kit.notebook.kinds import require_core
    from kit.notebook.orders_model import OrdersModel
    from kit.notebook.widgets import OrdersWidget

    return OrdersWidget(OrdersModel(require_core(core, "orders")))


def controls(strategy: StrategyBase, only: Iterable[str] | None = None) -> ControlsWidget:
    """Show a form of a strategy's parameters, made from their description: bounds, units, documentation.

    Fractions show as percent. What is entered is checked and applied as one set: by the Apply button, or at each change
    when "live" is on; changes made in code show at once. ``only`` names the parameters to show, in that order. Raises
    ``InvalidInput`` for a name that is no parameter.
    """
    from kit.notebook.controls_model import ControlsModel
    from kit.notebook.kinds import require_strategy
    from kit.notebook.widgets import ControlsWidget

    return ControlsWidget(ControlsModel(require_strategy(strategy, "controls"), only))


def price(market: Connector, pair: str) -> PriceWidget:
    """Show the mid price of a pair over time live, own fills as marks, own resting orders as lines.

    Prices in quote, one a second, from the core's ticks and while it is seen. Raises ``UnknownPair``.
    """
    from kit.notebook.kinds import require_market
    from kit.notebook.price_model import PriceModel
    from kit.notebook.widgets import PriceWidget

    return PriceWidget(PriceModel(require_market(market, "price"), pair))


def pnl(core: TradingCore) -> PnlWidget:
    """Show profit (quote) and inventory (base) of this session's fills over time, fees included, for each market."""
    from kit.notebook.kinds import require_core
    from kit.notebook.pnl_model import PnlModel
    from kit.notebook.widgets import PnlWidget

    return PnlWidget(PnlModel(require_core(core, "pnl")))


def balances(core: TradingCore) -> BalancesWidget:
    """Show what each account holds live: total, available, in orders, worth in the quote of its first pair."""
    from kit.notebook.balances_model import BalancesModel
    from kit.notebook.kinds import require_core
    from kit.notebook.widgets import BalancesWidget

    return BalancesWidget(BalancesModel(require_core(core, "balances")))


def log(core: TradingCore, level: str = "info") -> LogWidget:
    """Show a core's errors, each with count and traceback, and the last lines of its log live.

    ``level`` is the least that is shown at first: ``debug``, ``info``, ``warning`` or ``error``; the panel's menu
    changes it. Raises ``InvalidInput`` for another.
    """
    from kit.notebook.kinds import require_core
    from kit.notebook.log_model import LogModel
    from kit.notebook.widgets import LogWidget

    return LogWidget(LogModel(require_core(core, "log"), level))


def cockpit(core: TradingCore) -> CockpitWidget:
    """Show all of a core in one view: live switch, start and stop, red button, and below them its panels.

    Those are depth, orders, price, profit, parameters, balances, health and log; each can be folded. It follows the
    core: markets that are added, another strategy. Shown twice it is one cockpit with two views.
    """
    from kit.notebook.cockpit_model import CockpitModel
    from kit.notebook.cockpit_widget import CockpitWidget
    from kit.notebook.kinds import require_core

    known = _cockpits.get(require_core(core, "cockpit"))
    widget = known() if known is not None else None
    if widget is None:
        widget = CockpitWidget(CockpitModel(core))
        _cockpits[core] = weakref.ref(widget)
    return widget


_cockpits: weakref.WeakKeyDictionary[TradingCore, weakref.ref[CockpitWidget]] = weakref.WeakKeyDictionary()
"""Weak on both sides, as a panel knows its core: open panels are kept by ipywidgets."""


def keys() -> KeysWidget:
    """Show the API keys that the kit finds, without themselves, and a form to store, try and remove them.

    What is typed goes into the system's keyring or, where there is none, into a file encrypted under a passphrase, and
    never into the notebook: it is sent once as a message of its own and cleared on the page. After that,
    ``core.add_connector("binance", …, mode="live")`` finds the key by itself.
    """
    from kit.notebook.key_entry import KeysWidget
    from kit.notebook.key_model import KeyModel

    return KeysWidget(KeyModel())


def health(core: TradingCore) -> HealthWidget:
    """Show how a core is, part by part: a figure and a verdict, good, look, bad, or off."""
    from kit.notebook.cockpit_widget import HealthWidget
    from kit.notebook.health_model import HealthModel
    from kit.notebook.kinds import require_core

    return HealthWidget(HealthModel(require_core(core, "health")))


def switch(core: TradingCore) -> SwitchWidget:
    """Show the live switch of a core: off, paper, armed, live, with the pre-flight checks and the confirmation."""
    from kit.notebook.cockpit_widget import SwitchWidget
    from kit.notebook.kinds import require_core
    from kit.notebook.switch_model import SwitchModel

    return SwitchWidget(SwitchModel(require_core(core, "switch")))


def red_button(core: TradingCore) -> RedWidget:
    """Show the red button of a core; one click cancels all, also while a cell blocks the kernel where that works.

    ``kit.notebook.red_path()`` tells whether it does here.
    """
    from kit.notebook.cockpit_widget import RedWidget
    from kit.notebook.kinds import require_core
    from kit.notebook.red_model import RedModel

    return RedWidget(RedModel(require_core(core, "red_button")))
