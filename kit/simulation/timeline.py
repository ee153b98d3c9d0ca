"""One local clock over simulated exchanges: requests on their way there, answers on their way back, in time order.

The exact order costs little because nothing that is sent at t reaches an exchange before t + entry latency, and nothing
that happens there at e is heard of before e + response latency: in between, whole stretches run without looking up.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from kit.errors import InvalidInput
from kit.simulation.engine import Fill

QUANTUM: Final = 1_000_000
"""Nanoseconds that several pairs with open orders run each by itself where nothing has any latency (1 ms)."""

Act: TypeAlias = Callable[[int, int], None]

_NEVER: Final = 1 << 62


class Pit(Protocol):
    """One pair on one simulated exchange, as the timeline drives it. Times in ns since the epoch.

    ``run`` and ``look`` return fills in the order of their times, which are to be booked.
    """

    shortest_entry: int
    shortest_answer: int

    @property
    def busy(self) -> bool:
        """Tell whether orders of ours rest here, so that events may fill them."""
        ...

    def set_floor(self, floor_ns: int) -> None:
        """Say how soon after an event, at the earliest, anybody looks because of it."""
        ...

    def run(self, exchange_ns: int, look_ns: int, *, halt: bool) -> Sequence[Fill]:
        """Match up to a time on the exchange; told to halt, no further than to the first event that fills.

        Nobody looks before ``look_ns``, except because of a fill, at its time plus the floor or later.
        """
        ...

    def look(self, local_ns: int) -> Sequence[Fill]:
        """Match up to ``local_ns`` less the floor, halting at fills, and show the book as known at ``local_ns``.

        What the book shows may have happened later than that; fills by it come too. When there are fills, the book may
        not be shown yet.
        """
        ...

    def book(self, fill: Fill) -> None:
        """Take a fill into the account and send the answers that tell of it."""
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
        self._requests: list[tuple[int, int, Act]] = []
        self._answers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._advancing = False

    def add(self, pit: Pit) -> None:
        """Drive one more pair."""
        self._pits.append(pit)
        self._floor = min(pit.shortest_answer for pit in self._pits)
        for one in self._pits:
            one.set_floor(self._floor)

    def remove(self, pit: Pit) -> None:
        """Drive a pair no longer."""
        self._pits.remove(pit)

    def send(self, arrival_ns: int, act: Act) -> None:
        """Have ``act(arrival_ns, look_ns)`` called when the exchanges have come to that time.

        ``look_ns`` is the local time before which nobody looks; see ``Pit.run``.
        """
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

    def _step(self, until: int) -> bool:
        """Come nearer to a local time by one arrival, fill or delivery; False when it is reached."""
        answer = self._answers[0][0] if self._answers else _NEVER
        target = min(answer, until)
        request = self._requests[0][0] if self._requests else _NEVER
        if request <= target:
            look = min(target, request + self._floor)
            if not self._run(request, look):
                arrival, _, act = heapq.heappop(self._requests)
                act(arrival, look)
            return True
        if self._look(target):
            return True
        self.now = target
        if answer > until:
            return False
        self._deliver(answer)
        return True

    def _run(self, until: int, look: int) -> bool:
        """Match up to a time on the exchanges; True when there was a fill, and the rest is left for later."""
        if len(self._pits) == 1:
            pit = self._pits[0]
            filled = pit.busy and self._book(pit, pit.run(until, look, halt=True))
        else:
            filled = self._run_several(until, look)
        if not filled and until > self._exchange:
            self._exchange = until
        return filled

    def _run_several(self, until: int, look: int) -> bool:
        busy = [pit for pit in self._pits if pit.busy]
        if len(busy) > 1:
            return self._run_together(busy, until, look)
        return any(self._book(pit, pit.run(until, look, halt=True)) for pit in busy)

    def _look(self, target: int) -> bool:
        """Learn of all that is heard of by a local time, and show the books of then; True when there was a fill."""
        pits = self._pits
        if len(pits) > 1:
            # Those that can fill come first: a reaction may go to any other, which must not be past it.
            pits = sorted(pits, key=lambda pit: not pit.busy)
            # What the books show may just have filled orders: with several pairs that is told in turn, too.
            if pits[1].busy and self._run_together([pit for pit in pits if pit.busy], target, target):
                return True
        for pit in pits:
            fills = pit.look(target)
            if fills:
                return self._book(pit, fills)
        # What happens on an exchange later than this is not heard of by then.
        self._exchange = max(self._exchange, target - self._floor)
        return False

    def _run_together(self, busy: Sequence[Pit], until: int, look: int) -> bool:
        """Match several pairs in stretches within which no reaction to a fill on one can arrive at another."""
        ahead = self._floor + min(pit.shortest_entry for pit in busy) or QUANTUM
        while self._exchange < until:
            # A fill on one pair has all of them looked at.
            first_look = min(look, self._exchange + self._floor)
            self._exchange = min(until, self._exchange + ahead)
            found = [(fill, pit) for pit in busy for fill in pit.run(self._exchange, first_look, halt=False)]
            if found:
                for fill, pit in sorted(found, key=lambda one: one[0].exch_ns):
                    pit.book(fill)
                return True
        return False

    @staticmethod
    def _book(pit: Pit, fills: Sequence[Fill]) -> bool:
        for fill in fills:
            pit.book(fill)
        return bool(fills)

    def _deliver(self, moment: int) -> None:
        if self.on_time is not None:
            self.on_time(moment)
        answers = self._answers
        while answers and answers[0][0] == moment:
            heapq.heappop(answers)[2]()
