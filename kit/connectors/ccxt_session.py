"""What the two ccxt instances of one exchange share: markets, limits, clock, secrets, and how questions are asked."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from kit.connectors.ccxt_convert import is_tradable
from kit.connectors.ccxt_errors import Fault, judge, translate
from kit.connectors.ccxt_guard import close_clients
from kit.connectors.ccxt_limits import RequestLimits
from kit.connectors.ccxt_profiles import Profile
from kit.connectors.ccxt_requests import ranked
from kit.core.clock import TimeSource
from kit.core.tasks import TaskSupervisor
from kit.core.throttler import Priority
from kit.core.time_synchronizer import TimeSynchronizer
from kit.errors import KitError, MissingCredentials, NotReady, UnknownPair
from kit.types.ports import Credentials

logger = logging.getLogger(__name__)

T = TypeVar("T")
M = TypeVar("M")

_SYNC_INTERVAL = 60.0
_SYNC_SAMPLES = 3


class Outlet(Generic[M]):
    """Hands messages of one kind to the one function attached; an error in it is logged and counted, not passed on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sink: Callable[[M], None] | None = None
        self.errors = 0

    def attach(self, sink: Callable[[M], None]) -> None:
        """Set the function; it takes the place of an earlier one."""
        self._sink = sink

    def __call__(self, message: M) -> None:
        """Hand a message on; without a function attached it is dropped."""
        if self._sink is None:
            return
        try:
            self._sink(message)
        except Exception:  # the boundary: a listener's defect must not pass for a broken frame and cut the stream
            self.errors += 1
            logger.exception("the %s sink failed on a %s", self._name, type(message).__name__)


class CcxtSession:
    """One exchange: ``data`` for public questions and streams, ``trade`` (or ``None``) for the account's.

    Both are guarded ccxt instances. ``clock`` is the one that they stamp and sign with.
    """

    def __init__(
        self,
        exchange_id: str,
        data: Any,
        trade: Any,
        *,
        profile: Profile,
        clock: TimeSynchronizer,
        credentials: Credentials | None,
        supervisor: TaskSupervisor,
        time_source: TimeSource,
    ) -> None:
        self.exchange_id, self.data, self.trade = exchange_id, data, trade
        self.profile, self.clock, self.time_source = profile, clock, time_source
        self._supervisor = supervisor
        self._secrets: tuple[str, ...] = ()
        if credentials is not None:
            known = (credentials.secret, credentials.password, credentials.api_key)
            self._secrets = tuple(text for text in known if text)
        self._loading = asyncio.Lock()
        self.closed = False
        window_ms = float(data.rollingWindowSize or 60_000)
        self.limits = RequestLimits(profile.limits, float(data.rateLimit), window_ms, time_source)
        for instance in self.instances:
            taps = instance.kit_taps
            taps.throttle = self.limits.throttle
            taps.on_response = self.limits.on_response
            taps.on_refusal = self.limits.on_refusal

    @property
    def instances(self) -> list[Any]:
        """Return the instances there are."""
        return [instance for instance in (self.data, self.trade) if instance is not None]

    def now(self) -> float:
        """Return the exchange's time, seconds since the epoch."""
        return self.clock.time()

    async def load(self) -> Any:
        """Load the markets once, for both instances, and read the exchange's clock; returns the data instance."""
        self._check_open()
        async with self._loading:
            if not self.data.markets:
                await self.ask(self.data.load_markets)
                if self.trade is not None:
                    self.trade.set_markets_from_exchange(self.data)
            if not self.clock.sample_count:
                await self.resync()
                self._check_open()
                self._supervisor.spawn(self._keep_clock(), name="clock")
        return self.data

    async def account(self) -> Any:
        """Return the instance with credentials, markets loaded; raises ``MissingCredentials``."""
        if self.trade is None:
            raise MissingCredentials(f"{self.exchange_id}: this needs an API key and secret; pass credentials=…")
        await self.load()
        return self.trade

    def market(self, pair: str) -> Mapping[str, Any]:
        """Return a pair's market; raises ``UnknownPair``."""
        markets: Mapping[str, Mapping[str, Any]] = self.data.markets or {}
        market = markets.get(pair)
        if market is None or not is_tradable(market):
            close = difflib.get_close_matches(pair.upper(), list(markets), n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else "fetch_trading_rules lists the pairs"
            raise UnknownPair(f"{self.exchange_id} has no pair {pair!r} that the kit can trade: {hint}")
        return market

    async def ask(
        self, call: Callable[[], Awaitable[T]], priority: Priority = Priority.QUERY, *, answered: bool = False
    ) -> T:
        """Ask a question of ccxt's, of a rank; raises the kit's errors only.

        ``answered``: an answer without content (no JSON, or an empty object) is a failure, not an empty list.
        """
        try:
            with ranked(priority, answered=answered):
                return await call()
        except Exception as exc:  # noqa: BLE001  # the boundary: foreign errors are translated
            error = self.translate(exc)
        raise error  # outside the handler, so that the foreign error and its texts do not travel along

    async def resync(self) -> None:
        """Read the exchange's clock a few times; a failure leaves the clock as it was."""
        try:
            for _ in range(_SYNC_SAMPLES):
                await self.clock.update(self.server_time)
        except KitError as error:
            logger.warning("%s: the exchange's clock could not be read: %s", self.exchange_id, error)

    def request_resync(self) -> None:
        """Read the exchange's clock anew in the background."""
        self._supervisor.spawn(self.resync(), name="resync")

    async def server_time(self) -> float:
        """Fetch the exchange's clock, seconds; the local one where it tells none."""
        if not self.data.has.get("fetchTime"):
            return self.time_source.time()
        return float(await self.ask(self.data.fetch_time, Priority.CREATE)) / 1000

    def judge(self, exc: BaseException, sent: bool = True) -> Fault:
        """Judge a foreign error of a request."""
        return judge(exc, self.exchange_id, sent=sent, secrets=self._secrets)

    def translate(self, exc: BaseException) -> KitError:
        """Return the kit's error for a foreign one of a question."""
        return translate(exc, self.exchange_id, secrets=self._secrets)

    def status(self) -> dict[str, Any]:
        """Return counts of connections and frames, limits and clock, as plain values; seconds."""
        taps = [instance.kit_taps for instance in self.instances]
        return {
            "connections": sum(len(instance.clients or ()) for instance in self.instances),
            "opened": sum(tap.connections for tap in taps),
            "frames": sum(tap.frames for tap in taps),
            "bad_frames": sum(tap.bad_frames for tap in taps),
            "last_bad_frame": next((tap.last_bad_frame for tap in taps if tap.last_bad_frame), ""),
            "limits": self.limits.status(),
            "round_trip": self.clock.round_trip,
            "clock_offset": self.clock.offset,
        }

    async def close(self) -> None:
        """Close both instances; idempotent."""
        self.closed = True
        await asyncio.gather(*(_close(instance) for instance in self.instances))

    def _check_open(self) -> None:
        if self.closed:
            raise NotReady(f"{self.exchange_id}: the connection is closed; make a new CcxtExchange")

    async def _keep_clock(self) -> None:
        while True:
            await self.time_source.sleep(_SYNC_INTERVAL)
            await self.resync()


async def _close(instance: Any) -> None:
    await close_clients(instance)
    await instance.close()
