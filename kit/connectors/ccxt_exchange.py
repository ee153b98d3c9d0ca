"""Every ccxt.pro exchange behind the kit's three ports; the only file that imports ccxt, and only when it is used.

ccxt knows the exchanges' endpoints, signatures, message formats and error codes; it is used for these and for nothing
else. Two instances of the exchange's class share one set of markets: one for public data, one for the account, so that
neither waits behind the other. What ccxt's runtime lacks stands in the modules beside this one: ``ccxt_guard`` and
``ccxt_taps`` (connections, frames), ``ccxt_books`` (diffs), ``ccxt_pumps`` and the two stream modules (streams),
``ccxt_requests``, ``ccxt_orders`` and ``ccxt_cancels`` (outcomes), ``ccxt_errors`` (meanings), ``ccxt_limits``
(limits), ``ccxt_profiles`` (peculiarities).
"""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kit.connectors import ccxt_lazy
from kit.connectors.ccxt_account import CcxtAccount
from kit.connectors.ccxt_books import SEQUENCES, THIN_BOOKS, ThinBook, full_books
from kit.connectors.ccxt_guard import build, guard
from kit.connectors.ccxt_market_streams import MarketStreams
from kit.connectors.ccxt_profiles import Profile, profile_of
from kit.connectors.ccxt_questions import MarketQuestions
from kit.connectors.ccxt_session import CcxtSession, Outlet
from kit.connectors.ccxt_taps import Caches, Taps
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.tasks import TaskSupervisor
from kit.core.time_synchronizer import TimeSynchronizer
from kit.errors import InvalidInput, MissingCredentials, NotSupported, UnknownExchange
from kit.types.market import MarketMessage, OrderBookSnapshot, PublicTrade, TradingRule
from kit.types.orders import AccountMessage, Balance, CancelRequest, OrderRequest, OrderUpdate, TradeUpdate
from kit.types.ports import Credentials, Endpoint

KEEP_ALIVE_MS = 12_000
"""A connection that answers no ping for two of these is given up (ccxt's own value for Binance is 180 s)."""
REQUEST_TIMEOUT_MS = 5_000
_WATCH_INTERVAL = 1.0


