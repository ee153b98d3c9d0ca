"""Paper trading: an exchange's live market data, and an account that exists only here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from kit.connectors.paper_rows import PaperRows
from kit.connectors.paper_settings import PaperSettings
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.time_source import Timer
from kit.errors import NotReady, TryAgain
from kit.types.market import MarketMessage, OrderBookSnapshot, TradingRule
from kit.types.orders import AccountMessage, Balance, CancelRequest, OrderRequest, OrderUpdate, TradeUpdate
from kit.types.ports import MarketDataPort

if TYPE_CHECKING:
    from kit.simulation.venue import SimulatedVenue

logger = logging.getLogger(__name__)

_SECOND: Final = 1_000_000_000
_IDLE_BATCH: Final = 0.25
_SHORTEST_BATCH, _LONGEST_BATCH = 0.002, 0.025


class PaperExchange:
    """The three ports of a paper account: ``market`` serves the data, a ``SimulatedVenue`` account and orders.

    The venue is fed with what ``market`` streams, as it arrives: its exchange's time is the time of receipt here, by a
    clock that no time server sets. It is made with the first question or with ``open_user_stream``; orders before that
    raise ``NotReady``. While a pair's stream is lost or out of step nothing fills and new orders are refused; resting
    orders stay. The account outlives reconnects; it ends with this object.

    ``asleep``: there is no account yet, what ``market`` streams only passes through, until ``wake``.
    """

    def __init__(
        self,
        market: MarketDataPort,
        settings: PaperSettings,
        *,
        name: str = "paper",
        time_source: TimeSource = SYSTEM_TIME,
        asleep: bool = False,
    ) -> None:
        self._asleep: dict[str, None] | None = {} if asleep else None  # then the pairs that are streamed
        self._market = market
        self._settings = settings
        self._name = name
        self._time = time_source
        self._began_ns = round(time_source.time() * _SECOND) - round(time_source.monotonic() * _SECOND)
        self._rules: Mapping[str, TradingRule] = {}
        self._rows: dict[str, PaperRows] = {}
        self._venue: SimulatedVenue | None = None
        self._timer: Timer | None = None
        self._timer_due = 0
        self._opening = asyncio.Lock()
        self._pumping = self._closed = False
        self._errors = self._batches = 0
        self._batch_ns = round(_LONGEST_BATCH * _SECOND)
        self._market_sink: Callable[[MarketMessage], None] = _ignore
        self._account_sink: Callable[[AccountMessage], None] = _ignore
        market.attach_market_sink(self._on_market)

    @property
    def now_ns(self) -> int:
        """Return the account's time: that of the machine when this object was made, and what has passed since."""
        return self._began_ns + round(self._time.monotonic() * _SECOND)

    async def prepare(self) -> None:
        """Do what is to be done before anything streams: check the balances, compile or load the simulation.

        Compiling takes many seconds, once for an installation; it runs in a thread. Raises ``InvalidInput`` for an
        asset that the exchange does not trade.
        """
        try:
            self._settings.check_assets(self._name, await self.fetch_trading_rules())
        except TryAgain as error:  # whoever starts the streams asks again, and says in time what is missing
            logger.warning("%s: the assets of the balances could not be checked: %s", self._name, error)
        await asyncio.to_thread(_load_simulation)

    async def wake(self) -> None:
        """Open the account of one that slept, on the pairs that are streamed; harmless when it is awake."""
        if self._asleep is None:
            return
        await self.prepare()
        pairs, self._asleep = tuple(self._asleep), None
        try:
            for pair in pairs:
                self._follow(pair)
                await self.fetch_order_book(pair)
        except BaseException:  # else the pairs behind this one would never be followed
            self._asleep = dict.fromkeys(pairs)
            raise

    def _follow(self, pair: str) -> None:
        self._rows.setdefault(pair, PaperRows(pair, self._time.monotonic))
        self._open_pair(pair)

    # -- MarketDataPort

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        """Set who receives the market's messages."""
        self._market_sink = sink

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        """Stream the pairs, and trade them on paper."""
        for pair in trading_pairs:
            if self._asleep is None:
                self._follow(pair)
            else:
                self._asleep[pair] = None
        await self._market.subscribe(trading_pairs)

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        """Stop streaming the pairs; orders that rest on them stay, and cannot fill."""
        await self._market.unsubscribe(trading_pairs)
        for pair in trading_pairs:
            if self._asleep is not None:
                self._asleep.pop(pair, None)
            if pair in self._rows:
                self._rows[pair].lose("the pair is not streamed", self.now_ns)
        self._schedule()

    def is_streaming(self, trading_pair: str) -> bool:
        """Tell whether the stream of the pair's book stands."""
        return self._market.is_streaming(trading_pair)

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        """Fetch a snapshot; it also ends a gap of the paper account's book."""
        snapshot = await self._market.fetch_order_book(trading_pair)
        rows = self._rows.get(trading_pair)
        if rows is not None:
            rows.offer(snapshot, self.now_ns)
            self._schedule()
        return snapshot

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        """Fetch the price of each pair's last trade."""
        return await self._market.fetch_last_prices(trading_pairs)

    async def fetch_trading_rules(self) -> Mapping[str, TradingRule]:
        """Fetch the rules; the paper account enforces those that were in force when it was opened."""
        self._rules = await self._market.fetch_trading_rules()
        if self._venue is not None:
            self._venue.rules.update((pair, rule) for pair, rule in self._rules.items() if pair not in self._rows)
        return self._rules

    async def fetch_server_time(self) -> float:
        """Fetch the exchange's clock."""
        return await self._market.fetch_server_time()

    def status(self) -> Mapping[str, object]:
        """Return the market's counters and, under ``paper``, what the account is and how it is fed."""
        settings, venue = self._settings, self._venue
        if self._asleep is not None:
            return self._market.status()
        paper: dict[str, object] = {
            "starting_balances": {asset: str(amount) for asset, amount in settings.starting(self._rows).items()},
            "balances_given": settings.balances is not None,
            "latency": repr(venue.latency) if venue else repr(settings.latency),
            "queue": repr(settings.queue) if settings.queue else "LogProb2()",
            "exchange": repr(settings.exchange) if settings.exchange else "PartialFill()",
            "fees": repr(settings.fees) if settings.fees else "of the trading rules, in the asset received",
            "compiled": venue is not None,
            "books_known": {pair: rows.known for pair, rows in self._rows.items()},
            "batches": self._batches,
            "errors": self._errors,
        }
        return {**self._market.status(), "paper": paper}

    async def close(self) -> None:
        """Close the market's connections; the paper account ends. Idempotent."""
        self._closed = True
        self._cancel_timer()
        await self._market.close()

    # -- AccountPort

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        """Set who hears of the account."""
        self._account_sink = sink
        if self._venue is not None:
            self._venue.attach_account_sink(sink)

    async def open_user_stream(self) -> None:
        """Open the account, compiling or loading its simulation in a thread, and say that its stream is up."""
        venue = await self._open()
        self._pump()
        await venue.open_user_stream()

    async def close_user_stream(self) -> None:
        """Say that the stream is closed; the account stays."""
        if self._venue is not None:
            await self._venue.close_user_stream()

    async def fetch_balances(self) -> Mapping[str, Balance]:
        """Return every balance that is not zero, as the account has heard of it."""
        return await (await self._open()).fetch_balances()

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        """Return the account's open orders on the pair."""
        return await (await self._open()).fetch_open_orders(trading_pair)

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        """Return the account's fills on the pair from ``since`` (seconds) on."""
        return await (await self._open()).fetch_fills(trading_pair, since)

    # -- OrderPort

    def submit(self, request: OrderRequest) -> None:
        """Send an order. Raises ``NotReady`` before the account is open."""
        venue = self._opened()
        self._pump()
        venue.submit(request)
        self._schedule()

    def cancel(self, request: CancelRequest) -> None:
        """Send a cancel, likewise."""
        venue = self._opened()
        self._pump()
        venue.cancel(request)
        self._schedule()

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Return the last word on an order."""
        return await (await self._open()).query(request)

    # -- inside

    async def _open(self) -> SimulatedVenue:
        async with self._opening:
            if self._venue is None:
                await asyncio.to_thread(_load_simulation)
                self._venue = self._make_venue(self._rules or await self.fetch_trading_rules())
                for pair in self._rows:
                    self._open_pair(pair)
            return self._opened()

    def _opened(self) -> SimulatedVenue:
        if self._venue is None or self._closed:
            state = "closed" if self._closed else "not open yet: its simulation is being compiled or loaded"
            raise NotReady(f"the paper account on {self._name} is {state}")
        return self._venue

    def _make_venue(self, rules: Mapping[str, TradingRule]) -> SimulatedVenue:
        from kit.simulation.timeline import Timeline
        from kit.simulation.venue import SimulatedVenue

        settings = self._settings
        venue = SimulatedVenue(
            rules,
            settings.starting(self._rows),
            fees=settings.fees,
            queue=settings.queue,
            latency=settings.latency,
            exchange=settings.exchange,
            timeline=Timeline(),
            name=self._name,
        )
        venue.attach_account_sink(self._account_sink)
        # Fed twice within an answer's time, every fill is told at its time.
        half = venue.latency.response_floor_ns / _SECOND / 2
        self._batch_ns = round(min(max(half, _SHORTEST_BATCH), _LONGEST_BATCH) * _SECOND)
        return venue

    def _open_pair(self, pair: str) -> None:
        venue = self._venue
        if venue is None or pair in venue.engines:
            return
        venue.open_pair(pair)
        venue.deposit(
            {asset: amount for asset, amount in self._settings.starting([pair]).items() if self._is_new(asset)}
        )
        self._rows[pair].restart(self.now_ns)
        venue.set_known(pair, False)

    def _is_new(self, asset: str) -> bool:
        return self._settings.balances is None and self._venue is not None and asset not in self._venue.ledger.assets

    def _on_market(self, message: MarketMessage) -> None:
        rows = self._rows.get(message.trading_pair)
        if rows is not None and not self._closed:
            rows.take(message, self.now_ns)
            self._schedule()
        self._market_sink(message)

    def _pump(self) -> None:
        """Bring the account up to now: what the market did, then what is due."""
        venue = self._venue
        if venue is None or self._pumping or self._closed:
            return
        self._pumping = True
        try:
            for pair, rows in self._rows.items():
                if rows.waiting:
                    venue.feed(pair, rows.batch(venue.rules[pair]))
                    self._batches += 1
                venue.set_known(pair, rows.known)
            venue.advance(max(self.now_ns, venue.timeline.now))
        finally:
            self._pumping = False

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self._pump()
        except Exception:  # a timer has no caller that could be told; the next one goes on
            self._errors += 1
            logger.exception("the paper account on %s could not be brought up to date", self._name)
        self._schedule()

    def _schedule(self) -> None:
        """See to it that the account is brought up to date when something is due."""
        venue = self._venue
        if venue is None or self._pumping or self._closed:
            return
        due = venue.timeline.next_due
        if any(rows.waiting for rows in self._rows.values()):
            batch = self._batch_ns if venue.busy else round(_IDLE_BATCH * _SECOND)
            due = min(due or 1 << 62, venue.timeline.now + batch)
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        self._cancel_timer()
        self._timer_due = due
        self._timer = self._time.call_later(max(0.0, (due - self.now_ns) / _SECOND), self._on_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _ignore(_: object) -> None:
    pass


def _load_simulation() -> None:
    from kit.simulation.warming import load_simulation

    load_simulation()
