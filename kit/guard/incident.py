"""One emergency: every account swept at once, and what became of it told to the core and to the diary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from kit.core.time_source import TimeSource
from kit.guard.account import AccountClient
from kit.guard.diary import Diary
from kit.guard.messages import Cause, GuardReport
from kit.guard.ownership import Ownership
from kit.guard.sweep import Sweep
from kit.types.orders import OrderUpdate


class Incident:
    """Cancels what ``ownership`` owns on the accounts, up to the order id ``until`` (``None``: all).

    ``tell(report)`` hears when every account is clear for the first time, and at the end if that changed anything;
    ``on_clear()`` is called after the first of them.
    """

    def __init__(
        self,
        cause: Cause,
        reason: str,
        clients: Iterable[AccountClient],
        ownership: Ownership,
        diary: Diary,
        time_source: TimeSource,
        *,
        until: str | None,
        tell: Callable[[GuardReport], None],
        on_clear: Callable[[], None],
    ) -> None:
        self.cause: Cause = cause
        self.reason = reason
        self.until = until
        self.commands: list[int] = []
        self._ownership = ownership
        self._diary = diary
        self._time_source = time_source
        self._tell = tell
        self._on_clear = on_clear
        self._began = time_source.time()
        self._told: GuardReport | None = None
        self._sweeps = [
            Sweep(client, self._wanted, diary, time_source, on_clear=self._tell_once_clear) for client in clients
        ]

    def _wanted(self, order: OrderUpdate) -> bool:
        return self._ownership.owns(order.client_order_id, self.until)

    def extend(self, until: str | None, command: int) -> None:
        """Take in one more command of the same kind: later orders are included, and the questions begin anew."""
        self.until = until
        self.commands.append(command)
        for sweep in self._sweeps:
            if self._told is not None:
                sweep.seen.clear()  # told with the commands before
            sweep.first_clear = None
            sweep.restart()
        self._told = None

    async def run(self) -> GuardReport:
        """Sweep all accounts and return the report."""
        self._diary.note(self.cause, self.reason)
        await asyncio.gather(*(self._guarded(sweep) for sweep in self._sweeps))
        report = self.report
        if self._told is None or self._told.cancelled != report.cancelled or self._told.failures != report.failures:
            self._tell_core(report)
        self._diary.note("done", str(report))
        return report

    async def _guarded(self, sweep: Sweep) -> None:
        """Sweep one account; a defect met there must not keep the others from being swept, and it is tried again."""
        for attempt in range(5):
            try:
                await sweep.run()
                return
            except Exception as error:  # noqa: BLE001  # whatever it is, orders are open
                sweep.failure = f"{type(error).__name__} in the guard: {error}"
                self._diary.note("error", f"{sweep.client.account.name}: {sweep.failure}", attempt=attempt)
                await self._time_source.sleep(0.5)

    def _tell_once_clear(self) -> None:
        if self._told is None and all(sweep.first_clear is not None for sweep in self._sweeps):
            self._told = self.report
            self._tell_core(self._told)
            self._on_clear()

    @property
    def clear(self) -> bool:
        """Tell whether every account was seen without an order since the last command."""
        return self._told is not None

    def _tell_core(self, report: GuardReport) -> None:
        if report.cause != "recovery" or report.cancelled or report.failures:  # that nothing came after is no news
            self._tell(report)

    @property
    def report(self) -> GuardReport:
        """Return what was done so far."""
        moments: list[Any] = [sweep.first_clear for sweep in self._sweeps]
        to_wall = self._time_source.time() - self._time_source.monotonic()
        cleared = None if None in moments else max(moments, default=self._time_source.monotonic()) + to_wall
        return GuardReport(
            self.cause,
            self.reason,
            self._began,
            cleared,
            {sweep.client.account.name: tuple(sweep.seen) for sweep in self._sweeps if sweep.seen},
            {sweep.client.account.name: sweep.failure for sweep in self._sweeps if sweep.failure},
            tuple(self.commands),
        )