@functools.cache
def guarded_class(exchange_id: str) -> type:
    """Import ccxt, if need be, and return the guarded class of an exchange; raises ``UnknownExchange``."""
    known = ccxt_lazy.exchange_ids()
    if exchange_id not in known:
        close = difflib.get_close_matches(str(exchange_id).lower(), known, n=3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"ccxt.pro knows {', '.join(known)}."
        raise UnknownExchange(f"unknown exchange {exchange_id!r}: {hint} The id is ccxt's, in small letters.")
    ccxt_lazy.install()
    base = getattr(importlib.import_module(f"ccxt.pro.{exchange_id}"), exchange_id)
    ws = "ccxt.async_support.base.ws"
    books = full_books(importlib.import_module(f"{ws}.order_book"), importlib.import_module(f"{ws}.order_book_side"))
    thin = exchange_id in THIN_BOOKS
    if thin:
        books = books._replace(plain=ThinBook)
    return guard(base, books, Caches(importlib.import_module(f"{ws}.cache")), thin=thin)


def required_credentials(exchange_id: str) -> frozenset[str]:
    """Return which of ``apiKey``, ``secret``, ``password`` and the like an exchange asks for; ``UnknownExchange``."""
    described: Any = object.__new__(guarded_class(exchange_id)).describe()
    return frozenset(name for name, needed in described.get("requiredCredentials", {}).items() if needed)


def redirect(urls: Any, endpoint_url: str) -> Any:
    """Return ``urls`` (text, or dicts and lists of it) with every address led to ``endpoint_url``.

    ``scheme://real.host:port/path`` becomes ``http(s)|ws(s)://endpoint/real.host/path``.
    """
    if isinstance(urls, dict):
        return {key: redirect(value, endpoint_url) for key, value in urls.items()}
    if isinstance(urls, list):
        return [redirect(value, endpoint_url) for value in urls]
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    scheme, _, rest = urls.partition("://")
    host, slash, path = rest.partition("/")
    own_scheme, _, own_host = endpoint_url.rstrip("/").partition("://")
    kind = ("ws" if scheme.startswith("ws") else "http") + ("s" if own_scheme == "https" else "")
    return f"{kind}://{own_host}/{host.partition(':')[0]}{slash}{path}"


def make_instance(
    exchange_id: str,
    profile: Profile,
    clock: TimeSynchronizer,
    time_source: TimeSource,
    *,
    credentials: Credentials | None,
    endpoint_url: str | None,
    recv_window: float,
) -> Any:
    """Return a guarded ccxt instance, led to ``endpoint_url``; with ``credentials`` it keeps numbers as text.

    Text is exact. (ccxt's documented ``number: Decimal`` is not usable: what ccxt parses twice, such as fees and the
    fills inside an order, comes out empty, because the second parser does not know a Decimal for a number.)
    """
    guarded = guarded_class(exchange_id)
    taps = Taps(
        now_ms=lambda: int(clock.time() * 1000),
        monotonic=time_source.monotonic,
        network_error=importlib.import_module("ccxt.base.errors").NetworkError,
        endpoint=endpoint_url.partition("://")[2].partition("/")[0] if endpoint_url else None,
    )
    config: dict[str, Any] = {
        "enableRateLimit": True,
        "rateLimiterAlgorithm": "rollingWindow",
        "timeout": REQUEST_TIMEOUT_MS,
        "options": {**profile.options, "recvWindow": round(recv_window * 1000)},
    }
    if credentials is not None:
        config |= {"apiKey": credentials.api_key, "secret": credentials.secret, "number": str}
        config |= {"password": credentials.password} if credentials.password is not None else {}
    instance = build(guarded, config, taps)
    instance.streaming["keepAlive"] = min(instance.streaming.get("keepAlive") or KEEP_ALIVE_MS, KEEP_ALIVE_MS)
    instance.has.update(profile.has)
    if endpoint_url is not None:
        _lead(instance, endpoint_url)
    return instance


def _lead(instance: Any, endpoint_url: str) -> None:
    instance.urls = redirect(instance.urls, endpoint_url)
    instance.timeout_on_exit = 0  # ccxt waits for TLS connections to end; on loopback there are none
    # ccxt picks Binance's table of spot errors by the address, which is another one now.
    exact = (instance.exceptions.get("spot") or {}).get("exact")
    if exact:
        instance.exceptions["exact"].update(exact)


class CcxtExchange:
    """One exchange of ccxt.pro as ``MarketDataPort``, ``AccountPort`` and ``OrderPort``.

    ``exchange_id`` is ccxt's (``"binance"``). ``endpoint`` leads every request elsewhere, such as to a testnet, whose
    credentials then serve by default where ``trading``; without ``trading``, orders are refused locally.
    ``recv_window`` (seconds, above 0 to 60) is how long the exchange may take to accept a request: an order whose
    answer was lost is not accepted later than that. All methods belong on one loop. Raises ``UnknownExchange``, and
    ``MissingCredentials`` for trading without credentials.
    """

    def __init__(
        self,
        exchange_id: str,
        supervisor: TaskSupervisor,
        *,
        credentials: Credentials | None = None,
        endpoint: Endpoint | None = None,
        time_source: TimeSource = SYSTEM_TIME,
        trading: bool = False,
        recv_window: float = 2.5,
    ) -> None:
        if not 0 < recv_window <= 60:
            raise InvalidInput(f"recv_window must be seconds above 0 and at most 60, got {recv_window!r}")
        if credentials is None and trading and endpoint is not None:
            credentials = endpoint.credentials
        guarded_class(exchange_id)
        if trading and credentials is None:
            raise MissingCredentials(f"trading on {exchange_id} needs an API key and secret; pass credentials=…")
        self.exchange_id, self.trading = exchange_id, trading
        self._supervisor = supervisor.child(f"ccxt {exchange_id}")
        self._session = _session(exchange_id, self._supervisor, credentials, endpoint, time_source, recv_window)
        self._market: Outlet[MarketMessage] = Outlet("market")
        self._account = CcxtAccount(self._session, self._supervisor)
        self._questions = MarketQuestions(self._session)
        self._streams = MarketStreams(
            self._session.data,
            self._supervisor,
            self._market,
            self._session.now,
            time_source,
            read_sequence=SEQUENCES.get(exchange_id),
        )
        taps: Taps = self._session.data.kit_taps
        taps.on_book, taps.on_trade = self._streams.on_book, self._streams.on_trade
        taps.on_lost, taps.on_rejected = self._streams.on_lost, self._streams.on_rejected
        self._watching = False

    def __repr__(self) -> str:
        return f"CcxtExchange({self.exchange_id!r}, trading={self.trading})"

    # -- market data

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        """Set the function that receives every market message, on the loop, in order of arrival."""
        self._market.attach(sink)

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        """Start streaming books and trades of the pairs; raises ``UnknownPair`` before anything is started."""
        await self._session.load()
        for pair in trading_pairs:
            self._session.market(pair)
        self._watch()
        for pair in trading_pairs:
            self._streams.start(pair)

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        """Stop streaming the pairs; pairs that are not streamed do not matter."""
        for pair in trading_pairs:
            await self._streams.stop(pair)

    def is_streaming(self, trading_pair: str) -> bool:
        """Tell whether the connection stands that the pair's book is streamed over."""
        return self._streams.is_up(trading_pair)

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        """Fetch a book, with the same kind of update id as the streamed ones."""
        return await self._questions.order_book(trading_pair)

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        """Fetch the price of each pair's last trade."""
        return await self._questions.last_prices(trading_pairs)

    async def fetch_trading_rules(self) -> Mapping[str, TradingRule]:
        """Fetch the rules of every pair that the kit can trade: spot, and linear swaps counted in base."""
        return await self._questions.trading_rules()

    async def fetch_candles(self, trading_pair: str, timeframe: str, since: int) -> Sequence[Sequence[float]]:
        """Fetch a page of candles from ``since`` (ms) on: opening time in ms, open, high, low, close, volume."""
        return await self._questions.candles(trading_pair, timeframe, since)

    async def fetch_public_trades(
        self, trading_pair: str, since: int, from_id: str | None = None
    ) -> Sequence[PublicTrade]:
        """Fetch a page of public trades, oldest first: from a trade on where that can be asked, or ``since`` (ms)."""
        return await self._questions.public_trades(trading_pair, since, from_id)

    async def fetch_server_time(self) -> float:
        """Fetch the exchange's clock, seconds since the epoch."""
        return await self._session.server_time()

    # -- account

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        """Set the function that receives every account message, on the loop, in order of arrival."""
        self._account.outlet.attach(sink)

    async def open_user_stream(self) -> None:
        """Start the private stream and keep it up; returns when it is up, or after 15 s while it is still tried.

        Raises ``AuthenticationFailed`` or ``MissingCredentials`` when it is refused.
        """
        await self._session.account()
        self._watch()
        await self._account.open_stream()

    async def close_user_stream(self) -> None:
        """Stop the private stream."""
        await self._account.close_stream()

    async def fetch_balances(self) -> Mapping[str, Balance]:
        """Fetch every balance that is not zero."""
        return await self._account.questions.balances()

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        """Fetch all open orders on a pair."""
        return await self._account.questions.open_orders(trading_pair)

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        """Fetch the fills on a pair from ``since`` (seconds) on, oldest first."""
        return await self._account.questions.fills(trading_pair, since)

    # -- orders

    def submit(self, request: OrderRequest) -> None:
        """Send an order in the background; raises ``NotSupported`` when this connection does not trade."""
        self._trading().submit(request)

    def cancel(self, request: CancelRequest) -> None:
        """Ask to cancel an order in the background; raises ``NotSupported`` when this connection does not trade."""
        self._trading().cancel(request)

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Ask for an order's state; ``None`` is the exchange's own word that it knows no such order."""
        return await self._account.query(request)

    async def may_trade(self, request: CancelRequest) -> bool | None:
        """Ask whether the key may trade, by the cancel of an order that was never there; ``None``: not known.

        Raises ``AuthenticationFailed`` for a key that may not.
        """
        return await self._account.may_trade(request)

    # -- the connection as a whole

    def status(self) -> dict[str, Any]:
        """Return what is known of the connection, as plain values; ages and offsets in seconds."""
        session, account = self._session, self._account
        return {
            "streams": self._streams.status() | account.status(),
            "user_stream": account.connected,
            "reconnects": self._streams.reconnects + account.reconnects,
            "silent": self._streams.silent,
            **session.status(),
            "orders": account.counts(),
            "sink_errors": self._market.errors + account.outlet.errors,
        }

    async def close(self) -> None:
        """Close every stream and connection; idempotent.

        Requests under way have 3 s to end; what is cut off then is told as UNKNOWN.
        """
        if self._session.closed:
            return
        self._session.closed = True
        await self._account.close()
        await self._supervisor.close()
        await self._session.close()

    def _trading(self) -> CcxtAccount:
        if not self.trading:
            raise NotSupported(f"{self!r} does not trade; connect with mode='live' (trading=True)")
        return self._account

    def _watch(self) -> None:
        if not self._watching:
            self._supervisor.spawn(self._watch_silence(), name="watchdog")
            self._watching = True

    async def _watch_silence(self) -> None:
        """Look after streams whose silence nobody else would notice."""
        while True:
            await self._session.time_source.sleep(_WATCH_INTERVAL)
            self._streams.check_silence()
            self._account.check_silence()


def _session(
    exchange_id: str,
    supervisor: TaskSupervisor,
    credentials: Credentials | None,
    endpoint: Endpoint | None,
    time_source: TimeSource,
    recv_window: float,
) -> CcxtSession:
    profile, clock = profile_of(exchange_id), TimeSynchronizer(time_source)
    url = None if endpoint is None else endpoint.url
    make = functools.partial(make_instance, exchange_id, profile, clock, time_source, endpoint_url=url)
    return CcxtSession(
        exchange_id,
        make(credentials=None, recv_window=recv_window),
        None if credentials is None else make(credentials=credentials, recv_window=recv_window),
        profile=profile,
        clock=clock,
        credentials=credentials,
        supervisor=supervisor,
        time_source=time_source,
    )
