"""What can be looked up and drawn of a core, beside its tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kit.connectors.connector import Connector
from kit.connectors.connector_manager import ConnectorManager
from kit.core.affinity import LoopAffinity
from kit.core.naming import ByName, Named
from kit.trading.pnl_history import PnlHistory, history_table
from kit.types.drawn import Drawn, plot

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


class CoreViews(Drawn, ByName):
    """Mixed into a core: ``core["binance"]``, the history of its profit, and figures of it."""

    affinity: LoopAffinity
    connector_manager: ConnectorManager
    history: PnlHistory

    @Named
    def connectors(self) -> Mapping[str, Connector]:
        """Return the connectors by name."""
        return self.connector_manager.connectors

    def __getitem__(self, name: str) -> Connector:
        """Return the connector of that name: ``core["binance"]``; raises ``InvalidInput`` naming those there are."""
        return self.connector_manager.get_connector(name)

    def _names(self) -> tuple[str, ...]:
        return tuple(self.connectors)

    @property
    def pnl_history(self) -> pd.DataFrame:
        """Return how this session's profit came about: one row a sample of a pair, oldest first.

        Columns: ``time`` (UTC), ``connector``, ``mode``, ``trading_pair``, ``price`` (mid, in quote), ``inventory``
        (base bought less sold, fees included), ``pnl`` and ``fees`` (quote), ``fills`` so far. The last quarter of an
        hour has a row a second, what is older ever fewer.
        """
        return history_table(self.affinity.read(self.history.rows))

    def plot_pnl(self, trading_pair: str | None = None, *, height: int = 620, template: Any = None) -> go.Figure:
        """Draw price with own fills, inventory and profit over time, with plotly.

        ``trading_pair`` chooses among several; the default is the one with most fills. ``template`` is plotly's; by
        default the figure can be read on light and on dark ground. Raises ``NotReady`` before the first sample, and
        ``InvalidInput`` for a pair that was not sampled.
        """
        figure: go.Figure = plot("plot_pnl", self, trading_pair=trading_pair, height=height, template=template)
        return figure
