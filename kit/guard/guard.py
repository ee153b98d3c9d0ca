"""``Guard``: the core's side of the guard process."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import itertools
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kit.connectors.client_order_ids import ClientOrderIds
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.errors import InvalidInput, NotReady
from kit.guard.child import GuardChild
from kit.guard.diary import GuardEntry, diary_path, open_diary, read_diary
from kit.guard.messages import GuardedAccount, GuardReport

logger = logging.getLogger(__name__)

STALL_LIMIT: Final = 10.0
"""Default seconds without a heartbeat after which the guard cancels."""

LEAST_STALL_LIMIT: Final = 0.5
_LONGEST_BEAT: Final = 0.25
_START_PATIENCE: Final = 10.0
_STOP_PATIENCE: Final = 3.0
_SILENCE: Final = 15.0
_RESTARTS, _RESTART_WINDOW = 5, 60.0


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


class Guard:
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
        self._lock = threading.RLock()  # around the process, the accounts and the commands that wait for an answer
        self._child: GuardChild | None = None
        self._accounts: dict[str, GuardedAccount] = {}
        self._covered: set[str] = set()
        self._problems: dict[str, str | None] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, str, concurrent.futures.Future[GuardReport]]] = {}
        self._pongs: dict[int, threading.Event] = {}
        self._beaten = self._answered = float("nan")
        self._unanswered = 0
        self._restarted: deque[float] = deque(maxlen=_RESTARTS)
        self._restarts = 0
        self._last_report: GuardReport | None = None
        _guards.add(self)

    # -- life ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Tell whether there is a process."""
        return self._child is not None and not self._child.ended.is_set()

    def begin(self, *exchange_ids: str) -> None:
        """Start the process, if none runs, and let it import what the exchanges need; does not wait.

        Raises ``NotReady`` when it cannot be started.
        """
        with self._lock:
            child = self._child if self.running and self._child is not None else self._spawn()
            for exchange_id in exchange_ids:
                child.send({"do": "warm", "exchange": exchange_id})

    def _spawn(self) -> GuardChild:
        try:
            diary = open_diary(self.log_path)
        except OSError as error:
            logger.warning("guard of core %s: no log can be kept: %s", self.core_name, error)
            diary = os.open(os.devnull, os.O_WRONLY)
        try:
            child = self._child = GuardChild(self.core_name, diary, self._on_message, self._on_end)
        finally:
            os.close(diary)
        self._covered.clear()
        self._problems.clear()
        self._unanswered = 0
        self._born = self._born or self._ids.next()
        child.send(
            {
                "do": "hello",
                "core": self.core_name,
                "born": self._born,
                "pid": os.getpid(),
                "stall_limit": self.stall_limit,
            }
        )
        for account in self._accounts.values():
            child.send(account.to_wire())
        for number, (reason, order_id, _) in self._waiting.items():
            child.send({"do": "cancel", "number": number, "reason": reason, "id": order_id})
        return child

    async def cover(self, account: GuardedAccount) -> None:
        """Hand an account over and wait until the guard has it; from then on the account's orders are guarded.

        Asked again with other pairs, those are added. Raises ``NotReady`` when the guard does not answer in 10 s.
        """
        with self._lock:
            known = self._accounts.get(account.name)
            if known is not None and known.same_connection(account):
                account = replace(known, pairs=tuple(dict.fromkeys((*known.pairs, *account.pairs))))
            else:
                self._covered.discard(account.name)
            self._accounts[account.name] = account
            self.begin()
            self._send(account.to_wire())
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
        with self._lock:
            account = self._accounts.get(name)
            if account is None or set(pairs) <= set(account.pairs):
                return
            self._accounts[name] = replace(account, pairs=tuple(dict.fromkeys((*account.pairs, *pairs))))
            self._send({"do": "pairs", "name": name, "pairs": list(pairs)})

    def forget(self, name: str) -> None:
        """Guard an account no more; unknown names do not matter."""
        with self._lock:
            if self._accounts.pop(name, None) is not None:
                self._send({"do": "forget", "name": name})

    async def stop(self) -> None:
        """End the process without cancelling anything; idempotent."""
        child = self._release()
        if child is not None:
            child.send({"do": "stop"})
            if not await asyncio.to_thread(child.wait, _STOP_PATIENCE):
                logger.warning("the guard of core %s did not end when told to; it is killed", self.core_name)
                child.kill()
                await asyncio.to_thread(child.wait, _STOP_PATIENCE)

    def let_go(self, reason: str, *, for_good: bool = False) -> None:
        """Order the process to cancel all of the core's orders, verify that, and end; does not wait for it.

        Orders made later than this call are not its own any more, unless ``for_good``.
        """
        child = self._release()
        if child is not None:
            child.send({"do": "finish", "reason": reason, "id": None if for_good else self._ids.next()})

    def _release(self) -> GuardChild | None:
        with self._lock:
            child, self._child = self._child, None
            self._accounts.clear()
            self._covered.clear()
            self._problems.clear()
            for _, _, answer in self._waiting.values():
                answer.cancel()
            self._waiting.clear()
            return child

    # -- while it runs ---------------------------------------------------------------------------------------------

    async def keep_beating(self) -> None:
        """Send heartbeats for as long as this runs; belongs on the loop that is to be watched."""
        while True:
            self.beat()
            await self._time_source.sleep(self.beat_interval)

    def beat(self) -> None:
        """Send one heartbeat; a guard that has not answered for 15 s of them is replaced."""
        with self._lock:
            child = self._child
            if child is None:
                return
            self._beaten = self._time_source.monotonic()
            child.send({"do": "beat", "id": self._ids.next()}, patience=0)
            self._unanswered += 1
            if self._unanswered * self.beat_interval > _SILENCE:
                self._unanswered = 0
                logger.warning("the guard of core %s does not answer; it is replaced", self.core_name)
                child.kill()  # its end is noticed by the thread that reads it, which starts another

    def cancel_now(self, reason: str = "ordered by hand") -> concurrent.futures.Future[GuardReport]:
        """Order the guard to cancel every open order of this core; works while the core's loop is blocked.

        Returns at once. The result arrives when the exchanges have been seen to hold none any more:
        ``.result(timeout)`` on a thread, ``await asyncio.wrap_future(…)`` on a loop. Orders placed after this call are
        left alone. Raises ``NotReady`` when nothing is guarded or no process can be started.
        """
        with self._lock:
            if not self._accounts:
                raise NotReady(f"core {self.core_name!r} has no live connector under guard: there is nothing to cancel")
            self.on_command(reason)
            number, order_id = next(self._numbers), self._ids.next()
            answer: concurrent.futures.Future[GuardReport] = concurrent.futures.Future()
            self._waiting[number] = (reason, order_id, answer)
            if not self.running:
                self._spawn()  # which sends the waiting commands
            elif not self._send({"do": "cancel", "number": number, "reason": reason, "id": order_id}):
                logger.warning("the guard of core %s takes no command; it is replaced", self.core_name)
                if self._child is not None:
                    self._child.kill()
            return answer

    def ping(self, timeout: float = 2.0) -> float:
        """Ask whether the guard answers, blocking; returns the seconds that took. Raises ``NotReady`` if it does not.

        On a loop: ``await asyncio.to_thread(guard.ping)``.
        """
        number, answered = next(self._numbers), threading.Event()
        self._pongs[number] = answered
        began = self._time_source.monotonic()
        try:
            if not (self._send({"do": "ping", "number": number}) and answered.wait(timeout)):
                raise NotReady(f"the guard of core {self.core_name!r} does not answer; see {self.log_path}")
        finally:
            del self._pongs[number]
        return self._time_source.monotonic() - began

    def _send(self, message: dict[str, Any]) -> bool:
        child = self._child
        return child is not None and child.send(message)

    @property
    def state(self) -> GuardState:
        """Return how the guard stands."""
        with self._lock:
            now = self._time_source.monotonic()
            child = self._child
            alive = child is not None and child.said_hello.is_set() and not child.ended.is_set()
            tried = {name: self._problems.get(name, "not tried yet") for name in self._accounts}
            return GuardState(
                alive=alive,
                prepared=alive and not any(tried.values()),
                pid=child.pid if child is not None else None,
                accounts=tuple(self._accounts),
                problems={name: why for name, why in tried.items() if why},
                last_beat_age=now - self._beaten,
                answer_age=now - self._answered,
                restarts=self._restarts,
                last_report=self._last_report,
            )

    def log(self, limit: int = 200) -> list[GuardEntry]:
        """Return the last entries that guards of this core's name wrote, also in earlier runs; oldest first."""
        return read_diary(self.log_path, limit)

    # -- the reading thread ----------------------------------------------------------------------------------------

    def _on_message(self, child: GuardChild, message: dict[str, Any]) -> None:
        with self._lock:
            if child is not self._child:
                return  # let go of: it works on by itself
            self._answered = self._time_source.monotonic()
            self._unanswered = 0
        match message["say"]:
            case "covered":
                self._covered.add(message["name"])
            case "prepared":
                self._prepared(message["name"], message["error"])
            case "pong":
                if (event := self._pongs.get(message["number"])) is not None:
                    event.set()
            case "report":
                self._report(GuardReport.from_wire(message))

    def _prepared(self, name: str, why: str) -> None:
        self._problems[name] = why
        if why:
            logger.warning("the guard of core %s cannot reach the account of %s: %s", self.core_name, name, why)

    def _report(self, report: GuardReport) -> None:
        self._last_report = report
        with self._lock:
            answers = [self._waiting.pop(number)[2] for number in report.commands if number in self._waiting]
        for answer in answers:
            if answer.set_running_or_notify_cancel():
                answer.set_result(report)
        self.on_report(report)

    def _on_end(self, child: GuardChild) -> None:
        with self._lock:
            if child is not self._child:
                return
            now = self._time_source.monotonic()
            often = len(self._restarted) == _RESTARTS and now - self._restarted[0] < _RESTART_WINDOW
            if often or not self._accounts:
                self._child = None
            else:
                self._restarted.append(now)
                self._restarts += 1
                logger.warning("the guard process of core %s ended by itself; another is started", self.core_name)
                try:
                    self._spawn()
                except (NotReady, RuntimeError) as error:  # RuntimeError: the interpreter is shutting down
                    self._child, often = None, True
                    logger.error("no guard can be started: %s", error)
        if often:
            reason = f"the guard process of core {self.core_name} ended {_RESTARTS} times in a minute"
            logger.error("%s: its orders are not guarded; see %s", reason, self.log_path)
            self.on_lost(reason)

    def __repr__(self) -> str:
        state = self.state
        word = "alive" if state.alive else "starting" if self.running else "not running"
        return f"<Guard of {self.core_name!r}: {word}, {', '.join(state.accounts) or 'nothing to guard'}>"


_guards: weakref.WeakSet[Guard] = weakref.WeakSet()
_owner = os.getpid()


def _interpreter_exits() -> None:
    """Have everything cancelled that nobody stopped; tasks' ``finally`` blocks do not run when a kernel shuts down."""
    if os.getpid() == _owner:  # else a fork, to which no guard belongs
        for guard in list(_guards):
            guard.let_go("the core's process exits without stop()", for_good=True)


atexit.register(_interpreter_exits)
