"""Where a strategy's reference price may come from, if not from its own market."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import urlsplit

from kit.connectors.pairs import normalize_pair
from kit.core.clock import SYSTEM_TIME, Clock, ClockMode
from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.core.waiting import wait_for
from kit.errors import InvalidInput, NotReady
from kit.strategy.market_api import Market
from kit.types.market import PriceType

logger = logging.getLogger(__name__)

NAN: Final = Decimal("NaN")
URL_TIMEOUT_SECONDS: Final = 10.0
ANSWER_TIMEOUT_SECONDS: Final = 60.0
"""How long an answer is awaited where no limit is set on its age."""


class PriceSource:
    """Something that knows a price in quote. A subclass needs ``price`` only.

    A strategy calls ``start`` and ``stop`` as it starts and stops, and ``tick`` once before it asks.
    """

    name: str = "price source"

    def start(self, clock: Clock) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""

    def tick(self, now: float, interval: float, stale_after: float | None) -> None:
        """Take note of the time and of the settings, all in seconds."""

    def price(self, price_type: PriceType) -> Decimal:
        """Return the price, NaN where there is none. A source that knows one price ignores the type."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """Return why there is no price now; empty where there is one."""
        return ""


class MarketPrice(PriceSource):
    """The prices of a pair on another market."""

    def __init__(self, market: Market, trading_pair: str | None = None) -> None:
        pairs = market.trading_pairs
        pair = normalize_pair(trading_pair) if trading_pair is not None else pairs[0] if len(pairs) == 1 else None
        if pair not in pairs:
            raise InvalidInput(
                f"the price source needs a pair that {market.name} streams: {', '.join(pairs) or 'none'}; "
                f"give price_source=(market, 'BTC/USDT')"
            )
        self._market = market
        self._pair = pair
        self.name = f"{market.name} {pair}"

    def price(self, price_type: PriceType) -> Decimal:
        """Return that market's price of the type."""
        return self._market.get_price_by_type(self._pair, price_type) if self._market.ready else NAN

    @property
    def problem(self) -> str:
        """Tell when the other market is not ready."""
        return "" if self._market.ready else f"{self._market.name} is not ready"


class PolledPrice(PriceSource):
    """A plain function that returns a number, called within the strategy's tick every ``interval`` seconds.

    It must return at once: what waits for a network is written ``async def`` (see ``AwaitedPrice``). An exception or an
    answer that is no positive number is logged and counts as no answer; the last good one holds until it is stale.
    """

    def __init__(self, fetch: Callable[[], Any], name: str | None = None) -> None:
        self._fetch = fetch
        self.name = name or str(getattr(fetch, "__name__", type(fetch).__name__))
        self._value = NAN
        self._answered_at = self._asked_at = -math.inf
        self._now = -math.inf
        self._interval = 5.0
        self._stale_after: float | None = None
        self.error = ""

    def tick(self, now: float, interval: float, stale_after: float | None) -> None:
        """Ask where it is time."""
        self._note(now, interval, stale_after)
        if now - self._asked_at >= interval:
            self._asked_at = now
            try:
                self.answer(self._fetch(), now)
            except Exception as error:  # noqa: BLE001 - the boundary to a user's function; without a price nothing is quoted
                self.failed(error)

    def _note(self, now: float, interval: float, stale_after: float | None) -> None:
        self._now, self._interval, self._stale_after = now, interval, stale_after

    def answer(self, value: Any, now: float) -> None:
        """Take an answer that came at ``now``; raises ``InvalidInput`` where it is no price."""
        try:
            price = Decimal(str(value).strip())
        except InvalidOperation:
            price = NAN
        if not (price.is_finite() and price > 0):
            raise InvalidInput(f"{self.name} answered {str(value)[:40]!r}, which is no price")
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
        super().__init__(fetch, name)
        self._time = time_source
        self._task: asyncio.Task[None] | None = None
        self._users = 0

    def start(self, clock: Clock) -> None:
        """Begin to ask; raises ``NotReady`` in a backtest, where nobody could wait for the answers."""
        if clock.mode is not ClockMode.REALTIME:
            raise NotReady(f"{self.name} waits for answers, which a backtest cannot; give a plain function instead")
        # Strategies may share a source: one task asks for all of them, anew where the loop of the last run ended it.
        if self._task is None or self._task.done():
            self._task = TaskSupervisor(f"price source {self.name}").spawn(self._ask_for_ever(clock), name=self.name)
        self._users += 1

    def stop(self) -> None:
        """End the task, where this was the last strategy that uses it."""
        self._users = max(0, self._users - 1)
        if self._task is not None and not self._users:
            self._task.cancel()
            self._task = None

    def tick(self, now: float, interval: float, stale_after: float | None) -> None:
        """Take note of the time and of the settings; the task does the asking."""
        self._note(now, interval, stale_after)

    async def _ask_for_ever(self, clock: Clock) -> None:
        while True:
            # What takes longer than an answer may be old is given up: one lost request must not end the asking.
            limit = self._stale_after or max(self._interval, ANSWER_TIMEOUT_SECONDS)
            try:
                self.answer(await wait_for(self._fetch(), limit, self._time), clock.time())
            except TimeoutError:
                self.failed(NotReady(f"{self.name} did not answer in time, {limit:g} s at most"))
            except Exception as error:  # noqa: BLE001 - the boundary to foreign code and the network
                self.failed(error)
            await self._time.sleep(self._interval)


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

    async def _get(self) -> Any:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=URL_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._url) as response:
            if response.status != 200:
                raise InvalidInput(f"{self.name} answered with HTTP status {response.status}")
            return self._parse(await response.text())


def as_price_source(source: Any) -> PriceSource | None:
    """Make a price source of what a user gives: a market, (market, pair), a URL, a callable, an object with ``price``.

    ``None`` is the strategy's own market. Raises ``InvalidInput`` for anything else.
    """
    if source is None or isinstance(source, PriceSource):
        return source
    if isinstance(source, str):
        return UrlPrice(source)
    if isinstance(source, tuple) and len(source) == 2:
        return MarketPrice(*source)
    if hasattr(source, "get_price_by_type"):
        return MarketPrice(source)
    fetch = getattr(source, "price", source)
    if callable(fetch):
        return AwaitedPrice(fetch) if inspect.iscoroutinefunction(fetch) else PolledPrice(fetch)
    raise InvalidInput(
        f"{source!r} is no price source; give a market, (market, 'BTC/USDT'), a URL, or a function without arguments"
    )
