"""What a core does about its guard: which connectors it covers, when it starts, what follows from its reports."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping

from kit.connectors.connector import Connector
from kit.connectors.connector_manager import ConnectorConfig
from kit.core.affinity import LoopAffinity
from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.errors import NotReady
from kit.guard.guard import Guard
from kit.guard.messages import GuardedAccount, GuardReport

logger = logging.getLogger(__name__)


class Guarding:
    """Keeps ``guard`` in step with a core: ``None`` for one that goes without, or has nothing live.

    ``connectors()`` are the core's. After a report the accounts are reconciled, so that the core knows at once what
    the exchange knows, and ``heard(report)`` is called, on the core's loop. ``halt(reason)`` must keep the strategy
    from placing orders; it is called from any thread.
    """

    def __init__(
        self,
        guard: Guard | None,
        connectors: Callable[[], Mapping[str, Connector]],
        halt: Callable[[str], None],
        time_source: TimeSource,
    ) -> None:
        self.guard = guard
        self.heard: Callable[[GuardReport], None] = lambda _: None
        self._connectors = connectors
        self._time_source = time_source
        self._supervisor: TaskSupervisor | None = None
        self._affinity = LoopAffinity(None)
        self._owed: set[str] = set()
        if guard is not None:
            guard.on_report = self._on_report
            guard.on_command = lambda reason: halt(f"orders are cancelled by the guard: {reason}")
            guard.on_lost = halt

    @contextlib.contextmanager
    def connecting(self, config: ConnectorConfig) -> Iterator[None]:
        """Start the process while a live connector connects, so that nobody waits for it; end it when that failed."""
        if self.guard is not None and config.mode == "live":
            self.guard.begin(config.exchange_id)
        try:
            yield
        except BaseException:
            if self.guard is not None and self.guard.running and not self.guard.accounts:
                self.guard.drop()
            raise

    async def cover(
        self, connector: Connector, config: ConnectorConfig, supervisor: TaskSupervisor, affinity: LoopAffinity
    ) -> None:
        """Hand a live connector to the guard and wait until it has it; raises ``NotReady`` when it does not answer."""
        if self.guard is None:
            return
        if config.mode != "live" or config.credentials is None:
            if connector.side_of("live") is None:  # else it is one on paper that has gone live
                await self.release(connector.name, [])  # it may have taken the place of a live one
            return
        account = GuardedAccount(
            connector.name, config.exchange_id, config.url, config.credentials, connector.trading_pairs
        )
        self._affinity = affinity
        if supervisor is not self._supervisor:
            self._supervisor = supervisor
            supervisor.spawn(self._keep_beating(self.guard), name="heartbeat")
        await self.guard.cover(account)
        self._owed.discard(connector.name)  # it tracks its orders again

    def owe(self, name: str) -> None:
        """Note that orders of a connector that is gone may be open: the guard keeps it, and cancels them at the end."""
        self._owed.add(name)

    async def _keep_beating(self, guard: Guard) -> None:
        while True:
            guard.beat()
            for name in guard.accounts:
                connector = self._connectors().get(name)
                if connector is not None:
                    guard.update_pairs(name, connector.trading_pairs)
            await self._time_source.sleep(guard.beat_interval)

    async def release(self, name: str, left: list[str]) -> None:
        """End the guarding of a connector that was removed, unless orders of it may be ``left``."""
        if left:
            self.owe(name)
        if self.guard is None or name in self._owed:
            return
        self.guard.forget(name)
        if not self.guard.accounts:
            await self.guard.stop()

    async def end(self, *, clean: bool) -> None:
        """End the guard; one whose core leaves orders behind goes on until they are cancelled."""
        self._supervisor = None
        clean = clean and not self._owed
        self._owed.clear()
        if self.guard is None:
            return
        if clean:
            await self.guard.stop()
        else:
            self.guard.let_go("the core stopped, and orders may be left")

    def __repr__(self) -> str:
        return f"<Guarding: {self.guard or 'no guard'}>"

    def abandon(self) -> None:
        """Leave what is open to the guard, as the core's loop is gone."""
        self._supervisor = None
        self._owed.clear()
        if self.guard is not None:
            self.guard.let_go("the core's event loop ended without stop()")

    def _on_report(self, report: GuardReport) -> None:
        harmless = report.verified and not report.count
        level = logging.INFO if harmless else logging.WARNING if report.verified else logging.ERROR
        logger.log(level, "the guard: %s", report)
        try:
            self._affinity.call(self._act_on, report)
        except NotReady:
            logger.warning("the guard's report comes to a loop that is gone")

    def _act_on(self, report: GuardReport) -> None:
        self.heard(report)
        for name in report.cancelled:
            connector = self._connectors().get(name)
            if connector is None or connector.user_stream_tracker is None or self._supervisor is None:
                continue
            self._supervisor.spawn(connector.user_stream_tracker.poll(), name=f"reconcile {name} after the guard")
