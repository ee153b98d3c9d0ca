"""The panels to ask for by name: live in JupyterLab, Notebook 7 and Voilà, still pictures elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.notebook.widgets import ControlsWidget, DepthWidget, LadderWidget, OrdersWidget
    from kit.strategy.strategy_base import StrategyBase
    from kit.trading_core import TradingCore


def depth(market: Connector, pair: str, *, levels: int = 200) -> DepthWidget:
    """Show the live depth of a pair, own orders marked on the curve.

    ``levels`` a side are drawn, 1 to 2000; cumulative amounts in base by price in quote. Raises ``InvalidInput`` and
    ``UnknownPair``.
    """
    from kit.notebook.depth_model import DepthModel
    from kit.notebook.widgets import DepthWidget

    return DepthWidget(DepthModel(market, pair, levels))


def ladder(market: Connector, pair: str, *, levels: int = 10) -> LadderWidget:
    """Show the best ``levels`` of each side (1 to 100) live, own orders marked.

    Prices in quote, amounts in base. Raises ``InvalidInput`` and ``UnknownPair``.
    """
    from kit.notebook.ladder_model import LadderModel
    from kit.notebook.widgets import LadderWidget

    return LadderWidget(LadderModel(market, pair, levels))


def orders(core: TradingCore) -> OrdersWidget:
    """Show the orders in flight live, each with a button that cancels it; amounts in base, prices in quote."""
    from kit.notebook.orders_model import OrdersModel
    from kit.notebook.widgets import OrdersWidget

    return OrdersWidget(OrdersModel(core))


def controls(strategy: StrategyBase, only: Iterable[str] | None = None) -> ControlsWidget:
    """Show a form of a strategy's parameters, made from their description: bounds, units, documentation.

    Fractions show as percent. What is entered is checked and applied as one set: by the Apply button, or at each change
    when "live" is on; changes made in code show at once. ``only`` names the parameters to show, in that order. Raises
    ``InvalidInput`` for a name that is no parameter.
    """
    from kit.notebook.controls_model import ControlsModel
    from kit.notebook.widgets import ControlsWidget

    return ControlsWidget(ControlsModel(strategy, only))
