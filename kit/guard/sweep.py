"""One account swept: cancel, ask what is left, and again, until the exchange has said for some seconds: nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kit.core.time_source import TimeSource
from kit.errors import AmbiguousOutcome, KitError, TryAgain
from kit.guard.account import AccountClient
from kit.guard.diary import Diary
from kit.types.orders import OrderUpdate

SETTLE: Final = 3.0
"""Seconds for which the question is repeated: an order on its way may be accepted ``recv_window`` (2.5 s) later."""

_QUIET: Final = 1.0
_AGAIN: Final = 0.05
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.1, 15.0
_PATIENCE: Final = 24 * 3600.0
_PATIENCE_NEVER_REACHED: Final = 300.0
"""With an exchange that never answered this guard at all: then the core is unlikely to have orders there."""
_PATIENCE_REFUSED: Final = 60.0
"""With an error that does not pass by itself, such as a revoked key."""
_PATIENCE_HERE: Final = 20.0
"""With an exchange on this machine: a test exchange that does not answer has ended, and its orders with it."""


class Sweep:
    """Sweeps one account of the orders that ``wanted`` picks; ``began`` is monotonic.

    ``first_clear`` is the monotonic time at which none was left for the first time since the last one was seen;
    ``on_clear`` hears of each such moment. ``wanted`` may become narrower while the sweep runs.
    """

    def __init__(
        self,
        client: AccountClient,
        wanted: Callable[[OrderUpdate], bool],
        diary: Diary,
        time_source: TimeSource,
        *,
        on_clear: Callable[[], None],
    ) -> None:
        self.client = client
        self.began = time_source.monotonic()
        self.first_clear: float | None = None
        self.seen: dict[str, None] = {}
        self.failure = ""
        self._wanted = wanted
        self._diary = diary
        self._time_source = time_source
        self._on_clear = on_clear
        self._last_seen = float("-inf")
        self._failing_since: float | None = None
        self._backoff = _FIRST_BACKOFF

    def restart(self) -> None:
        """Begin the seconds of repeated questions anew."""
        self.began = self._time_source.monotonic()

    async def run(self) -> None:
        """Sweep until verified; gives up only when the exchange refuses to answer for long, with ``failure`` set."""
        pause = _AGAIN
        while not self.client.closed:
            asked = self._time_source.monotonic()
            orders, failure = await self.client.open_orders()
            found = [order for order in orders if self._wanted(order)]
            if found:
                await self._cancel(found)
                pause = _AGAIN
            if failure is not None:
                if self._given_up(failure):
                    return
                await self._time_source.sleep(self._backoff)
                self._backoff = min(self._backoff * 2, _LONGEST_BACKOFF)
                continue
            self._failing_since, self._backoff, self.failure = None, _FIRST_BACKOFF, ""
            if not found:
                self._clear()
                if asked >= max(self.began + SETTLE, self._last_seen + _QUIET):
                    return
                pause = min(pause * 2, _QUIET)
            await self._time_source.sleep(pause)

    async def _cancel(self, found: list[OrderUpdate]) -> None:
        order_ids = [order.client_order_id or "" for order in found]
        name = self.client.account.name
        fresh = [order_id for order_id in order_ids if order_id not in self.seen]
        if fresh:
            self._diary.note("cancel", f"{name}: cancelling {len(fresh)} open orders", orders=fresh)
        self.seen |= dict.fromkeys(order_ids)
        self.first_clear = None
        await self.client.cancel(found)
        self._last_seen = self._time_source.monotonic()

    def _clear(self) -> None:
        if self.first_clear is None:
            self.first_clear = self._time_source.monotonic()
            took = self.first_clear - self.began
            self._diary.note("clear", f"{self.client.account.name}: no open order is left, after {took:.2f} s")
            self._on_clear()

    def _given_up(self, failure: KitError) -> bool:
        now = self._time_source.monotonic()
        name, why = self.client.account.name, f"{type(failure).__name__}: {failure}"
        if self._failing_since is None:
            self._failing_since = now
        if why != self.failure:
            self._diary.note("unreachable", f"{name}: {why}; asking again until it answers")
        self.failure = why
        if now - self._failing_since <= self._patience(failure):
            return False
        self._diary.note("given up", f"{name}: not verified after {now - self._failing_since:.0f} s: {why}")
        return True

    def _patience(self, failure: KitError) -> float:
        if self.client.on_this_machine:
            return _PATIENCE_HERE
        if not self.client.reached:
            return _PATIENCE_NEVER_REACHED
        return _PATIENCE if isinstance(failure, TryAgain | AmbiguousOutcome) else _PATIENCE_REFUSED
