"""The red button: every open order of a core is cancelled at once, on whatever thread it is pressed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from kit.connectors.connector import Connector
from kit.core.affinity import LoopAffinity
from kit.core.listeners import Listeners
from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.errors import KitError, NotReady
from kit.guard.guard import Guard
from kit.guard.messages import GuardReport
from kit.trading.switch import LiveSwitch
from kit.trading.watching import ReadOnly

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    # Not at run time: over a property whose annotation it finds to be a Literal, jedi completes no attribute at all.
    Stage = Literal["acting", "done", "failed"]


@dataclass(frozen=True, slots=True)
class RedWay:
    """One of the ways that a press goes: by the ``guard`` process, or by the ``core``'s own loop."""

    name: Literal["guard", "core"]
    stage: Stage
    text: str


@dataclass(frozen=True, slots=True)
class RedPress:
    """One press and what became of it so far.

    ``time`` is when it was pressed, seconds since the epoch. ``took`` is the seconds from then until an exchange was
    first seen to hold no order of the core any more, ``None`` before that.
    """

    number: int
    reason: str
    time: float
    ways: tuple[RedWay, ...]
    took: float | None = None

    @property
    def stage(self) -> Stage:
        """Return "done" when one way arrived, "failed" when none can any more, else "acting"."""
        stages = {way.stage for way in self.ways}
        return "done" if "done" in stages else "acting" if "acting" in stages else "failed"

    @property
    def text(self) -> str:
        """Return what the way says that counts now."""
        return next((way.text for way in self.ways if way.stage == self.stage), "")

    def __str__(self) -> str:
        return f"{self.stage}: {'; '.join(way.text for way in self.ways)}"


class RedCore(Protocol):
    """A core as its red button sees it."""

    name: str
    affinity: LoopAffinity
    supervisor: TaskSupervisor
    switch: LiveSwitch

    @property
    def guard(self) -> Guard | None:
        """Return the guard."""
        ...

    @property
    def read_only(self) -> ReadOnly | None:
        """Return who else runs the core, ``None`` where this process does."""
        ...

    @property
    def connectors(self) -> Mapping[str, Connector]:
        """Return the connectors by name."""
        ...

    @property
    def changing(self) -> asyncio.Lock:
        """Return what is held while connectors come and go."""
        ...


Listener = Callable[[RedPress], None]


