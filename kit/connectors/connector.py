"""The connector: wires a venue's ports to trackers, and is what a strategy sees of a market."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from kit.connectors.account_side import AccountSide, Mode
from kit.connectors.account_view import AccountView
from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.market_view import MarketView
from kit.connectors.pairs import normalize_pair
from kit.core.affinity import LoopAffinity
from kit.core.at_once import at_once
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.network_iterator import NetworkIterator, NetworkStatus
from kit.core.pubsub import PubSub
from kit.core.redefined import replaces
from kit.core.tasks import TaskSupervisor
from kit.errors import NotReady, TryAgain, UnknownPair
from kit.market.books import Books
from kit.market.order_book_tracker import OrderBookTracker
from kit.types.drawn import Drawn
from kit.types.events import MarketEvent, OrderBookTradeEvent
from kit.types.market import PublicTrade
from kit.types.ports import AccountPort, MarketDataPort, OrderPort

logger = logging.getLogger(__name__)

__all__ = ["Connector", "Mode"]

RULES_INTERVAL: Final = 1800.0
RULES_RETRY: Final = 60.0
UPKEEP_INTERVAL: Final = 1.0


class Connector(Drawn, MarketView, AccountView, NetworkIterator):
    """One venue: market data, and in modes ``paper`` and ``live`` an account and orders.

    What belongs to the account stands in ``side``, which may be exchanged for another one (``trade_with``) while market
    data, books and listeners stay: that is how paper goes live.

    ``open()`` starts streaming on the running loop, whether or not a clock ticks it; ticks drive the polling that
    backs the private stream up. Events go out through ``pubsub``. A refused key stops trading and says why in
    ``trading_refused``, while market data goes on.

    ``books`` keeps the order books, by default a tracker of the market data's streams. In a backtest there is no loop:
    ``open_at_once`` takes the place of ``open``, the clock's ticks that of time. ``ready_asked(answer)`` hears of each
    reading of ``ready`` and returns what is answered: a recorder notes it, a replay answers as it was noted.
    """

    def __init__(
        self,
        name: str,
        market_data: MarketDataPort,
        trading_pairs: Sequence[str],
        *,
        supervisor: TaskSupervisor,
        ids: ClientOrderIds,
        account: AccountPort | None = None,
        orders: OrderPort | None = None,
        mode: Mode = "data",
        time_source: TimeSource = SYSTEM_TIME,
        affinity: LoopAffinity | None = None,
        stale_after: float = 30.0,
        books: Books | None = None,
    ) -> None:
        self._supervisor = supervisor.child(name)
        self._time_source = time_source
        self._pairs = [normalize_pair(pair) for pair in trading_pairs]
        self.order_book_tracker: Books = books or OrderBookTracker(
            market_data, self._supervisor, trading_pairs=self._pairs, time_source=time_source, stale_after=stale_after
        )
        NetworkIterator.__init__(self, name, self._supervisor, time_source=time_source)
        MarketView.__init__(self, name, self.order_book_tracker)
        self.pubsub = PubSub()
        self.affinity = affinity or LoopAffinity(None)
        self._market_data = market_data
        self._rules_loaded_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._upkeep_task: asyncio.Task[None] | None = None
        self._trade_taps: dict[str, Any] = {}
        self._closed = False
        self._has_loop = True
        self.ready_asked: Callable[[bool], bool] | None = None
        self._put_first(
            AccountSide(
                mode,
                name,
                self,
                self._pairs,
                account,
                orders,
                supervisor=self._supervisor,
                ids=ids,
                time_source=time_source,
                affinity=self.affinity,
            )
        )

    # -- life ------------------------------------------------------------------------------------------------------

    async def check_network(self) -> None:
        """Ask the exchange for its time; raises when it does not answer."""
        await self._market_data.fetch_server_time()

    async def start_network(self) -> None:
        """Load the rules, start the books and, where the mode trades, the private stream."""
        await self._load_rules()
        for pair in self._pairs:
            self.rule(pair)
        await self.order_book_tracker.start(self._pairs)
        for pair in self._pairs:
            self._tap_trades(pair)
        await self.side.start()
        if self.desk is not None:
            self._upkeep_task = self._supervisor.spawn(self._upkeep(), name="upkeep")

    def open_at_once(self) -> None:
        """Come up without an event loop, on ports that answer at once; nothing runs then but what ticks drive.

        Public trades become events only after ``tap_trades``. Raises ``UnknownPair`` for a pair without a rule.
        """
        self._has_loop = False
        at_once(self._load_rules())
        for pair in self._pairs:
            self.rule(pair)
        self.side.open_at_once()
        self._network_status = NetworkStatus.CONNECTED

    def tap_trades(self) -> None:
        """Tell every public trade as a ``Trade`` event from now on; a connector with a loop does so by itself."""
        for pair in self._pairs:
            self._tap_trades(pair)

    async def retry_trading(self) -> None:
        """Try a refused key again, as its permissions may have been mended; harmless when trading is on."""
        if self.desk is not None and self.trading_refused:
            await self.affinity.run(self.side.start())

    async def stop_network(self) -> None:
        """End every stream; orders in flight stay tracked."""
        if self._upkeep_task is not None:
            await self._supervisor.cancel(self._upkeep_task)
        if self._closed or not self.side.has_own_line:
            await self.side.stop()
        await self.order_book_tracker.stop()

    async def close(self) -> None:
        """End streams, tasks and connections, for good. Orders that are still open on the exchange stay there."""
        self._closed = True
        await NetworkIterator.close(self)
        for untap in self._trade_taps.values():
            untap()
        self._trade_taps.clear()
        for side in self._sides:
            await side.close()
        await self._market_data.close()
        await self._supervisor.close()

    async def _load_rules(self) -> None:
        self.set_trading_rules(await self._market_data.fetch_trading_rules())
        self._rules_loaded_at = self._time_source.monotonic()

    def _tap_trades(self, pair: str) -> None:
        if pair not in self._trade_taps:
            self._trade_taps[pair] = self.get_order_book(pair).add_trade_listener(self._on_trade)

    def _on_trade(self, trade: PublicTrade) -> None:
        self.pubsub.trigger_event(
            MarketEvent.Trade,
            OrderBookTradeEvent(
                trade.trading_pair, trade.timestamp, trade.side, trade.price, trade.amount, trade.trade_id
            ),
        )

    def tick(self, timestamp: float) -> None:
        """Follow up cancels and polls; beside the connector's own upkeep, for clocks that no loop drives."""
        self.current_timestamp = timestamp
        self._keep_up()

    async def _upkeep(self) -> None:
        while True:
            await self._time_source.sleep(UPKEEP_INTERVAL)
            self._keep_up()

    def _keep_up(self) -> None:
        if self.desk is None or self._closed:
            return
        connected = self._has_loop and self.network_status is NetworkStatus.CONNECTED
        self.side.keep_up(poll=connected)
        due = self._time_source.monotonic() - self._rules_loaded_at > RULES_INTERVAL
        if connected and due and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = self._supervisor.spawn(self._refresh_rules(), name="rules")

    async def _refresh_rules(self) -> None:
        try:
            await self._load_rules()
        except TryAgain as error:
            self._rules_loaded_at = self._time_source.monotonic() - RULES_INTERVAL + RULES_RETRY
            logger.warning("%s: the rules could not be loaded anew, the old ones hold: %s", self.name, error)

    async def fetch_server_time(self) -> float:
        """Ask the exchange for its clock, seconds since the epoch. Raises ``TryAgain`` errors."""
        return await self._market_data.fetch_server_time()

    @property
    def clock_offset(self) -> float | None:
        """Return the seconds that are added to our clock for the exchange's, ``None`` where nobody keeps count."""
        offset = self._market_data.status().get("clock_offset")
        return offset if isinstance(offset, float) else None

    async def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until ``ready``, or until trading was refused while market data is ready.

        Raises ``NotReady``, naming what is missing, after ``timeout`` seconds; an unknown pair raises ``UnknownPair``
        as soon as the rules show it.
        """
        deadline = self._time_source.monotonic() + timeout
        while not (self.ready or (self.trading_refused and self._data_ready)):
            self._raise_for_unknown_pairs()
            if self._time_source.monotonic() >= deadline:
                missing = ", ".join(name for name, is_ready in self.readiness.items() if not is_ready)
                raise NotReady(
                    f"{self.name} is not ready after {timeout:g} s; missing: {missing}. "
                    f"Last error: {self.last_error or 'none'}"
                )
            await self._time_source.sleep(0.02)

    def _raise_for_unknown_pairs(self) -> None:
        if self.trading_rules:
            for pair in self._pairs:
                self.rule(pair)

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def trading_pairs(self) -> tuple[str, ...]:
        """Return the pairs that are streamed, as unified symbols."""
        return tuple(self._pairs)

    @property
    def _data_ready(self) -> bool:
        return bool(self.trading_rules) and self.order_book_tracker.ready

    @property
    def readiness(self) -> dict[str, bool]:
        """Return each condition of ``ready`` by name."""
        conditions = {
            "network": self.network_status is NetworkStatus.CONNECTED,
            "trading_rules": bool(self.trading_rules),
            "order_books": self.order_book_tracker.ready,
        }
        conditions |= self.side.readiness
        return conditions

    @property
    def ready(self) -> bool:
        """Tell whether everything that the mode needs is streaming and fresh."""
        # All of ``readiness``, without its dict: every tick asks.
        answer = (
            self._network_status is NetworkStatus.CONNECTED
            and bool(self._rules)
            and self.order_book_tracker.ready
            and self.side.ready
        )
        return answer if self.ready_asked is None else self.ready_asked(answer)

    @property
    def status(self) -> dict[str, object]:
        """Return readiness and counters of every part, as plain values of one moment."""
        return self.affinity.read(self._status)

    def _status(self) -> dict[str, object]:
        return {
            "name": self.name,
            "mode": self.mode,
            "ready": self.ready,
            "readiness": self.readiness,
            "network": self.network_status.name,
            "last_error": self.last_error,
            "trading_refused": self.trading_refused if self.mode != "data" else "",
            "books": {pair: self.order_book_tracker.status(pair) for pair in self._pairs},
            "user_stream": self.user_stream_tracker.status if self.user_stream_tracker else None,
            "orders_in_flight": len(self.order_tracker.active_orders),
            "orders_lost": len(self.order_tracker.lost_orders),
            "listener_errors": self.pubsub.error_count + self.side.pubsub.error_count,
            "port": dict(self._market_data.status()),
        }

    async def add_trading_pair(self, trading_pair: str) -> None:
        """Stream one more pair; returns when its book is asked for. Raises ``UnknownPair``."""
        await self.affinity.run(self._add_trading_pair(normalize_pair(trading_pair)))

    async def _add_trading_pair(self, pair: str) -> None:
        if pair in self._pairs:
            return
        self.rule(pair)
        await self.order_book_tracker.add_trading_pair(pair)
        self._pairs.append(pair)
        self._tap_trades(pair)
        for side in self._sides:
            side.follow_pair(pair)

    async def remove_trading_pair(self, trading_pair: str, timeout: float = 10.0) -> None:
        """Cancel the orders on a pair and stop streaming it.

        Raises ``UnknownPair`` if it is not streamed, and ``NotReady``, with the pair still streaming, when the exchange
        does not confirm the cancels within ``timeout`` seconds.
        """
        await self.affinity.run(self._remove_trading_pair(normalize_pair(trading_pair), timeout))

    async def _remove_trading_pair(self, pair: str, timeout: float) -> None:
        if pair not in self._pairs:
            raise UnknownPair(f"{self.name} does not stream {pair}; it streams {', '.join(self._pairs)}")
        results = [] if self.desk is None else await self.desk.cancel_all(timeout, pair)
        if left := [result.order_id for result in results if not result.success]:
            raise NotReady(f"{pair} stays: the exchange has not confirmed the cancels of {', '.join(left)}; try again")
        logger.info("%s: %s is streamed no more", self.name, pair)
        self._trade_taps.pop(pair)()
        self._pairs.remove(pair)
        await self.order_book_tracker.remove_trading_pair(pair)
        for side in self._sides:
            side.leave_pair(pair)

    def add_listener(self, tag: MarketEvent, listener: Any) -> Any:
        """Subscribe ``listener(event)``; returns the function that unsubscribes it. Callable from any thread.

        A function that a notebook's cell defined again takes the place of its older self, so running the cell twice
        does not double it.
        """
        return self.affinity.run_sync(self._add_listener, tag, listener)

    def _add_listener(self, tag: MarketEvent, listener: Any) -> Any:
        for known in self.pubsub.listeners(tag):
            if replaces(listener, known):
                self.pubsub.remove_listener(tag, known)
        return self.pubsub.add_listener(tag, listener)

    def __repr__(self) -> str:
        state = "ready" if self.ready else self.network_status.name.lower()
        if self.mode != "data" and self.trading_refused:
            state = "trading refused"
        return f"<Connector {self.name} {self.mode} {', '.join(self._pairs)}: {state}>"
