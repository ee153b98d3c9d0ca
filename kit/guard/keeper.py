"""The guard process: listens to the core, and acts when it falls silent, ends, or says so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.errors import KitError, StopTrading
from kit.guard.account import AccountClient, import_exchange, secrets_of
from kit.guard.diary import Diary
from kit.guard.incident import Incident
from kit.guard.messages import Cause, GuardedAccount, GuardReport, decode
from kit.guard.ownership import Ownership
from kit.guard.pulse import Pulse

_HELLO_PATIENCE: Final = 30.0
_TERM_PATIENCE: Final = 1.0
_GAP: Final = 1.0
"""Seconds between two heartbeats after which the loop counts as having been blocked meanwhile."""
_ANSWER_INTERVAL: Final = 1.0
_LONGEST_BACKOFF: Final = 60.0


class Keeper:
    """Acts on the core's messages; ``say`` sends one back. ``run`` returns when there is nothing left to guard."""

    def __init__(self, say: Callable[[Mapping[str, Any]], None], diary: Diary, time_source: TimeSource) -> None:
        self._say = say
        self._diary = diary
        self._time_source = time_source
        self._supervisor = TaskSupervisor("guard")
        self._clients: dict[str, AccountClient] = {}
        self._incidents: dict[Cause, Incident] = {}
        self._ownership: Ownership | None = None
        self._pulse = Pulse(_HELLO_PATIENCE, time_source.monotonic())
        self._parent = 0
        self._unblocked_until: str | None = None  # a command came; what was queued on a blocked loop may follow it
        self._answered = float("-inf")
        self._to_meet: list[dict[str, Any]] = []
        self._orphan = False
        self._done = asyncio.Event()
        self._handlers: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "hello": self._hello,
            "warm": self._warm,
            "account": self._account,
            "pairs": self._pairs,
            "forget": self._forget,
            "beat": self._beat,
            "cancel": self._cancel,
            "finish": self._finish,
            "ping": self._ping,
            "meet": self._meet,
            "stop": self._stop,
        }

    async def run(self) -> None:
        """Watch until the end."""
        self._supervisor.spawn(self._watch(), name="watch")
        await self._done.wait()
        await asyncio.gather(*(client.close() for client in self._clients.values()))

    # -- what comes in ---------------------------------------------------------------------------------------------

    def on_line(self, line: bytes) -> None:
        """Act on one message; one that cannot be read is noted without its content."""
        try:
            message = decode(line)
            self._handlers[message["do"]](message)
        except Exception as error:  # noqa: BLE001  # the guard must outlive any message
            self._diary.note("bad message", f"{type(error).__name__}, {len(line)} bytes")

    def on_end(self, reason: str = "the core's process ended") -> None:
        """Act on the end of the core: cancel everything, then end."""
        if not self._orphan and not self._done.is_set():
            self._orphan = True
            self._start("end", reason, None)

    def on_terminate(self) -> None:
        """Act on SIGTERM: the machine may be going down, and the core with it; one that lives starts a new guard."""
        self._diary.note("terminate", "asked to end by a signal")
        asyncio.get_running_loop().call_later(_TERM_PATIENCE, self._end_unless_orphan)

    def _end_unless_orphan(self) -> None:
        if not self._orphan:
            self._done.set()

    def _hello(self, message: dict[str, Any]) -> None:
        self._ownership = Ownership.since(message["born"])
        self._pulse = Pulse(message["stall_limit"], self._time_source.monotonic())
        self._parent = message["pid"] if message["pid"] == os.getppid() else 0
        self._diary.note(
            "start", f"guarding core {message['core']!r}, stall limit {message['stall_limit']:g} s", core=message["pid"]
        )
        self._say({"say": "hello", "pid": os.getpid()})

    def _warm(self, message: dict[str, Any]) -> None:
        self._supervisor.spawn(asyncio.to_thread(import_exchange, message["exchange"]), name="import")

    def _account(self, message: dict[str, Any]) -> None:
        account = GuardedAccount.from_wire(message)
        self._diary.hide(*secrets_of(account))
        known = self._clients.get(account.name)
        if known is None or not known.account.same_connection(account):
            self._forget(message)
            known = self._clients[account.name] = AccountClient(account, self._supervisor, self._time_source)
            self._supervisor.spawn(self._prepare(known), name=f"prepare {account.name}")
            self._diary.note("account", f"{account.name} on {account.exchange_id}: {', '.join(account.pairs)}")
        self._add_pairs(known, account.pairs)
        self._say({"say": "covered", "name": account.name})

    def _pairs(self, message: dict[str, Any]) -> None:
        self._add_pairs(self._clients[message["name"]], message["pairs"])

    def _add_pairs(self, client: AccountClient, pairs: Iterable[str]) -> None:
        """Look for orders on more pairs; none is dropped, as orders may still rest on those that are quoted no more."""
        new = sorted(set(pairs) - client.pairs)
        if new:
            client.pairs |= set(new)
            self._diary.note("account", f"{client.account.name}: {', '.join(new)}")

    def _forget(self, message: dict[str, Any]) -> None:
        client = self._clients.pop(message["name"], None)
        if client is not None:
            self._supervisor.spawn(client.close(), name=f"close {message['name']}")

    def _beat(self, message: dict[str, Any]) -> None:
        now = self._time_source.monotonic()
        stalled = self._pulse.stalled
        gap = self._pulse.beat(now)
        if now - self._answered >= _ANSWER_INTERVAL:
            self._answered = now
            self._say({"say": "beat"})
        if stalled:
            self._recover(gap, message["id"])
        elif gap > _GAP and self._unblocked_until is not None:
            self._start("recovery", "the core's loop runs again after a command", self._unblocked_until)
        if gap <= _GAP or stalled:
            self._unblocked_until = None

    def _recover(self, gap: float, order_id: str) -> None:
        """From here on the core's new orders are its own affair; those from before are not."""
        self._diary.note("recovered", f"the core's loop runs again after {gap:.1f} s")
        stall = self._incidents.get("stall")
        if stall is not None:
            stall.until = order_id
        self._start("recovery", f"the core's loop runs again after {gap:.1f} s", order_id)

    def _cancel(self, message: dict[str, Any]) -> None:
        self._unblocked_until = message["id"]
        self._start("command", message["reason"], message["id"], message["number"])

    def _ping(self, message: dict[str, Any]) -> None:
        self._say({"say": "pong", "number": message["number"]})

    def _meet(self, message: dict[str, Any]) -> None:
        self._to_meet.append(message)
        self._answer_if_clear()

    def _answer_if_clear(self) -> None:
        """Answer who waits for the end of what is being cancelled: its report has gone out before."""
        if all(incident.clear for incident in self._incidents.values()):
            waiting, self._to_meet = self._to_meet, []
            for message in waiting:
                self._ping(message)

    def _finish(self, message: dict[str, Any]) -> None:
        if not self._orphan:
            self._orphan = True
            self._start("end", message["reason"], message["id"])

    def _stop(self, _: dict[str, Any]) -> None:
        self._diary.note("stop", "ended by the core, nothing to cancel")
        self._done.set()

    # -- what is done ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while not self._orphan:
            await self._time_source.sleep(self._pulse.interval)
            if self._parent and os.getppid() != self._parent:
                # A child that the core forked may hold the pipe open.
                self.on_end("the core's process ended, its pipe is held open by another")
            elif self._pulse.look(self._time_source.monotonic()):
                self._on_silence()
            elif self._ownership is not None and not self._clients:
                self._pulse.beat(self._time_source.monotonic())  # a core with nothing to guard may connect for long

    def _on_silence(self) -> None:
        if self._ownership is None:
            self._diary.note("stop", f"nobody said anything for {_HELLO_PATIENCE:g} s")
            self._done.set()
            return
        self._start("stall", f"no heartbeat from the core for {self._pulse.limit:g} s", None)

    def _start(self, cause: Cause, reason: str, until: str | None, command: int | None = None) -> None:
        running = self._incidents.get(cause)
        if running is not None and command is not None:
            running.extend(until, command)
            return
        if self._ownership is None or not self._clients:
            self._nothing_to_do(cause, reason, command)
            return
        incident = Incident(
            cause,
            reason,
            list(self._clients.values()),
            self._ownership,
            self._diary,
            self._time_source,
            until=until,
            tell=lambda report: self._say(report.to_wire()),
            on_clear=self._answer_if_clear,
        )
        if command is not None:
            incident.commands.append(command)
        self._incidents[cause] = incident
        self._supervisor.spawn(self._run(incident), name=cause)

    def _nothing_to_do(self, cause: Cause, reason: str, command: int | None) -> None:
        now = self._time_source.time()
        if command is not None:
            self._say(GuardReport(cause, reason, now, now, {}, {}, (command,)).to_wire())
        if self._orphan:
            self._diary.note("stop", f"{reason}; there was nothing to guard")
            self._done.set()

    async def _run(self, incident: Incident) -> None:
        try:
            await incident.run()
        finally:
            if self._incidents.get(incident.cause) is incident:
                del self._incidents[incident.cause]
            self._answer_if_clear()
        if incident.cause == "end":
            self._diary.note("stop", "the work is done")
            self._done.set()

    async def _prepare(self, client: AccountClient) -> None:
        """Load what an emergency needs, now, and try the keys; tried again while the exchange cannot be reached."""
        backoff, name = 1.0, client.account.name
        while self._clients.get(name) is client:
            try:
                count = await client.prepare()
            except KitError as error:
                why = f"{type(error).__name__}: {error}"
                self._diary.note("unprepared", f"{name}: {why}")
                self._say({"say": "prepared", "name": name, "error": why})
                if isinstance(error, StopTrading):
                    return
                await self._time_source.sleep(backoff)
                backoff = min(backoff * 2, _LONGEST_BACKOFF)
            else:
                self._diary.note("prepared", f"{name}: the exchange answers; {count} open orders on the account")
                self._say({"say": "prepared", "name": name, "error": ""})
                return