class RedButton:
    """``core.red_button(reason)``: pause the strategy, cancel every open order, switch off; callable from any thread.

    It acts at once and waits for nothing. Where a connector is guarded, the guard process cancels and asks the
    exchange, whether or not a cell blocks the core's loop; the loop follows as soon as it runs and takes the core to
    ``OFF``. Without a guard, as on paper, the loop does it all. ``last`` is the latest press as it stands now;
    listeners hear of every change, on the thread that brings it. ``kit red`` in a terminal presses it from there.
    """

    def __init__(self, core: RedCore, halt: Callable[[str], None], time_source: TimeSource) -> None:
        self._core = core
        self._halt = halt
        self._time_source = time_source
        self._lock = threading.RLock()
        self._listeners: Listeners[[RedPress]] = Listeners("the red button")
        self._count = 0
        self.last: RedPress | None = None

    def __call__(self, reason: str = "the red button") -> RedPress:
        """Press; return how it stands, ``last`` tells how it goes on. Raises nothing."""
        with self._lock:
            self._count += 1
            press = self.last = RedPress(self._count, reason, self._time_source.time(), ())
        if self._core.read_only is not None:
            self._note(press.number, RedWay("core", "failed", self._core.read_only.where_to_press))
            return self.last if self.last.number == press.number else press
        self._halt(reason)
        if self._nothing_trades():
            self._note(press.number, RedWay("core", "done", "no connectors: nothing to cancel"))
        else:
            self._by_guard(press)
            self._by_loop(press)
        return self.last if self.last.number == press.number else press

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(press)`` after every change; returns the function that ends that."""
        return self._listeners.add(listener)

    def __repr__(self) -> str:
        return f"<RedButton of {self._core.name!r}: {self.last or 'not pressed'}>"

    def _nothing_trades(self) -> bool:
        """Tell whether there is no connector, nor one coming or going, nor one gone that left the guard work to do."""
        core = self._core
        guarded = core.guard is not None and bool(core.guard.accounts)
        return not core.connectors and not core.changing.locked() and not guarded

    # -- the two ways ----------------------------------------------------------------------------------------------

    def _by_guard(self, press: RedPress) -> None:
        guard = self._core.guard
        if guard is None or not guard.accounts:
            return
        names = ", ".join(guard.accounts)
        self._note(press.number, RedWay("guard", "acting", f"the guard cancels on {names}"))
        try:
            answer = guard.cancel_now(press.reason)
        except NotReady as error:
            self._note(press.number, RedWay("guard", "failed", f"the guard cannot act: {error}"))
            return

        def reported(future: concurrent.futures.Future[GuardReport]) -> None:
            self._on_report(press, names, future)

        answer.add_done_callback(reported)

    def _on_report(self, press: RedPress, names: str, answer: concurrent.futures.Future[GuardReport]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            why = "it was ended" if answer.cancelled() else answer.exception()
            self._note(press.number, RedWay("guard", "failed", f"no word from the guard: {why}"))
            return
        report = answer.result()
        if report.verified and report.cleared is not None:
            took = max(report.cleared - press.time, 0.0)
            text = f"{_orders(report.count)} cancelled, 0 open on {names}, verified after {took:.2f} s"
            self._note(press.number, RedWay("guard", "done", text), took)
        else:
            why = "; ".join(f"{name}: {what}" for name, what in report.failures.items()) or "not verified"
            self._note(press.number, RedWay("guard", "failed", f"{_orders(report.count)} cancelled; {why}"))

    def _by_loop(self, press: RedPress) -> None:
        self._note(press.number, RedWay("core", "acting", "waits for the core's loop"))
        try:
            self._core.affinity.call(self._follow, press)
        except NotReady as error:
            self._note(press.number, RedWay("core", "failed", str(error)))

    def _follow(self, press: RedPress) -> None:
        try:
            self._core.supervisor.spawn(self._go_off(press), name="red button")
        except (NotReady, RuntimeError) as error:  # the core is being closed, or no loop runs
            self._note(press.number, RedWay("core", "failed", f"the core's loop takes nothing: {error}"))

    async def _go_off(self, press: RedPress) -> None:
        self._note(press.number, RedWay("core", "acting", "the core cancels and goes off"))
        try:
            word = await self._core.switch.go_off(press.reason)
        except asyncio.CancelledError:
            self._note(
                press.number, RedWay("core", "failed", "the core was stopped before; its report says what is left")
            )
            raise
        except Exception as error:
            self._note(press.number, RedWay("core", "failed", str(error) or type(error).__name__))
            self._core.switch.disarm(press.reason)  # tries again until the exchange has confirmed it
            if not isinstance(error, KitError):
                raise
            return
        took = self._time_source.time() - press.time
        text = f"core off; {word or 'nothing was open'}, after {took:.2f} s"
        self._note(press.number, RedWay("core", "done", text), took)

    # -- the record ------------------------------------------------------------------------------------------------

    def _note(self, number: int, way: RedWay, took: float | None = None) -> None:
        with self._lock:
            press = self.last
            if press is None or press.number != number:
                return  # a later press took its place
            ways = (*(known for known in press.ways if known.name != way.name), way)
            ways = tuple(sorted(ways, key=lambda known: known.name == "core"))  # the guard's word comes first
            press = self.last = replace(press, ways=ways, took=press.took if press.took is not None else took)
        if way.stage == "failed":
            logger.error("red button: %s", way.text)
        self._listeners.tell(press)


def _orders(count: int) -> str:
    return f"{count} order{'' if count == 1 else 's'}"
