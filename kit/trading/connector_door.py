"""Lets connectors into a core and out of it: connected, guarded, checked and logged, in this order, or not at all."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from kit.connectors.connector import Connector
from kit.connectors.connector_manager import ConnectorConfig, configure
from kit.errors import NotReady
from kit.trading.clock_members import ClockMembers
from kit.trading.instance import CoreInstance
from kit.trading.session_records import SessionRecords
from kit.trading.strategy_place import StrategyPlace
from kit.trading.switch import LiveSwitch
from kit.trading.switched_core import SwitchedCore
from kit.types.drawn import warm

logger = logging.getLogger(__name__)


class HostingCore(SwitchedCore, Protocol):
    """What is asked of a core that connectors come to."""

    switch: LiveSwitch


class ConnectorDoor:
    """Adds and removes connectors, one at a time, under the lock that the core is changed under.

    One that fails a step is gone again when the call raises, also when it was interrupted. ``tables`` loads pandas
    before it connects. For the core's loop.
    """

    def __init__(
        self,
        core: HostingCore,
        instance: CoreInstance,
        records: SessionRecords,
        members: ClockMembers,
        place: StrategyPlace,
        *,
        tables: bool,
    ) -> None:
        self._core = core
        self._instance = instance
        self._records = records
        self._members = members
        self._place = place
        self._tables = tables
        self._adding: asyncio.Task[Connector] | None = None
        core.connector_manager.before_removal = place.let_go

    def __repr__(self) -> str:
        return f"<ConnectorDoor of {self._core.name!r}{': one comes in' if self._adding is not None else ''}>"

    # -- in --------------------------------------------------------------------------------------------------------

    async def add(self, exchange_id: str, trading_pairs: Sequence[str], **options: Any) -> Connector:
        """See ``TradingCore.add_connector``; ``options["paper"]`` are the settings of paper alone."""
        core = self._core
        asked = configure(exchange_id, options["mode"], options["endpoint"], options["credentials"], options["paper"])
        async with core.changing:
            try:
                connector, fresh = await self._bring_up(exchange_id, trading_pairs, options, asked)
            finally:
                self._instance.settle()
            connector.side.seen_only = lambda: "" if core.read_only is None else str(core.read_only)
            self._records.open_log(connector)
            await self._let_in(connector, fresh=fresh)
            return connector

    async def _bring_up(
        self, exchange_id: str, trading_pairs: Sequence[str], options: dict[str, Any], asked: ConnectorConfig
    ) -> tuple[Connector, bool]:
        """Return the connector, guarded where that is due, and whether it is a fresh one."""
        options, config = await self._admit(exchange_id, options, asked)
        name, before = options["name"] or exchange_id, tuple(self._core.connectors.values())
        try:
            with self._core.guarding.connecting(config):
                connector = await self._connect(exchange_id, trading_pairs, **options)
                await self._cover(connector, config, fresh=connector not in before)
        except BaseException:
            await self._after_failing(name)
            raise
        return connector, connector not in before

    async def _admit(
        self, exchange_id: str, options: dict[str, Any], asked: ConnectorConfig
    ) -> tuple[dict[str, Any], ConnectorConfig]:
        """Return what to connect: what was asked for, or only its data where another process runs this core."""
        watched = self._core.read_only is not None
        try:
            admitted = await self._instance.admit(options, options["name"] or exchange_id)
        finally:
            if watched and self._core.read_only is None:
                self._place.swap(None)  # its market was a view
        if admitted == options:
            return options, asked
        names = ("mode", "endpoint", "credentials", "paper")
        return admitted, configure(exchange_id, *(admitted[name] for name in names))

    async def _connect(self, exchange_id: str, trading_pairs: Sequence[str], **options: Any) -> Connector:
        if self._tables:
            await asyncio.to_thread(importlib.import_module, "pandas")
            warm()  # a first figure would stall the loop for longer yet
        adding = self._core.connector_manager.add_connector(exchange_id, trading_pairs, **options)
        self._adding = asyncio.ensure_future(adding)
        try:
            connector = await self._adding
        except asyncio.CancelledError:
            if _cancelled_itself():
                raise
            raise NotReady(f"core {self._core.name} was stopped while it connected to {exchange_id}") from None
        finally:
            self._adding = None
            self._members.sync()
        return connector

    async def _cover(self, connector: Connector, config: ConnectorConfig, *, fresh: bool) -> None:
        core = self._core
        try:
            await core.guarding.cover(connector, config, core.supervisor, core.affinity)
        except BaseException as error:
            if fresh or isinstance(error, NotReady):
                await self._turn_out(connector)
            raise

    async def _after_failing(self, name: str) -> None:
        """Follow a connector that did not come; the one whose place it was to take may have gone for it."""
        if name not in self._core.connectors:
            await self._core.guarding.release(name, [])
            self._core.switch.left()

    async def _let_in(self, connector: Connector, *, fresh: bool) -> None:
        try:
            await self._core.switch.joined(connector, fresh=fresh)
        except BaseException:  # also an interrupt: what no check let in must not stay
            if fresh:
                await self._turn_out(connector)
                self._core.switch.left()
                self._instance.settle()
            raise

    def break_off(self) -> None:
        """Break off connecting, as the core stops."""
        if self._adding is not None:
            self._adding.cancel()

    # -- out -------------------------------------------------------------------------------------------------------

    async def _turn_out(self, connector: Connector) -> None:
        left = await self._core.connector_manager.remove_connector(connector.name)
        self._members.sync()
        await self._core.guarding.release(connector.name, left)

    async def remove(self, name: str, timeout: float) -> list[str]:
        """See ``TradingCore.remove_connector``."""
        core = self._core
        async with core.changing:
            self._records.mark(core.connectors)
            try:
                left = await core.connector_manager.remove_connector(name, timeout)
            except BaseException:
                if name not in core.connectors:
                    logger.error("the removal of %s was broken off: orders of it may be open", name)
                    core.guarding.owe(name)
                    core.switch.left()
                raise
            finally:
                self._members.sync()
            await core.guarding.release(name, left)
            core.switch.left()
            self._instance.settle()
            return left

    async def empty(self, timeout: float) -> dict[str, list[str]]:
        """Remove every connector and end the guard, as the core stops, under its lock.

        Returns the ids of orders that may still be open, by connector.
        """
        core = self._core
        self._records.mark(core.connectors)
        names = list(core.connectors)
        removals = (core.connector_manager.remove_connector(name, timeout) for name in names)
        try:
            lefts = await asyncio.gather(*removals)
        except BaseException:  # such as an interrupt: connectors end in any case, what they leave is the guard's
            logger.error("core %s: stop was broken off: orders may be open on %s", core.name, ", ".join(names))
            await core.guarding.end(clean=False)
            core.switch.stopped()
            raise
        finally:
            self._members.sync()
        await core.guarding.end(clean=not any(lefts))
        return {name: left for name, left in zip(names, lefts, strict=True) if left}


def _cancelled_itself() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
