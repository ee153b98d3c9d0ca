"""Requests that change something: ranked with the limiter, judged by the table, repeated only when that is harmless."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kit.connectors.ccxt_errors import Fault, SendOutcome
from kit.connectors.ccxt_taps import ANSWER_EXPECTED, FLIGHT, Flight
from kit.core.clock import TimeSource
from kit.core.throttler import Priority
from kit.errors import RateLimited

PRIORITY: ContextVar[Priority] = ContextVar("kit_priority", default=Priority.POLL)
"""The rank of the requests that the present task makes."""

LONGEST_WAIT = 5.0
"""An order that waited longer than this for the exchange's leave has failed: its price is of the past."""

_FIRST_BACKOFF = 0.25


@contextlib.contextmanager
def ranked(priority: Priority, *, answered: bool = False) -> Iterator[None]:
    """Give the requests made inside a rank with the limiter; ``answered`` takes an answer without content for none."""
    rank, expected = PRIORITY.set(priority), ANSWER_EXPECTED.set(answered)
    try:
        yield
    finally:
        PRIORITY.reset(rank)
        ANSWER_EXPECTED.reset(expected)


class Settled(Exception):
    """Carries the fault that ended the attempts of one request."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault.error))
        self.fault = fault


@dataclass
class Courier:
    """Carries one request at a time to the exchange, as often as its outcomes allow.

    ``admit_order`` waits until a new order may be sent; ``judge(exc, sent)`` tells what a foreign error means;
    ``resync`` reads the exchange's clock anew.
    """

    admit_order: Callable[[], Awaitable[None]]
    time_source: TimeSource
    judge: Callable[[BaseException, bool], Fault]
    resync: Callable[[], Awaitable[None]]
    retried: int = 0

    async def carry(
        self, call: Callable[[], Awaitable[Any]], flight: Flight, *, is_order: bool, ambiguous_tries: int = 1
    ) -> Any:
        """Send until the exchange took the request or refused it for good, and return the answer.

        What was refused for the moment is sent again, for at most 5 s; after a clock error once, on the clock read
        anew; with an ambiguous outcome up to ``ambiguous_tries`` times in all, which only cancels may ask for. Raises
        ``Settled``.
        """
        waited, attempt, resynced = 0.0, 0, False
        while True:
            attempt += 1
            answer, fault = await self._once(call, flight, is_order)
            if fault is None:
                return answer
            wait = _wait(fault, attempt)
            if not _may_repeat(fault, attempt, ambiguous_tries) or waited + wait > LONGEST_WAIT:
                raise Settled(fault)
            if fault.resync_clock and resynced:
                raise Settled(fault)
            self.retried += 1
            if fault.resync_clock:
                resynced = True
                await self.resync()
            else:
                waited += wait
                await self.time_source.sleep(wait)

    async def _once(
        self, call: Callable[[], Awaitable[Any]], flight: Flight, is_order: bool
    ) -> tuple[Any, Fault | None]:
        flight.sent = False
        token = FLIGHT.set(flight)
        try:
            if is_order:
                await self.admit_order()
            return await call(), None
        except Exception as exc:  # noqa: BLE001  # the boundary: whatever ccxt raised is judged by the table
            fault = self.judge(exc, flight.sent)
            if fault.outcome is not SendOutcome.AMBIGUOUS:
                flight.sent = False  # the exchange has said that nothing came of it
            return None, fault
        finally:
            FLIGHT.reset(token)


def _wait(fault: Fault, attempt: int) -> float:
    told = fault.error.retry_after if isinstance(fault.error, RateLimited) else None
    return _FIRST_BACKOFF * 2.0 ** (attempt - 1) if told is None else told


def _may_repeat(fault: Fault, attempt: int, ambiguous_tries: int) -> bool:
    if fault.outcome is SendOutcome.RETRY:
        return True
    return fault.outcome is SendOutcome.AMBIGUOUS and attempt < ambiguous_tries
