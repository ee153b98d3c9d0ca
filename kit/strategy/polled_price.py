"""Prices that a function or a URL is asked for from time to time."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

from kit.core.clock import SYSTEM_TIME, Clock, ClockMode
from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.core.waiting import wait_for
from kit.errors import InvalidInput, NotReady
from kit.strategy.price_source import NAN, PriceSource, is_price
from kit.types.market import PriceType

logger = logging.getLogger(__name__)

URL_TIMEOUT_SECONDS: Final = 10.0
URL_MOST_BYTES: Final = 65536
ANSWER_TIMEOUT_SECONDS: Final = 60.0
"""How long an answer is awaited where no limit is set on its age."""


class PolledPrice(PriceSource):
    """A plain function that returns a number, called within the strategy's tick every ``interval`` seconds.

    It must return at once: what waits for a network is written ``async def`` (see ``AwaitedPrice``), or returns what is
    to be awaited, such as ``lambda: fetch("BTC")``. An exception or an answer that is no positive number is logged and
    counts as no answer; the last good one holds until it is stale. An answer that does not come within ``stale_after``
    seconds is given up.
    """

    _hint = ""

    def __init__(
        self, fetch: Callable[[], Any], name: str | None = None, *, time_source: TimeSource = SYSTEM_TIME
    ) -> None:
        self._fetch = fetch
        self.name = name or str(getattr(fetch, "__name__", type(fetch).__name__))
        self._time = time_source
        self._clock: Clock | None = None
        self._task: asyncio.Task[None] | None = None
        self._users = 0
        self._value = NAN
        self._answered_at = self._asked_at = -math.inf
        self._now = -math.inf
        self._interval = 5.0
        self._stale_after: float | None = None
        self.error = ""

    def start(self, clock: Clock) -> None:
        """Begin; strategies may share a source."""
        self._clock = clock
        self._users += 1

    def stop(self) -> None:
        """End the task, where there is one and this was the last strategy that uses it."""
        self._users = max(0, self._users - 1)
        if self._task is not None and not self._users:
            self._task.cancel()
            self._task = None

    def tick(self, now: float, interval: float, stale_after: float | None) -> None:
        """Ask where it is time."""
        self._note(now, interval, stale_after)
        if now - self._asked_at >= interval and (self._task is None or self._task.done()):
            self._asked_at = now
            try:
                found = self._fetch()
                if inspect.isawaitable(found):
                    self._await_later(found)
                else:
                    self.answer(found, now)
            except Exception as error:  # noqa: BLE001 - the boundary to a user's function; without a price nothing is quoted
                self.failed(error)

    def _note(self, now: float, interval: float, stale_after: float | None) -> None:
        self._now, self._interval, self._stale_after = now, interval, stale_after

    def _await_later(self, found: Awaitable[Any]) -> None:
        # One that is given up before it began must be closed, or Python warns of it.
        close = found.close if inspect.iscoroutine(found) else lambda: None
        try:
            clock = self._running(self._clock)
            self._task = self._spawn(self._take(found, clock))
        except NotReady:
            close()
            raise
        self._task.add_done_callback(lambda _: close())

    def _running(self, clock: Clock | None) -> Clock:
        if clock is None or clock.mode is not ClockMode.REALTIME:
            raise NotReady(f"{self.name} waits for answers, which a backtest cannot; give a plain function instead")
        return clock

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        return TaskSupervisor(f"price source {self.name}").spawn(work, name=self.name)

    async def _take(self, awaitable: Awaitable[Any], clock: Clock) -> None:
        # What takes longer than an answer may be old is given up: one lost request must not end the asking.
        limit = self._stale_after or max(self._interval, ANSWER_TIMEOUT_SECONDS)
        try:
            self.answer(await wait_for(awaitable, limit, self._time), clock.time())
        except TimeoutError:
            self.failed(NotReady(f"{self.name} did not answer in time, {limit:g} s at most"))
        except Exception as error:  # noqa: BLE001 - the boundary to foreign code and the network
            self.failed(error)

    def answer(self, value: Any, now: float) -> None:
        """Take an answer that came at ``now``; raises ``InvalidInput`` where it is no price."""
        try:
            price = Decimal(str(value).strip())
        except InvalidOperation:
            price = NAN
        if not is_price(price):
            raise InvalidInput(f"{self.name} answered {str(value)[:40]!r}, which is no price{self._hint}")
        self._value, self._answered_at, self.error = price, now, ""

    def failed(self, error: Exception) -> None:
        """Note that there was no answer; the same error in a row is logged once."""
        # Only our own words are shown: foreign texts may carry an address with a key in it.
        text = str(error) if isinstance(error, (InvalidInput, NotReady)) else type(error).__name__
        if text != self.error:
            self.error = text
            logger.warning("price source %s gave no price: %s", self.name, text)

    @property
    def age(self) -> float:
        """Return how old the last good answer is, in seconds; infinite before the first."""
        return max(0.0, self._now - self._answered_at)

    def price(self, price_type: PriceType) -> Decimal:  # noqa: ARG002
        """Return the last good answer, NaN when it is stale."""
        return NAN if self.problem else self._value

    @property
    def problem(self) -> str:
        """Tell when there is no answer, or an old one."""
        said = f": {self.error}" if self.error else ""
        if math.isinf(self.age):
            return f"{self.name} has not answered yet{said}"
        if self._stale_after is not None and self.age > self._stale_after:
            return f"the last answer of {self.name} is {self.age:.0f} s old, limit {self._stale_after:g} s{said}"
        return ""


class AwaitedPrice(PolledPrice):
    """An ``async`` function that returns a number, awaited in a task of its own every ``interval`` seconds.

    One that does not answer within ``stale_after`` seconds is cancelled and asked again.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[Any]], name: str | None = None, *, time_source: TimeSource = SYSTEM_TIME
    ) -> None:
        super().__init__(fetch, name, time_source=time_source)
        self._hurried = asyncio.Event()

    def start(self, clock: Clock) -> None:
        """Begin to ask; raises ``NotReady`` in a backtest, where nobody could wait for the answers."""
        self._running(clock)
        # Strategies may share a source: one task asks for all of them, anew where the loop of the last run ended it.
        if self._task is None or self._task.done():
            self._hurried = asyncio.Event()
            self._task = self._spawn(self._ask_for_ever(clock))
        super().start(clock)

    def tick(self, now: float, interval: float, stale_after: float | None) -> None:
        """Take note of the time and of the settings; the task does the asking."""
        if interval < self._interval:
            self._hurried.set()
        self._note(now, interval, stale_after)

    async def _ask_for_ever(self, clock: Clock) -> None:
        while True:
            self._hurried.clear()
            await self._take(self._fetch(), clock)
            with contextlib.suppress(TimeoutError):
                await wait_for(self._hurried.wait(), self._interval, self._time)


class UrlPrice(AwaitedPrice):
    """A URL that answers GET with a number as plain text.

    ``parse`` makes a number of another text, such as JSON. Only the host's name appears in logs and explanations.
    """

    def __init__(
        self, url: str, *, parse: Callable[[str], Any] | None = None, time_source: TimeSource = SYSTEM_TIME
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise InvalidInput("the URL of a price source must begin with http:// or https://")
        super().__init__(self._get, urlsplit(url).hostname or "URL", time_source=time_source)
        self._url = url
        self._parse = parse or str
        if parse is None:
            self._hint = "; kit.UrlPrice(url, parse=…) reads other texts, such as JSON"

    async def _get(self) -> Any:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=URL_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._url) as response:
            if response.status != 200:
                raise InvalidInput(f"{self.name} answered with HTTP status {response.status}")
            body = b""
            async for part in response.content.iter_any():
                body += part
                if len(body) > URL_MOST_BYTES:
                    raise InvalidInput(f"{self.name} answered with more than {URL_MOST_BYTES} bytes")
            return self._parse(body.decode(response.charset or "utf-8", "replace"))
