"""What the live switch needs of a core."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from kit.connectors.connector import Connector
from kit.connectors.connector_manager import ConnectorManager
from kit.core.affinity import LoopAffinity
from kit.core.clock import Clock
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput
from kit.guard.guarding import Guarding
from kit.strategy.strategy_base import StrategyBase
from kit.trading.watching import ReadOnly


def traded_pairs(core: SwitchedCore, connector: Connector) -> tuple[str, ...]:
    """Return the strategy's pair where the connector is its market, else all that the connector streams."""
    strategy = core.strategy
    if strategy is None or not strategy.markets or strategy.market is not connector:
        return connector.trading_pairs
    try:
        return (strategy.trading_pair,)
    except InvalidInput:  # it chooses by itself
        return connector.trading_pairs


class SwitchedCore(Protocol):
    """A core as its switch, its pre-flight and its auto-disarm see it."""

    name: str
    clock: Clock
    affinity: LoopAffinity
    supervisor: TaskSupervisor
    connector_manager: ConnectorManager
    guarding: Guarding

    @property
    def read_only(self) -> ReadOnly | None:
        """Return who else runs the core, ``None`` where this process does."""
        ...

    @property
    def connectors(self) -> Mapping[str, Connector]:
        """Return the connectors by name."""
        ...

    @property
    def strategy(self) -> StrategyBase | None:
        """Return the strategy."""
        ...

    @property
    def running(self) -> bool:
        """Tell whether the clock ticks."""
        ...

    @property
    def changing(self) -> asyncio.Lock:
        """Return what is held while connectors or the state change."""
        ...

    def account_changed(self, connector: Connector) -> None:
        """Follow a connector that trades with another account from now on."""
        ...
