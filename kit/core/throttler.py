"""Rate limits: who may send when, so that no limit of the exchange is ever exceeded and cancels go first."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kit.core.clock import SYSTEM_TIME
from kit.core.rate_windows import Demand, Priority, Waiter, WaitingRoom, Window, earliest
from kit.core.time_source import Timer, TimeSource
from kit.errors import InvalidInput

__all__ = ["AsyncThrottler", "LinkedLimit", "Priority", "RateLimit"]

logger = logging.getLogger(__name__)

# A timer must move time on: below the resolution of a float of epoch size it would fire for ever at the same time.
_SHORTEST_TIMER = 1e-6


@dataclass(frozen=True)
class LinkedLimit:
    """Another limit that a request also counts against, with ``weight``."""

    limit_id: str
    weight: int = 1


@dataclass(frozen=True)
class RateLimit:
    """At most ``limit`` weight in any ``interval`` seconds; a request under this id weighs ``weight``.

    Each request counts against the ``linked`` limits as well (their own links are not followed). Raises
    ``InvalidInput`` for values out of range.
    """

    limit_id: str
    limit: int
    interval: float
    weight: int = 1
    linked: tuple[LinkedLimit, ...] = ()

    def __post_init__(self) -> None:
        if not self.limit >= 1:
            raise InvalidInput(f"limit of {self.limit_id!r} must be 1 or more, got {self.limit!r}")
        if not 0 < self.interval < math.inf:
            raise InvalidInput(f"interval of {self.limit_id!r} must be seconds above 0, got {self.interval!r}")
        for weight in (self.weight, *(link.weight for link in self.linked)):
            if not weight >= 0:
                raise InvalidInput(f"weights of {self.limit_id!r} must be 0 or more, got {weight!r}")


class AsyncThrottler:
    """Let requests pass as the limits allow: sliding windows, weights, linked limits, priorities.

    Of those who wait, the lower ``Priority`` number goes first, then the first come; but nobody waits behind a request
    that is stopped by a limit of its own. A request that does not fit yet has its weight reserved against all that
    rank behind it, so a big one is not starved by small ones. One timer wakes the waiters; the cost of a request does
    not grow with the requests in the window or with the number of waiters.

    ``share`` (a fraction, above 0 to 1) is the part of each limit that this throttler may use. For use on the loop's
    thread. Raises ``InvalidInput`` for unknown links, ids given twice, and weights that can never pass.
    """

    def __init__(
        self, limits: Sequence[RateLimit], *, share: float = 1.0, time_source: TimeSource = SYSTEM_TIME
    ) -> None:
        if not 0 < share <= 1:
            raise InvalidInput(f"share must be above 0 and at most 1, got {share!r}")
        self._source = time_source
        self._limits = {limit.limit_id: limit for limit in limits}
        if len(self._limits) < len(limits):
            raise InvalidInput(f"limit ids must differ, got {[limit.limit_id for limit in limits]}")
        # The small addend keeps 100 * 0.29 at 29.
        self._windows = {
            limit.limit_id: Window(max(1, math.floor(limit.limit * share + 1e-9)), limit.interval) for limit in limits
        }
        self._demands = {limit.limit_id: self._demands_of(limit, limit.weight) for limit in limits}
        self._room = WaitingRoom()
        self._timer: Timer | None = None
        self._timer_due = math.inf

    @property
    def usage(self) -> dict[str, tuple[int, int]]:
        """Return by limit id the weight used in the present window and the most that may be used."""
        now = self._source.monotonic()
        for window in self._windows.values():
            window.expire(now)
        return {limit_id: (window.used, window.capacity) for limit_id, window in self._windows.items()}

    @property
    def waiting(self) -> int:
        """Return how many requests wait."""
        return len(self._room)

    async def acquire(self, limit_id: str, *, priority: Priority = Priority.QUERY, weight: int | None = None) -> None:
        """Wait until a request under ``limit_id`` may be sent, and count it.

        ``weight`` replaces the limit's own weight (not those of its links). A caller that is cancelled while it waits
        uses nothing. Raises ``InvalidInput`` for an unknown id and for a weight above the limit.
        """
        demands = self._demands_for(limit_id, weight)
        if not self._room and self._try(demands, priority):
            return
        waiter = Waiter(demands, priority, asyncio.get_running_loop().create_future())
        self._room.add(limit_id, waiter)
        self._serve()
        try:
            if waiter.future.done():
                # Served at once, maybe together with others that came before: those go on first.
                await asyncio.sleep(0)
            await waiter.future
        except asyncio.CancelledError:
            now = self._source.monotonic()
            for window, charge in waiter.charges:
                window.refund(charge, now)
            self._serve()
            raise

    def try_acquire(self, limit_id: str, *, priority: Priority = Priority.QUERY, weight: int | None = None) -> bool:
        """Count a request and return ``True`` if it may be sent now, ahead of nobody who ranks before it."""
        return self._try(self._demands_for(limit_id, weight), priority)

    @asynccontextmanager
    async def execute(
        self, limit_id: str, *, priority: Priority = Priority.QUERY, weight: int | None = None
    ) -> AsyncIterator[None]:
        """Wait as ``acquire`` does before the block is entered."""
        await self.acquire(limit_id, priority=priority, weight=weight)
        yield

    def set_used(self, limit_id: str, used: int) -> None:
        """Take over the weight that the exchange says is used; counts only where it is more than our own count.

        The surplus (requests of other programs of this account or address) counts as used just now.
        """
        window = self._windows[self._known(limit_id)]
        now = self._source.monotonic()
        window.expire(now)
        if used > window.used:
            window.charge(now, used - window.used)

    def pause(self, seconds: float, *, limit_id: str | None = None) -> None:
        """Let nothing pass for ``seconds``, of any priority: what an exchange asks for by Retry-After.

        With ``limit_id`` only requests that count against that limit wait. A pause never shortens another; zero or
        less does nothing. Raises ``InvalidInput`` for NaN or infinity.
        """
        if not math.isfinite(seconds):
            raise InvalidInput(f"a pause must be a finite number of seconds, got {seconds!r}")
        if seconds <= 0:
            return
        until = self._source.monotonic() + seconds
        affected = self._windows.values() if limit_id is None else [self._windows[self._known(limit_id)]]
        for window in affected:
            window.paused_until = max(window.paused_until, until)
        logger.warning("requests under %s pause for %.1f s", limit_id or "all limits", seconds)

    def _known(self, limit_id: str) -> str:
        if limit_id not in self._limits:
            raise InvalidInput(f"unknown rate limit {limit_id!r}; this throttler has {sorted(self._limits)}")
        return limit_id

    def _demands_for(self, limit_id: str, weight: int | None) -> tuple[Demand, ...]:
        limit = self._limits[self._known(limit_id)]
        if weight is None or weight == limit.weight:
            return self._demands[limit_id]
        return self._demands_of(limit, weight)

    def _demands_of(self, limit: RateLimit, weight: int) -> tuple[Demand, ...]:
        weights = {limit.limit_id: weight}
        for link in limit.linked:
            if link.limit_id not in self._limits:
                raise InvalidInput(f"{limit.limit_id!r} is linked to {link.limit_id!r}, which is not among the limits")
            weights[link.limit_id] = weights.get(link.limit_id, 0) + link.weight
        for limit_id, needed in weights.items():
            capacity = self._windows[limit_id].capacity
            if not 0 <= needed <= capacity:
                raise InvalidInput(
                    f"a request under {limit.limit_id!r} weighs {needed!r} on {limit_id!r}, which allows 0 to "
                    f"{capacity} in {self._windows[limit_id].interval:g} s: it could never be sent"
                )
        return tuple((self._windows[limit_id], needed) for limit_id, needed in weights.items())

    def _try(self, demands: Sequence[Demand], priority: Priority) -> bool:
        if self._room:
            # After a blocked loop the timer is still to come: those who wait go before a newcomer.
            self._serve()
        now = self._source.monotonic()
        reserved = self._room.reservations(priority) if self._room else {}
        if earliest(demands, reserved, now) > now:
            return False
        for window, weight in demands:
            window.charge(now, weight)
        return True

    def _serve(self) -> None:
        """Wake those who fit, and set the one timer to when the next may."""
        now = self._source.monotonic()
        again = self._room.serve(now)
        if self._timer is not None:
            if again >= self._timer_due and self._room:
                return
            self._timer.cancel()
            self._timer = None
        if again < math.inf:
            self._timer_due = again
            self._timer = self._source.call_later(max(again - now, _SHORTEST_TIMER), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._serve()
