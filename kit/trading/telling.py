"""The running core tells what it does, once a second, to whoever asks for the core of its name elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from kit.connectors.connector import Connector
from kit.core.clock import Clock
from kit.core.time_source import TimeSource
from kit.guard.guard import Guard
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.session_log import SessionLog
from kit.trading.instance_lock import Instance
from kit.trading.state_file import StateFile, connector_entry
from kit.types.orders import Balance

if TYPE_CHECKING:
    from kit.strategy.strategy_base import StrategyBase
    from kit.trading.switch import LiveSwitch

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
TAIL: Final = 200
"""Ended orders of each account that are told, the newest."""


class ToldCore(Protocol):
    """What is told of a core."""

    name: str
    clock: Clock
    session_logs: dict[str, SessionLog]
    switch: LiveSwitch

    @property
    def running(self) -> bool:
        """Tell whether the clock ticks."""
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
    def guard(self) -> Guard | None:
        """Return the guard."""
        ...


class Telling:
    """Writes the state of a core into its file; ``urls`` are the addresses of stand-ins by connector."""

    def __init__(self, core: ToldCore, instance: Instance, file: StateFile, time_source: TimeSource) -> None:
        self.urls: dict[str, str | None] = {}
        self._core = core
        self._instance = instance
        self._file = file
        self._time_source = time_source
        self._ended: dict[str, tuple[tuple[float, int], dict[str, Any]]] = {}

    async def run(self) -> None:
        """Write about once a second until cancelled."""
        failed = ""
        while True:
            try:
                await self.tell()
                failed = ""
            except OSError as error:
                if str(error) != failed:
                    failed = str(error)
                    logger.warning("core %s: other processes are not told how it stands: %s", self._core.name, error)
            await self._time_source.sleep(INTERVAL)

    async def tell(self) -> None:
        """Write the state of now; raises ``OSError``."""
        await asyncio.to_thread(self._file.write, self.state())

    def state(self) -> dict[str, Any]:
        """Return what is told now, as values that do not change any more."""
        core = self._core
        return {
            "instance": self._instance,
            "written": self._time_source.time(),
            "running": core.running,
            "trading_state": core.switch.state.value,
            "reason": core.switch.reason,
            "strategy": "" if core.strategy is None else core.strategy.name,
            "health": self._health(),
            "connectors": [self._connector(name, connector) for name, connector in core.connectors.items()],
        }

    def _health(self) -> dict[str, Any]:
        stats, guard = self._core.clock.stats, self._core.guard
        return {
            "ticks": stats.ticks,
            "ticks_late": stats.ticks_late,
            "p99_lateness": stats.p99_lateness,
            "guard_alive": guard is not None and guard.state.alive,
            "ready": {name: connector.ready for name, connector in self._core.connectors.items()},
        }

    def _connector(self, name: str, connector: Connector) -> dict[str, Any]:
        balances = connector.balances
        accounts = {asset: Balance(balances.total(asset), balances.available(asset)) for asset in balances.assets}
        log = self._core.session_logs.get(name)
        orders = dict(connector.order_tracker.active_orders)
        if log is not None:
            orders = {order.client_order_id: order for order in islice(reversed(log.orders), TAIL)} | orders
        oldest_first = sorted(orders.values(), key=lambda order: order.creation_timestamp)
        entries = [self._order(order) for order in oldest_first]
        self._ended = {key: known for key, known in self._ended.items() if key in orders}
        return connector_entry(
            name, connector.mode, self.urls.get(name), accounts, entries, {} if log is None else log.totals
        )

    def _order(self, order: InFlightOrder) -> dict[str, Any]:
        if not order.is_done:
            return order.as_dict()
        stamp = order.last_update_timestamp, len(order.order_fills)
        known = self._ended.get(order.client_order_id)
        if known is None or known[0] != stamp:
            known = self._ended[order.client_order_id] = stamp, order.as_dict()
        return known[1]
