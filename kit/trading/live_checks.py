"""Prepares and checks live accounts for the switch; somebody who wants to stop or go back can break it off."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from kit.connectors.account_side import AccountSide
from kit.connectors.connector import Connector
from kit.core.time_source import TimeSource
from kit.errors import KitError, NotReady
from kit.trading.checks import Check, require_passed
from kit.trading.live_accounts import LiveAccounts
from kit.trading.preflight import Preflight
from kit.trading.switch_board import Standing
from kit.trading.switched_core import SwitchedCore

Sides = Sequence[tuple[Connector, AccountSide]]


class LiveChecks:
    """Runs the pre-flight of one core and notes its findings where the switch ``stands``; one at a time."""

    def __init__(self, core: SwitchedCore, stands: Standing, accounts: LiveAccounts, time_source: TimeSource) -> None:
        self._core = core
        self._stands = stands
        self._accounts = accounts
        self._time_source = time_source
        self._breakable: asyncio.Future[tuple[Check, ...]] | None = None

    @property
    def going(self) -> bool:
        """Tell whether there is something to break off."""
        return self._breakable is not None

    def __repr__(self) -> str:
        return f"<LiveChecks of {self._core.name!r}: {len(self._stands.checks)} found{', going' if self.going else ''}>"

    async def require(self, sides: Sides) -> None:
        """Check accounts; raises ``NotReady`` naming what failed, or when it was broken off."""
        require_passed(await self._unless_broken_off(self._check(sides)))

    async def prepare(self, connectors: Sequence[Connector]) -> tuple[Check, ...]:
        """Bring the live accounts of connectors up, and return what was found; ``NotReady`` when it was broken off."""
        return await self._unless_broken_off(self._prepare(connectors))

    def abort(self) -> None:
        """Break off what goes on."""
        if self._breakable is not None:
            self._breakable.cancel()

    def forget(self) -> None:
        """Let what goes on be, as its loop is gone."""
        self._breakable = None

    async def _prepare(self, connectors: Sequence[Connector]) -> tuple[Check, ...]:
        prepared = await asyncio.gather(*map(self._accounts.prepare, connectors), return_exceptions=True)
        sides, missing = [], []
        for connector, found in zip(connectors, prepared, strict=True):
            if isinstance(found, AccountSide):
                sides.append((connector, found))
                missing.append(Check("credentials", connector.name, "passed", "an API key and its secret are there"))
            elif isinstance(found, KitError):
                missing.append(Check("credentials", connector.name, "failed", str(found)))
            else:
                raise found
        return (*missing, *(await self._check(sides)))

    async def _check(self, sides: Sides) -> tuple[Check, ...]:
        self._stands.checks = await Preflight(self._core, sides, self._time_source).run()
        return self._stands.checks

    async def _unless_broken_off(self, work: Coroutine[Any, Any, tuple[Check, ...]]) -> tuple[Check, ...]:
        task = self._breakable = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and own.cancelling():
                raise
            raise NotReady(f"the checks of core {self._core.name} were broken off, as it goes back or stops") from None
        finally:
            task.cancel()
            self._breakable = None
