"""What the live switch needs of a core."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from kit.connectors.account_side import AccountSide
from kit.connectors.connector import Connector
from kit.connectors.connector_manager import ConnectorManager
from kit.core.affinity import LoopAffinity
from kit.core.clock import Clock
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, NotReady
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


def trading_connectors(core: SwitchedCore) -> list[Connector]:
    """Return the connectors that trade, live or on paper."""
    return [connector for connector in core.connectors.values() if connector.mode != "data"]


def is_live(connector: Connector) -> bool:
    """Tell whether a connector can trade a live account."""
    return connector.mode == "live" and not connector.trading_refused


def live_sides(core: SwitchedCore) -> list[tuple[Connector, AccountSide]]:
    """Return the live accounts that can trade, by their connectors."""
    return [(connector, connector.side) for connector in trading_connectors(core) if is_live(connector)]


def confirmations(core: SwitchedCore) -> tuple[str, ...]:
    """Return what may be typed to go live: the name of a connector or exchange, or a pair."""
    names: dict[str, None] = {}
    for connector in trading_connectors(core):
        exchange = core.connector_manager.exchange_of(connector.name)
        names |= dict.fromkeys((connector.name, exchange, *connector.trading_pairs))
    return tuple(names)


def require_running(core: SwitchedCore) -> None:
    """Raise ``NotReady`` where this process does not run the core, or nobody does."""
    if core.read_only is not None:
        raise NotReady(str(core.read_only))
    if not core.running:
        raise NotReady(f"core {core.name} does not run; first: await core.start()")


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
