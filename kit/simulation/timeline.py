"""One local clock over simulated exchanges: requests on their way there, answers on their way back, in time order.

The exact order costs little because nothing that is sent at t reaches an exchange before t + entry latency, and nothing
that happens there at e is heard of before e + response latency: in between, whole stretches run without looking up.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kit.errors import InvalidInput

QUANTUM: Final = 1_000_000
"""Nanoseconds that several pairs with open orders run each by itself where nothing has any latency (1 ms)."""

_NEVER: Final = 1 << 62


class PitFill(Protocol):
    """A fill on a simulated exchange; ``exch_ts`` in ns since the epoch."""

    @property
    def exch_ts(self) -> int:
        """Return when it happened on the exchange."""
        ...


class Pit(Protocol):
    """One pair on one simulated exchange, as the timeline drives it. Times in ns since the epoch."""

    shortest_entry: int
    shortest_answer: int

    @property
    def busy(self) -> bool:
        """Tell whether orders of ours rest here, so that events may fill them."""
        ...

    def run(self, exchange_ns: int, *, halt: bool) -> Sequence[PitFill]:
        """Match events up to a time on the exchange, to the first that fills if told to halt; return the fills."""
        ...

    def book(self, fill: PitFill) -> None:
        """Take a fill into the account and send the answers that tell of it."""
        ...

    def show(self, local_ns: int) -> None:
        """Show the book as it is known at a local time."""
        ...


class Timeline:
    """Moves local time; several venues may share one, so that a strategy hears of all of them in one order.

    ``on_time(ns)`` is called with each local moment at which something is delivered, before it is, so that clocks can
    be set. ``now`` is the local time in ns since the epoch; it never goes back. With orders of ours on several pairs
    and no latency at all, a reaction to a fill on one pair reaches another pair up to 1 ms late (``QUANTUM``); in
    every other case all is exact to the ns.
    """

    def __init__(self, *, on_time: Callable[[int], None] | None = None) -> None:
        self.now = 0
        self.on_time = on_time
        self._pits: list[Pit] = []
        self._exchange = 0
        self._floor = 0
        self._requests: list[tuple[int, int, Callable[[int], None]]] = []
        self._answers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._advancing = False

    def add(self, pit: Pit) -> None:
        """Drive one more pair."""
        self._pits.append(pit)
        self._floor = min(pit.shortest_answer for pit in self._pits)

    def remove(self, pit: Pit) -> None:
        """Drive a pair no longer."""
        self._pits.remove(pit)

    def send(self, arrival_ns: int, act: Callable[[int], None]) -> None:
        """Have ``act(arrival_ns)`` called when the exchanges have come to that time."""
        heapq.heappush(self._requests, (arrival_ns, next(self._order), act))

    def answer(self, local_ns: int, deliver: Callable[[], None]) -> None:
        """Have ``deliver()`` called when local time has come to that moment."""
        heapq.heappush(self._answers, (local_ns, next(self._order), deliver))

    @property
    def next_due(self) -> int | None:
        """Return the time (ns) of the next arrival or delivery that is known, ``None`` if there is none."""
        due = [queue[0][0] for queue in (self._requests, self._answers) if queue]
        return min(due) if due else None

    def advance(self, local_ns: int) -> None:
        """Move local time on: match what happened, deliver what is heard of by then, show the books of then.

        What is delivered may send requests; their latency begins at the moment of delivery. Raises ``InvalidInput``
        for a time before ``now`` and when called from inside a delivery.
        """
        if self._advancing:
            raise InvalidInput("a timeline cannot be advanced from inside one of its own deliveries")
        if local_ns < self.now:
            raise InvalidInput(f"time goes forward: local time is {self.now} ns, {local_ns} was asked for")
        self._advancing = True
        try:
            while self._step(local_ns):
                pass
        finally:
            self._advancing = False
        self._reach(local_ns)

    def _step(self, until: int) -> bool:
        """Come nearer to a local time by one arrival, fill or delivery; False when nothing is left before it."""
        answer = self._answers[0][0] if self._answers else _NEVER
        # What happens on an exchange after the horizon is not heard of before that.
        horizon = min(until, answer) - self._floor
        request = self._requests[0][0] if self._requests else _NEVER
        if self._run(min(horizon, request)):
            return True
        if request <= horizon:
            arrival, _, act = heapq.heappop(self._requests)
            act(arrival)
            return True
        if answer > until:
            return False
        self._deliver(answer)
        return True

    def _run(self, until: int) -> bool:
        """Match up to a time on the exchanges; True when a fill came between, and the rest is left for later."""
        busy = [pit for pit in self._pits if pit.busy]
        if not busy:
            return False
        if len(busy) == 1:
            fills = busy[0].run(until, halt=True)
            for fill in fills:
                busy[0].book(fill)
            return bool(fills)
        return self._run_together(busy, until)

    def _run_together(self, busy: Sequence[Pit], until: int) -> bool:
        # A reaction to whatever happens from now on cannot arrive anywhere earlier than this.
        ahead = self._floor + min(pit.shortest_entry for pit in busy) or QUANTUM
        while self._exchange < until:
            stop = min(until, self._exchange + ahead)
            ...
        return False

    def _reach(self, local_ns: int) -> None:
        self.now = local_ns
        for pit in self._pits:
            pit.show(local_ns)

    def _deliver(self, moment: int) -> None:
        self._reach(moment)
        if self.on_time is not None:
            self.on_time(moment)
        answers = self._answers
        while answers and answers[0][0] == moment:
            heapq.heappop(answers)[2]()
