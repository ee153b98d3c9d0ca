"""Where a core lives: on which loop, with which tasks and lock, and after whom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from kit.core.affinity import LoopAffinity
from kit.core.error_list import ErrorList
from kit.core.tasks import TaskSupervisor
from kit.trading.clock_members import ClockMembers
from kit.trading.connector_door import HostingCore
from kit.trading.core_loop import CoreLoop, LoopKind
from kit.trading.core_run import CoreRun
from kit.trading.log_feed import CoreLog
from kit.trading.predecessor import Predecessor
from kit.trading.strategy_place import StrategyPlace

logger = logging.getLogger(__name__)

T = TypeVar("T")


class HousedCore(HostingCore, Protocol):
    """What is asked of a core that a loop is found for."""

    errors: ErrorList


class CoreHome:
    """Finds a core a loop of ``kind`` when it first needs one, and another one when that loop is gone.

    ``changing`` is the lock that the core is changed under. While there is a ``predecessor`` the core does nothing.
    """

    def __init__(
        self,
        core: HousedCore,
        kind: LoopKind,
        core_log: CoreLog,
        members: ClockMembers,
        place: StrategyPlace,
        run: CoreRun,
    ) -> None:
        self._core = core
        self._loop = CoreLoop(kind, core.name)
        self._core_log = core_log
        self._members = members
        self._place = place
        self._run = run
        self.changing = asyncio.Lock()
        self.predecessor: Predecessor | None = None

    @property
    def kind(self) -> LoopKind:
        """Return whether it is the caller's loop or one in a thread of its own."""
        return self._loop.kind

    def __repr__(self) -> str:
        return f"<CoreHome of {self._core.name!r}: loop {self.kind!r}, {self._core.affinity}>"

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine on the core's loop, from any loop; raises as ``Predecessor.gone``."""
        try:
            await self._settle()
        except BaseException:
            coroutine.close()
            raise
        return await self._core_log.run(self._core.affinity.run(coroutine))

    async def _settle(self) -> None:
        if self.predecessor is not None:
            await self._outlive(self.predecessor)
        self.settle_now()

    async def _outlive(self, predecessor: Predecessor) -> None:
        try:
            await predecessor.gone()
        except asyncio.CancelledError:  # it goes on stopping, and the next call waits for it
            raise
        except BaseException:
            self.predecessor = None
            raise
        self.predecessor = None

    def settle_now(self) -> None:
        """Move to a loop unless the core's own runs."""
        with self._loop.changing:
            loop = self._core.affinity.loop
            if loop is None or not loop.is_running():
                self._settle_on(self._loop.find())

    def _settle_on(self, loop: asyncio.AbstractEventLoop) -> None:
        core = self._core
        core.switch.abandoned()
        core.guarding.abandon()
        if left := core.connector_manager.abandon():
            logger.error("core %s: its event loop ended without stop(); orders that may be open: %s", core.name, left)
        self._run.forget()
        self.changing = asyncio.Lock()
        core.supervisor = TaskSupervisor(core.name)
        self._members.sync()
        self._live_on(loop)

    def _live_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        core = self._core
        core.affinity = LoopAffinity(loop, errors=core.errors)
        core.connector_manager.bind(core.supervisor, core.affinity)
        self._place.live_on(core.affinity)

    async def leave(self) -> None:
        """End the loop where it is the core's own; the core finds another one when it needs one again."""
        if await self._loop.end():
            self._live_on(None)
