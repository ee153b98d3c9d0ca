"""What the live switch needs of a core."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from kit.connectors.connector import Connector
from kit.connectors.connector_manager import ConnectorManager
from kit.core.clock import Clock
from kit.core.tasks import TaskSupervisor
from kit.guard.guarding import Guarding
from kit.strategy.strategy_base import StrategyBase


class SwitchedCore(Protocol):
    """A core as its switch, its pre-flight and its auto-disarm see it."""

    name: str
    clock: Clock
    supervisor: TaskSupervisor
    connector_manager: ConnectorManager
    guarding: Guarding

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
