"""The bookkeeping under the throttler: sliding windows of charges, and those who wait for room in them."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TypeAlias


class Priority(IntEnum):
    """Who goes first when requests wait for the same limit; within a priority the first come."""

    CANCEL = 0
    CREATE = 1
    QUERY = 2
    POLL = 3


class Charge:
    """Weight that was used at a time."""

    __slots__ = ("time", "weight")

    def __init__(self, time: float, weight: int) -> None:
        self.time = time
        self.weight = weight


class Window:
    """The weight used within the last ``interval`` seconds, as a running sum: each charge is added and dropped once."""

    __slots__ = ("_charges", "capacity", "interval", "paused_until", "used")

    def __init__(self, capacity: int, interval: float) -> None:
        self.capacity = capacity
        self.interval = interval
        self.used = 0
        self.paused_until = -math.inf
        self._charges: deque[Charge] = deque()

    def expire(self, now: float) -> None:
        """Drop charges that are ``interval`` old."""
        charges = self._charges
        while charges and charges[0].time + self.interval <= now:
            self.used -= charges.popleft().weight

    def charge(self, now: float, weight: int) -> Charge:
        """Book ``weight`` at ``now``, which is not before earlier charges."""
        charge = Charge(now, weight)
        if weight:
            self._charges.append(charge)
            self.used += weight
        return charge

    def refund(self, charge: Charge, now: float) -> None:
        """Take a charge back that was not used after all."""
        if charge.time + self.interval > now:
            self.used -= charge.weight
            charge.weight = 0

    def free_at(self, now: float, weight: int, reserved: int) -> float:
        """Return ``now`` when ``weight`` fits beside what is used and reserved, else when to look again.

        Infinity: only reservations are in the way, which end when those who hold them are served.
        """
        self.expire(now)
        if now < self.paused_until:
            return self.paused_until
        if self.used + reserved + weight <= self.capacity:
            return now
        if self.used + weight <= self.capacity:
            return math.inf
        return self._charges[0].time + self.interval


Demand: TypeAlias = tuple[Window, int]
"""So much weight in that window."""

Reservations: TypeAlias = dict[Window, int]


def earliest(demands: Sequence[Demand], reserved: Reservations, now: float) -> float:
    """Return ``now`` when all demands fit, else the soonest time worth another look."""
    return max((window.free_at(now, weight, reserved.get(window, 0)) for window, weight in demands), default=now)


class Waiter:
    """One request that waits; ``charges`` are what it got when it was served."""

    __slots__ = ("charges", "demands", "future", "priority")

    def __init__(self, demands: Sequence[Demand], priority: int, future: asyncio.Future[None]) -> None:
        self.demands = demands
        self.priority = priority
        self.future = future
        self.charges: list[tuple[Window, Charge]] = []


class _Lane:
    """Those who wait under one limit id: one queue for each priority."""

    __slots__ = ("queues",)

    def __init__(self) -> None:
        self.queues: tuple[deque[tuple[int, Waiter]], ...] = tuple(deque() for _ in Priority)

    def head(self) -> tuple[int, int, Waiter] | None:
        """Return (priority, number, waiter) of who is first, dropping those who gave up."""
        for priority, queue in enumerate(self.queues):
            while queue and queue[0][1].future.done():
                queue.popleft()
            if queue:
                return priority, *queue[0]
        return None

    def pop(self, priority: int) -> None:
        self.queues[priority].popleft()


class WaitingRoom:
    """All who wait, one lane a limit id, so that a step costs the number of lanes, never the number of waiters.

    Within a lane all want the same windows; when its first does not fit, the ones behind it may not either, because
    the first one's weight is reserved: small requests never overtake a big one for ever.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        lanes = self._lanes.values()
        return sum(not waiter.future.done() for lane in lanes for queue in lane.queues for _, waiter in queue)

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, limit_id: str, waiter: Waiter) -> None:
        """Put ``waiter`` at the end of its priority in the lane of ``limit_id``."""
        lane = self._lanes.setdefault(limit_id, _Lane())
        lane.queues[waiter.priority].append((next(self._numbers), waiter))

    def reservations(self, priority: int) -> Reservations:
        """Return what is reserved by the first of each lane against a newcomer of ``priority``."""
        reserved: Reservations = {}
        for rank, _, waiter, _ in self._heads():
            if rank <= priority:
                _reserve(reserved, waiter.demands)
        return reserved

    def serve(self, now: float) -> float:
        """Charge and wake everybody who fits, the first in rank first; return when to serve again.

        A priority's first of a lane that does not fit has its weight reserved against all who come after it in rank.
        """
        heads = [(rank, number, limit_id) for rank, number, _, limit_id in self._heads()]
        heapq.heapify(heads)
        reserved: Reservations = {}
        again = math.inf
        while heads:
            rank, _, limit_id = heapq.heappop(heads)
            lane = self._lanes[limit_id]
            head = lane.head()
            if head is None:
                del self._lanes[limit_id]
                continue
            waiter = head[2]
            free_at = earliest(waiter.demands, reserved, now)
            if free_at > now:
                again = min(again, free_at)
                _reserve(reserved, waiter.demands)
                continue
            lane.pop(rank)
            waiter.charges = [(window, window.charge(now, weight)) for window, weight in waiter.demands]
            waiter.future.set_result(None)
            following = lane.head()
            if following is None:
                del self._lanes[limit_id]
            else:
                heapq.heappush(heads, (following[0], following[1], limit_id))
        return again

    def _heads(self) -> Iterator[tuple[int, int, Waiter, str]]:
        for limit_id, lane in tuple(self._lanes.items()):
            head = lane.head()
            if head is None:
                del self._lanes[limit_id]
            else:
                yield *head, limit_id


def _reserve(reserved: Reservations, demands: Sequence[Demand]) -> None:
    for window, weight in demands:
        reserved[window] = reserved.get(window, 0) + weight
