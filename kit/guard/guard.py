"""``Guard``: the core's side of the guard process."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kit.connectors.client_order_ids import ClientOrderIds
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.errors import InvalidInput, NotReady
from kit.guard.answers import Answers
from kit.guard.child import GuardChild
from kit.guard.diary import GuardEntry, diary_path, read_diary
from kit.guard.link import GuardLink
from kit.guard.messages import GuardedAccount, GuardReport
from kit.types.drawn import Drawn

logger = logging.getLogger(__name__)

STALL_LIMIT: Final = 10.0
"""Default seconds without a heartbeat after which the guard cancels."""

LEAST_STALL_LIMIT: Final = 0.5
_LONGEST_BEAT: Final = 0.25
_START_PATIENCE: Final = 20.0
_STOP_PATIENCE: Final = 3.0
_SILENCE: Final = 15.0


@dataclass(frozen=True, slots=True)
class GuardState:
    """How a guard stands.

    ``alive``: its process runs and answered. ``prepared``: it has tried the keys of every account and holds all that
    an emergency needs; until then it acts too, a second or two later. ``last_beat_age`` is the seconds since the last
    heartbeat went out, ``answer_age`` since it last answered; NaN before the first.
    """

    alive: bool
    prepared: bool
    pid: int | None
    accounts: tuple[str, ...]
    problems: dict[str, str]
    last_beat_age: float
    answer_age: float
    restarts: int
    last_report: GuardReport | None


class Guard(Drawn):
    """Runs the process that cancels a core's open orders when the core cannot.

    It acts when no heartbeat came for ``stall_limit`` seconds, when this process ends in whatever way, and on
    ``cancel_now``. "The core's" are the orders whose client order ids ``ids`` made, and those left from earlier runs
    under the core's name. ``on_report(report)`` hears, on the thread that reads the pipe, what was cancelled;
    ``on_command(reason)`` hears, on the caller's thread, of ``cancel_now``; ``on_lost(reason)`` that the process ended
    again and again. A process that ends by itself is started anew, with a warning.

    Every method is callable from any thread, whether or not a loop runs, but the coroutines. Raises ``InvalidInput``
    for a ``stall_limit`` below 0.5 s.
    """

    def __init__(
        self,
        core_name: str,
        ids: ClientOrderIds,
        *,
        stall_limit: float = STALL_LIMIT,
        time_source: TimeSource = SYSTEM_TIME,
    ) -> None:
        if not LEAST_STALL_LIMIT <= stall_limit < float("inf"):
            raise InvalidInput(
                f"stall_limit must be at least {LEAST_STALL_LIMIT:g} seconds, got {stall_limit!r}: a cell of ordinary "
                f"work would have the orders cancelled otherwise"
            )
        self.core_name = core_name
        self.stall_limit = stall_limit
        self.beat_interval = min(_LONGEST_BEAT, stall_limit / 10)
        self.log_path: Path = diary_path(core_name)
        self.on_report: Callable[[GuardReport], None] = lambda _: None
        self.on_command: Callable[[str], None] = lambda _: None
        self.on_lost: Callable[[str], None] = lambda _: None
        self._ids = ids
        self._born = ""
        self._time_source = time_source
        self._link = GuardLink(
            core_name,
            self.log_path,
            greeting=self._greeting,
            needed=lambda: bool(self._accounts),
            on_message=self._on_message,
            on_lost=self._on_lost,
            time_source=time_source,
        )
        self._accounts: dict[str, GuardedAccount] = {}
        self._covered: set[str] = set()
        self._problems: dict[str, str] = {}
        self._answers = Answers()
        self._beaten = self._answered = float("nan")
        self._unanswered = 0
        self._last_report: GuardReport | None = None
        _guards.add(self)

    # -- life ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Tell whether there is a process."""
        return self._link.running

    def begin(self, *exchange_ids: str) -> None:
        """Start the process, if none runs, and let it import what the exchanges need; does not wait.

        Raises ``NotReady`` when it cannot be started.
        """
        self._link.open()
        for exchange_id in exchange_ids:
            self._link.send({"do": "warm", "exchange": exchange_id})

    def _greeting(self) -> list[dict[str, Any]]:
        """Return what a new process has to hear: whose orders, the accounts, and commands without an answer."""
        self._covered.clear()
        self._problems.clear()
        self._unanswered = 0
        self._born = self._born or self._ids.next()
        hello = {
            "do": "hello",
            "core": self.core_name,
            "born": self._born,
            "pid": os.getpid(),
            "stall_limit": self.stall_limit,
        }
        accounts = [account.to_wire() for account in self._accounts.values()]
        return [hello, *accounts, *self._answers.unanswered()]

    async def cover(self, account: GuardedAccount) -> None:
        """Hand an account over and wait until the guard has it; from then on the account's orders are guarded.

        Asked again with other pairs, those are added. Raises ``NotReady`` when the guard does not answer in 20 s.
        """
        with self._link.lock:
            known = self._accounts.get(account.name)
            if known is not None and known.same_connection(account):
                account = replace(known, pairs=tuple(dict.fromkeys((*known.pairs, *account.pairs))))
            else:
                self._covered.discard(account.name)
                self._problems.pop(account.name, None)
            self._accounts[account.name] = account
            if not self._link.open():
                self._link.send(account.to_wire())
        deadline = self._time_source.monotonic() + _START_PATIENCE
        while account.name not in self._covered:
            if self._time_source.monotonic() > deadline:
                raise NotReady(
                    f"the guard process does not answer, so {account.name} must not trade: see {self.log_path}; "
                    f"kit.TradingCore(…, guard=False) goes without it"
                )
            await self._time_source.sleep(0.01)

    def update_pairs(self, name: str, pairs: tuple[str, ...]) -> None:
        """Guard more pairs of an account; those that it guards already stay guarded."""
        with self._link.lock:
            account = self._accounts.get(name)
            if account is None or set(pairs) <= set(account.pairs):
                return
            self._accounts[name] = replace(account, pairs=tuple(dict.fromkeys((*account.pairs, *pairs))))
            self._link.send({"do": "pairs", "name": name, "pairs": list(pairs)})

    def forget(self, name: str) -> None:
        """Guard an account no more; unknown names do not matter."""
        with self._link.lock:
            if self._accounts.pop(name, None) is not None:
                self._link.send({"do": "forget", "name": name})

    async def stop(self) -> None:
        """End the process without cancelling anything; idempotent."""
        child = self._release()
        if child is not None:
            child.send({"do": "stop"})
            if not await asyncio.to_thread(child.wait, _STOP_PATIENCE):
                logger.warning("the guard of core %s did not end when told to; it is killed", self.core_name)
                child.kill()
                await asyncio.to_thread(child.wait, _STOP_PATIENCE)

    def drop(self) -> None:
        """End a process that was given nothing to guard, at once: it may still be importing, and deaf to a word."""
        child = self._release()
        if child is not None:
            child.kill()
            child.wait(_STOP_PATIENCE)

    def let_go(self, reason: str, *, for_good: bool = False) -> None:
        """Order the process to cancel all of the core's orders, verify that, and end; does not wait for it.

        Orders made later than this call are not its own any more, unless ``for_good``.
        """
        child = self._release()
        if child is not None:
            child.send({"do": "finish", "reason": reason, "id": None if for_good else self._ids.next()})

    def _release(self) -> GuardChild | None:
        with self._link.lock:
            self._accounts.clear()
            self._answers.drop()
            return self._link.release()

    # -- while it runs ---------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Send one heartbeat; belongs on the loop that is watched, every ``beat_interval`` seconds.

        A guard that has not answered 15 s of them is replaced.
        """
        if not self._link.running:
            return
        self._beaten = self._time_source.monotonic()
        self._link.send({"do": "beat", "id": self._ids.next()}, patience=0)
        self._unanswered += 1
        if self._unanswered * self.beat_interval > _SILENCE:
            self._unanswered = 0
            self._link.replace("does not answer")

    def cancel_now(self, reason: str = "ordered by hand") -> concurrent.futures.Future[GuardReport]:
        """Order the guard to cancel every open order of this core; works while the core's loop is blocked.

        Returns at once; the strategy is paused. The result arrives when the exchanges have been seen to hold no order
        any more: ``.result(timeout)`` on a thread, ``await asyncio.wrap_future(…)`` on a loop. Orders placed after
        this call are left alone. Raises ``NotReady`` when nothing is guarded or no process can be started.
        """
        with self._link.lock:
            if not self._accounts:
                raise NotReady(f"core {self.core_name!r} has no live connector under guard: there is nothing to cancel")
            self.on_command(reason)
            message, answer = self._answers.command(reason, self._ids.next())
            if not self._link.open() and not self._link.send(message):  # a new process hears it with the greeting
                self._link.replace("takes no command")
            return answer

    def ping(self, timeout: float = 2.0) -> float:
        """Ask whether the guard answers, blocking; returns the seconds that took. Raises ``NotReady`` if it does not.

        On a loop: ``await asyncio.to_thread(guard.ping)``.
        """
        with self._ping() as answered:
            began = self._time_source.monotonic()
            if not answered.wait(timeout):
                raise self._silent()
            return self._time_source.monotonic() - began

    async def meet(self, timeout: float = 2.0) -> float:
        """Send a heartbeat and wait for an answer; returns the seconds that took. Belongs on the loop that is watched.

        From then on the guard knows that the loop runs, so orders made later are left alone, and what it did about
        earlier stalls and commands is done and its report has been heard. Raises ``NotReady`` when it does not answer
        in ``timeout`` seconds, or still cancels.
        """
        self.beat()
        with self._ping("meet") as answered:
            began = self._time_source.monotonic()
            while not answered.is_set():
                if self._time_source.monotonic() - began >= timeout:
                    raise self._silent()
                await self._time_source.sleep(0.01)
            await asyncio.sleep(0)  # a report came before the answer, and its way to the loop goes first
            return self._time_source.monotonic() - began

    @contextlib.contextmanager
    def _ping(self, do: str = "ping") -> Iterator[threading.Event]:
        message, answered = self._answers.ping(do)
        try:
            if not self._link.send(message):
                raise self._silent()
            yield answered
        finally:
            self._answers.pong(message["number"])

    def _silent(self) -> NotReady:
        return NotReady(
            f"the guard of core {self.core_name!r} does not answer, or is still cancelling; see {self.log_path}"
        )

    @property
    def accounts(self) -> tuple[str, ...]:
        """Return the names of the connectors that are guarded."""
        return tuple(self._accounts)

    @property
    def state(self) -> GuardState:
        """Return how the guard stands."""
        with self._link.lock:
            now, alive = self._time_source.monotonic(), self._link.alive
            tried = {name: self._problems.get(name, "not tried yet") for name in self._accounts}
            return GuardState(
                alive=alive,
                prepared=alive and not any(tried.values()),
                pid=self._link.pid,
                accounts=self.accounts,
                problems={name: why for name, why in tried.items() if why},
                last_beat_age=now - self._beaten,
                answer_age=now - self._answered,
                restarts=self._link.restarts,
                last_report=self._last_report,
            )

    def log(self, limit: int = 200) -> list[GuardEntry]:
        """Return the last entries that guards of this core's name wrote, also in earlier runs; oldest first."""
        return read_diary(self.log_path, limit)

    def _on_message(self, message: dict[str, Any]) -> None:
        """Take in what the process says, on the thread that reads."""
        self._answered = self._time_source.monotonic()
        self._unanswered = 0
        match message["say"]:
            case "covered":
                self._covered.add(message["name"])
            case "prepared":
                name, why = message["name"], message["error"]
                self._problems[name] = why
                if why:
                    logger.warning("the guard of core %s cannot reach the account of %s: %s", self.core_name, name, why)
            case "pong":
                self._answers.pong(message["number"])
            case "report":
                report = self._last_report = GuardReport.from_wire(message)
                self._answers.settle(report)
                self.on_report(report)

    def _on_lost(self, reason: str) -> None:
        self.on_lost(reason)

    def __repr__(self) -> str:
        word = "alive" if self._link.alive else "starting" if self.running else "not running"
        return f"<Guard of {self.core_name!r}: {word}, {', '.join(self.accounts) or 'nothing to guard'}>"


_guards: weakref.WeakSet[Guard] = weakref.WeakSet()
_owner = os.getpid()


def _interpreter_exits() -> None:
    """Have everything cancelled that nobody stopped; tasks' ``finally`` blocks do not run when a kernel shuts down."""
    if os.getpid() == _owner:  # else a fork, to which no guard belongs
        for guard in list(_guards):
            guard.let_go("the core's process exits without stop()", for_good=True)


atexit.register(_interpreter_exits)
