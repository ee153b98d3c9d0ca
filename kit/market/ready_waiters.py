"""Coroutines that wait for books to become ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kit.core.clock import TimeSource
from kit.errors import NotReady
from kit.market.book_registry import BookRegistry

_Pairs = tuple[str, ...] | None


class ReadyWaiters:
    """Wake those who wait when ``wake`` finds their pairs ready; fail them on time-out or by ``fail_all``."""

    def __init__(self, registry: BookRegistry, time_source: TimeSource) -> None:
        self._registry = registry
        self._time = time_source
        self._waiters: dict[asyncio.Future[None], _Pairs] = {}

    async def wait(self, timeout: float, trading_pairs: Sequence[str] | None) -> None:
        """Return when the pairs (``None``: all) are ready; raises ``NotReady`` after ``timeout`` seconds."""
        pairs: _Pairs = None if trading_pairs is None else tuple(trading_pairs)
        if self._registry.ready(pairs):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = pairs
        timer = self._time.call_later(timeout, lambda: self._fail(waiter, f"within {timeout:g} s"))
        try:
            await waiter
        finally:
            timer.cancel()
            del self._waiters[waiter]

    def wake(self) -> None:
        """Let those go on whose pairs are ready."""
        for waiter, pairs in tuple(self._waiters.items()):
            if not waiter.done() and self._registry.ready(pairs):
                waiter.set_result(None)

    def fail_all(self, why: str) -> None:
        """Raise ``NotReady`` in everyone who waits."""
        for waiter in tuple(self._waiters):
            self._fail(waiter, why)

    def _fail(self, waiter: asyncio.Future[None], why: str) -> None:
        if not waiter.done():
            reasons = self._registry.explain(self._waiters[waiter])
            waiter.set_exception(NotReady(f"Order books were not ready {why}. {reasons}."))
