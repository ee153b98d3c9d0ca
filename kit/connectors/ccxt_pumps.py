"""Pumps: one task per stream that keeps ccxt watching it, and notices when ccxt does not.

Data come through the taps; what a pump awaits only tells that the stream is alive, or which error ended it. It asks
again once a second, or at once when ccxt rejected something. A pump never waits with a time limit: a cancelled waiter
of ccxt's would take all others down with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from kit.connectors.ccxt_taps import WATCHER
from kit.core.clock import TimeSource

logger = logging.getLogger(__name__)

REARM_INTERVAL = 1.0
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 30.0


@dataclass(slots=True)
class StreamState:
    """What is known of one stream; times are monotonic seconds, ``None`` for never."""

    name: str
    up: bool = False
    losses: int = 0
    failures: int = 0
    items: int = 0
    last_item: float | None = None
    last_error: str = ""
    since: float = field(default=math.nan)


@dataclass(frozen=True, slots=True)
class PumpFailure:
    """An error of a stream, the ``count``-th in a row; ``client`` is the connection it ran over, if it had one."""

    error: BaseException
    count: int
    client: Any


class StreamPump:
    """Keeps one stream up.

    ``watch`` is ccxt's call that subscribes and awaits the next update. ``on_up()`` is called when the connection that
    the stream runs over stands, ``on_down(reason)`` once for every loss, ``on_failure(failure)`` for each error that
    ``watch`` raised, with the task still running.
    """

    def __init__(
        self,
        name: str,
        watch: Callable[[], Awaitable[Any]],
        time_source: TimeSource,
        *,
        on_up: Callable[[], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        on_failure: Callable[[PumpFailure], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.authenticating = False
        self.client: Any = None
        self.state = StreamState(name)
        self._watch = watch
        self._time = time_source
        self._on_up, self._on_down, self._on_failure = on_up, on_down, on_failure
        self._rng = rng or random.Random()
        self._wake = asyncio.Event()
        self._items_before = 0

    async def run(self) -> None:
        """Watch for ever; ends by being cancelled."""
        WATCHER.set(self)
        failures = 0
        while True:
            try:
                await self._watch()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                failures += 1
                self._fail(ConnectionError("the connection was closed"), failures)  # ccxt cancels its waiters then
            except Exception as exc:  # noqa: BLE001  # the boundary: ccxt's watchers raise errors of every kind
                failures += 1
                self._fail(exc, failures)
            else:
                failures = 0
                self._stands()
            await self._pause(self._delay(failures) if failures else REARM_INTERVAL)

    def bind(self, client: Any) -> None:
        """Take note of the connection that the stream runs over, and of the moment it stands."""
        if client is self.client:
            return
        self.client = client
        if client.connected.done():
            self._connected(client)
        else:
            client.connected.add_done_callback(lambda _: self._connected(client))

    def client_lost(self, client: Any, reason: str) -> None:
        """Take note that a connection ended; another one's end is not this pump's business."""
        if client is self.client:
            self._down(reason)

    def wake(self) -> None:
        """Ask ccxt at once: something was rejected while nobody awaited it."""
        self._wake.set()

    def item(self) -> None:
        """Take note that something came through the stream."""
        self.state.items += 1
        self.state.last_item = self._time.monotonic()

    @property
    def items_since_up(self) -> int:
        """Return how many items came since the stream came up."""
        return self.state.items - self._items_before

    @property
    def age(self) -> float:
        """Return the seconds since the last item, or since the stream came up; NaN while it is down."""
        if not self.state.up:
            return math.nan
        last = self.state.since if self.state.last_item is None else max(self.state.last_item, self.state.since)
        return self._time.monotonic() - last

    def status(self) -> dict[str, Any]:
        """Return the stream's state as plain values; ``age`` in seconds since its last item."""
        state = self.state
        return {
            "up": state.up,
            "age": self.age,
            "items": state.items,
            "losses": state.losses,
            "failures": state.failures,
            "last_error": state.last_error,
        }

    def _connected(self, client: Any) -> None:
        failed = client.connected.cancelled() or client.connected.exception() is not None
        if not failed and client is self.client:
            self._stands()

    def _stands(self) -> None:
        if self.state.up:
            return
        self.state.up = True
        self.state.since = self._time.monotonic()
        self._items_before = self.state.items
        if self._on_up is not None:
            self._on_up()

    def _fail(self, exc: BaseException, count: int) -> None:
        failure = PumpFailure(exc, count, self.client)
        self.state.failures += 1
        self.state.last_error = type(exc).__name__
        self._down(type(exc).__name__)
        if self._on_failure is not None:
            self._on_failure(failure)

    def _down(self, reason: str) -> None:
        was_up, self.state.up, self.client = self.state.up, False, None
        self._wake.set()
        if was_up:
            self.state.losses += 1
            self.state.last_error = reason
            if self._on_down is not None:
                self._on_down(reason)

    def _delay(self, failures: int) -> float:
        """Return the seconds before the next try: at once the first time, then doubling to 30 s, with jitter."""
        if failures == 1:
            return 0.0
        longest = min(_FIRST_DELAY * 2.0 ** min(failures - 2, 20), _LONGEST_DELAY)
        return longest * self._rng.uniform(0.5, 1.0)

    async def _pause(self, delay: float) -> None:
        """Wait until the next try is due, or until something was rejected; after a failure only the delay counts."""
        if self.state.up:
            timer = self._time.call_later(delay, self._wake.set)
            await self._wake.wait()
            timer.cancel()
        else:
            await self._time.sleep(delay)
        self._wake.clear()
