"""Time-outs on any time source, fair to a loop that was blocked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

from kit.core.time_source import Timer, TimeSource

T = TypeVar("T")

_SLICES = 8


class _Countdown:
    """Expire a ``asyncio.timeout`` scope after ``seconds`` during which the loop was alive."""

    def __init__(self, scope: asyncio.Timeout, seconds: float, time_source: TimeSource) -> None:
        self._scope = scope
        self._source = time_source
        self._slice = seconds / _SLICES
        self._slices_left = _SLICES
        self._loop = asyncio.get_running_loop()
        self._timer: Timer = time_source.call_later(self._slice, self._count)

    def cancel(self) -> None:
        self._timer.cancel()

    def _count(self) -> None:
        self._slices_left -= 1
        if self._slices_left > 0:
            self._timer = self._source.call_later(self._slice, self._count)
        else:
            # A time in the past expires the scope at once, with the standard library's cancellation rules.
            self._scope.reschedule(self._loop.time())


async def wait_for(awaitable: Awaitable[T], seconds: float, time_source: TimeSource) -> T:
    """Await ``awaitable`` for at most ``seconds`` of ``time_source``; raises ``TimeoutError`` after cancelling it.

    Time during which the loop was blocked hardly counts (at most an eighth of ``seconds`` a time): an answer that came
    in while a notebook's cell computed is read before the time is up. Infinity never expires.
    """
    if seconds == math.inf:
        return await awaitable
    async with asyncio.timeout(None) as scope:
        countdown = _Countdown(scope, seconds, time_source)
        try:
            return await awaitable
        finally:
            countdown.cancel()
