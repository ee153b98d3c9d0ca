"""The run of a core: from ``start()``, once everything may trade, to ``stop()``, after which nothing is left."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from kit.core.tasks import TaskSupervisor
from kit.errors import AuthenticationFailed, NotReady
from kit.trading.connector_door import ConnectorDoor, HostingCore
from kit.trading.instance import CoreInstance
from kit.trading.session_records import SessionRecords
from kit.trading.strategy_place import StrategyPlace
from kit.types.drawn import Drawn

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StopReport(Drawn):
    """What ``stop()`` left behind: client order ids by connector that may still be open, and tasks that did not end."""

    orders_left: dict[str, list[str]]
    tasks_left: list[str]

    @property
    def clean(self) -> bool:
        """Tell whether nothing was left."""
        return not any(self.orders_left.values()) and not self.tasks_left


class CoreRun:
    """Starts the clock of a core, and stops all of the core; for the core's loop."""

    def __init__(
        self,
        core: HostingCore,
        instance: CoreInstance,
        records: SessionRecords,
        place: StrategyPlace,
        door: ConnectorDoor,
    ) -> None:
        self._core = core
        self._instance = instance
        self._records = records
        self._place = place
        self._door = door
        self._clock_task: asyncio.Task[None] | None = None

    @property
    def ticking(self) -> bool:
        """Tell whether the clock ticks."""
        return self._clock_task is not None and not self._clock_task.done()

    def __repr__(self) -> str:
        return f"<CoreRun of {self._core.name!r}: {'the clock ticks' if self.ticking else 'stopped'}>"

    async def start(self) -> None:
        """See ``TradingCore.start``."""
        core = self._core
        async with core.changing:
            if core.running:
                return
            self.check_connectors()
            await core.switch.starting()
            self._clock_task = core.supervisor.spawn(self._run_clock(), name="clock")
            logger.info("core %s runs, a tick each %g s", core.name, core.clock.tick_size)
            core.switch.started()

    async def _run_clock(self) -> None:
        await self._core.clock.run()
        # Only a cancellation by stop() ends it on purpose.
        logger.error("core %s: the clock ended by itself; the strategy's orders are cancelled", self._core.name)
        self._place.cancel_all()
        self._core.switch.disarm("the clock ended by itself")

    def check_connectors(self) -> None:
        """Raise where the clock cannot begin: see ``TradingCore.start``."""
        for connector in self._core.connectors.values():
            if connector.mode != "data" and connector.trading_refused and self._place.strategy is not None:
                raise AuthenticationFailed(f"{connector.name} refuses to trade: {connector.trading_refused}")
            if not connector.readiness["network"]:
                raise NotReady(f"{connector.name} has no connection: {connector.last_error or 'not tried yet'}")
        self._place.check_markets(self._place.strategy)

    async def stop(self, timeout: float) -> StopReport:
        """See ``TradingCore.stop``."""
        core = self._core
        if self._clock_task is not None:
            await core.supervisor.cancel(self._clock_task)
        self._door.break_off()
        core.switch.abort()
        async with core.changing:
            self._clock_task = None
            try:
                orders_left = await self._door.empty(timeout)
            except BaseException:  # its connectors have ended in any case: another process may run it
                self._instance.release()
                raise
            await self._records.recordings.close()
            tasks_left = await core.supervisor.close()
            core.supervisor = TaskSupervisor(core.name)
            core.connector_manager.bind(core.supervisor, core.affinity)
            core.switch.stopped()
            self._instance.release()
            report = StopReport(orders_left, tasks_left)
            if report.clean:
                logger.info("core %s is stopped, nothing is left", core.name)
            else:
                logger.error("core %s stopped with remains: %s", core.name, report)
            return report

    def forget(self) -> None:
        """Let the clock's task be, as its loop is gone."""
        self._clock_task = None
