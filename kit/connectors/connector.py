"""The connector: wires a venue's ports to trackers, and is what a strategy sees of a market."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.market_view import MarketView
from kit.connectors.order_desk import CancellationResult, OrderDesk
from kit.connectors.pairs import normalize_pair
from kit.core.affinity import LoopAffinity
from kit.core.at_once import at_once
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.network_iterator import NetworkIterator, NetworkStatus
from kit.core.pubsub import PubSub
from kit.core.tasks import TaskSupervisor
from kit.core.waiting import wait_for
from kit.errors import (
    AuthenticationFailed,
    KitError,
    MissingCredentials,
    NotReady,
    NotSupported,
    StopTrading,
    TryAgain,
    UnknownPair,
)
from kit.market.books import Books
from kit.market.order_book_tracker import OrderBookTracker
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.user_stream_tracker import UserStreamTracker
from kit.types.drawn import Drawn
from kit.types.events import MarketEvent, OrderBookTradeEvent
from kit.types.market import PublicTrade, TradeType
from kit.types.orders import LimitOrder, OrderType, OrderUpdate, TimeInForce
from kit.types.ports import AccountPort, MarketDataPort, OrderPort

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Mode = Literal["data", "paper", "live"]

RULES_INTERVAL: Final = 1800.0
UPKEEP_INTERVAL: Final = 1.0

LAST_QUESTION: Final = 1.0
"""Seconds that the exchange has in any case to say which orders are still open, when all other patience is used up."""


class Connector(Drawn, MarketView, NetworkIterator):
    """One venue: market data, and in modes ``paper`` and ``live`` an account and orders.

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
        self.mode: Mode = mode
        self.pubsub = PubSub()
        self.affinity = affinity or LoopAffinity(None)
        self._market_data = market_data
        self._account = account
        self._rules_loaded_at = float("-inf")
        self._poll_count = -1
        self._polling: asyncio.Task[None] | None = None
        self._upkeep_task: asyncio.Task[None] | None = None
        self._trade_taps: dict[str, Any] = {}
        self._closed = False
        self._has_loop = True
        self.ready_asked: Callable[[bool], bool] | None = None
        self.trading_refused: str = "" if orders is not None else f"mode {mode!r} places no orders"
        self.balances = Balances()
        self.order_tracker = ClientOrderTracker(self.pubsub, time=time_source.time)
        self.desk: OrderDesk | None = None
        self.user_stream_tracker: UserStreamTracker | None = None
        if account is not None and orders is not None:
            self.desk = OrderDesk(
                self,
                orders,
                self.order_tracker,
                self.balances,
                self.pubsub,
                ids=ids,
                time_source=time_source,
                affinity=self.affinity,
            )
            self.user_stream_tracker = UserStreamTracker(
                account,
                orders,
                self.order_tracker,
                self.balances,
                self._supervisor,
                trading_pairs=tuple(self._pairs),
                time_source=time_source,
                # Orders left from a run that died are this core's to follow, to fill and to cancel.
                adopt=self.desk.owns,
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
        if self.user_stream_tracker is not None:
            await self._start_trading(self.user_stream_tracker)
            self._upkeep_task = self._supervisor.spawn(self._upkeep(), name="upkeep")

    def open_at_once(self) -> None:
        """Come up without an event loop, on ports that answer at once; nothing runs then but what ticks drive.

        Public trades become events only after ``tap_trades``. Raises ``UnknownPair`` for a pair without a rule.
        """
        self._has_loop = False
        at_once(self._load_rules())
        for pair in self._pairs:
            self.rule(pair)
        if self._account is not None:
            at_once(self._account.open_user_stream())
            self.balances.replace_all(at_once(self._account.fetch_balances()))
        self._network_status = NetworkStatus.CONNECTED

    def tap_trades(self) -> None:
        """Tell every public trade as a ``Trade`` event from now on; a connector with a loop does so by itself."""
        for pair in self._pairs:
            self._tap_trades(pair)

    async def retry_trading(self) -> None:
        """Try a refused key again, as its permissions may have been mended; harmless when trading is on."""
        if self.user_stream_tracker is not None and self.trading_refused:
            await self.affinity.run(self._start_trading(self.user_stream_tracker))

    async def _start_trading(self, user_stream: UserStreamTracker) -> None:
        try:
            await user_stream.start()
        except (StopTrading, MissingCredentials) as error:
            # Market data is useful and harmless without an account, so only trading ends here.
            self.trading_refused = f"{type(error).__name__}: {error}"
            logger.error("%s: trading is refused, market data goes on: %s", self.name, error)
        else:
            self.trading_refused = ""

    async def stop_network(self) -> None:
        """End every stream; orders in flight stay tracked."""
        if self._upkeep_task is not None:
            await self._supervisor.cancel(self._upkeep_task)
        if self.user_stream_tracker is not None:
            await self.user_stream_tracker.stop()
        await self.order_book_tracker.stop()

    async def close(self) -> None:
        """End streams, tasks and connections, for good. Orders that are still open on the exchange stay there."""
        self._closed = True
        await NetworkIterator.close(self)
        for untap in self._trade_taps.values():
            untap()
        self._trade_taps.clear()
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
        if self.desk is None or self.user_stream_tracker is None or self._closed:
            return
        self.desk.tick()
        if not self._has_loop or self.trading_refused or self.network_status is not NetworkStatus.CONNECTED:
            return
        count = int(self._time_source.time() / self.user_stream_tracker.poll_interval)
        idle = self._polling is None or self._polling.done()
        if count != self._poll_count and idle:
            self._poll_count = count
            self._polling = self._supervisor.spawn(self._poll(self.user_stream_tracker), name="status poll")

    async def _poll(self, user_stream: UserStreamTracker) -> None:
        try:
            if self._time_source.monotonic() - self._rules_loaded_at > RULES_INTERVAL:
                await self._load_rules()
            await user_stream.poll()
        except TryAgain as error:
            logger.warning("%s: status poll failed, the next one comes in time: %s", self.name, error)

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
        if self.user_stream_tracker is not None:
            conditions["user_stream"] = self.user_stream_tracker.ready
            conditions["account"] = not self.trading_refused
        return conditions

    @property
    def ready(self) -> bool:
        """Tell whether everything that the mode needs is streaming and fresh."""
        # All of ``readiness``, without its dict: every tick asks.
        user_stream = self.user_stream_tracker
        answer = (
            self._network_status is NetworkStatus.CONNECTED
            and bool(self._rules)
            and self.order_book_tracker.ready
            and (user_stream is None or (user_stream.ready and not self.trading_refused))
        )
        return answer if self.ready_asked is None else self.ready_asked(answer)

    @property
    def status(self) -> dict[str, object]:
        """Return readiness and counters of every part, as plain values."""
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
            "listener_errors": self.pubsub.error_count,
            "port": dict(self._market_data.status()),
        }

    @property
    def in_flight_orders(self) -> Mapping[str, InFlightOrder]:
        """Return the orders that may still live on the exchange, by client order id."""
        return dict(self.order_tracker.active_orders)

    @property
    def limit_orders(self) -> list[LimitOrder]:
        """Return immutable views of the limit orders in flight."""
        return [order.to_limit_order() for order in self.in_flight_orders.values() if order.order_type.is_limit]

    def get_balance(self, asset: str) -> Decimal:
        """Return the account's total of an asset, zero if it holds none."""
        return self.balances.total(asset)

    def get_available_balance(self, asset: str) -> Decimal:
        """Return what is free to trade: as reported, less what orders sent since then hold."""
        return self.balances.available(asset)

    def balances_frame(self) -> pd.DataFrame:
        """Return the balances as a DataFrame: asset, total, available."""
        return self.balances.frame()

    # -- acting ----------------------------------------------------------------------------------------------------

    def _trading_desk(self) -> OrderDesk:
        if self.desk is None:
            raise NotSupported(
                f"{self.name} runs in mode {self.mode!r}, which places no orders; add the connector with mode='paper' "
                "or 'live'"
            )
        if self.trading_refused:
            raise AuthenticationFailed(f"{self.name} refuses to trade: {self.trading_refused}")
        if self._closed:
            raise NotReady(f"{self.name} is closed; add the connector again with: await core.add_connector(…)")
        return self.desk

    def buy(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType = OrderType.LIMIT,
        price: Decimal | None = None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> str:
        """Place a buy order of ``amount`` base and return its client order id at once; sending happens behind.

        Amount and price are rounded down to the pair's steps, then checked. Bad input raises ``InvalidOrder``,
        ``UnknownPair`` or ``NotSupported`` before anything is sent; what the exchange says comes as events.
        Callable from any thread.
        """
        return self._trading_desk().place(TradeType.BUY, trading_pair, amount, order_type, price, time_in_force)

    def sell(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType = OrderType.LIMIT,
        price: Decimal | None = None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> str:
        """Place a sell order; as ``buy``."""
        return self._trading_desk().place(TradeType.SELL, trading_pair, amount, order_type, price, time_in_force)

    def cancel(self, trading_pair: str, client_order_id: str) -> None:
        """Ask to cancel an order; the exchange's word comes as an event. Callable from any thread.

        Also while trading is refused: a key may still be able to cancel. Raises ``OrderNotFound`` for unknown ids.
        """
        desk = self.desk if self.trading_refused and not self._closed else None
        (desk or self._trading_desk()).cancel(trading_pair, client_order_id)

    async def cancel_all(self, timeout: float = 10.0) -> list[CancellationResult]:
        """Cancel every order in flight; return each with whether the exchange confirmed its end in time.

        A connector that trades nothing, or is closed, cancels nothing.
        """
        if self.desk is None or self._closed:
            return []
        return await self.affinity.run(self.desk.cancel_all(timeout))

    async def open_orders_on_exchange(self) -> list[OrderUpdate]:
        """Ask the exchange which orders of this core are open, tracked here or left from a run that died.

        Asks for the streamed pairs and those of orders in flight. Raises ``TryAgain`` errors when it cannot be asked.
        """
        return await self.affinity.run(self._open_orders_on_exchange())

    async def _open_orders_on_exchange(self) -> list[OrderUpdate]:
        if self._account is None or self.desk is None or self.trading_refused:
            return []
        pairs = dict.fromkeys([*self._pairs, *(order.trading_pair for order in self.desk.unresolved())])
        updates = [update for pair in pairs for update in await self._account.fetch_open_orders(pair)]
        return [update for update in updates if self.desk.owns(update)]

    async def sweep(self, timeout: float = 10.0) -> list[str]:
        """Cancel every order of this core, also those left from a run that died; return the ids that may be open.

        New orders are refused from now on (``reopen`` ends that). Waits for the exchange's word, at most ``timeout``
        seconds and one more for the last question. An order counts as ended only on the exchange's word: what is
        unresolved, or tracked while the exchange cannot be asked, is returned.
        """
        if self.desk is None:
            return []
        if self._closed:
            return [order.client_order_id for order in self.desk.unresolved()]
        self.desk.shut(f"{self.name} is being stopped")
        return await self.affinity.run(self._sweep(self.desk, timeout))

    async def _sweep(self, desk: OrderDesk, timeout: float) -> list[str]:
        deadline = self._time_source.monotonic() + timeout
        while True:
            await desk.cancel_all(max(deadline - self._time_source.monotonic(), 0.0))
            shown = await self._ask_once_more(deadline)
            left = {order.client_order_id for order in desk.unresolved()}
            left |= {update.client_order_id or "" for update in shown or ()}
            if not left or shown is None or self._time_source.monotonic() >= deadline:
                return sorted(left)
            desk.cancel_strangers(shown)
            await self._time_source.sleep(0.2)

    async def _ask_once_more(self, deadline: float) -> list[OrderUpdate] | None:
        patience = max(deadline - self._time_source.monotonic(), LAST_QUESTION)
        try:
            return await wait_for(self._open_orders_on_exchange(), patience, self._time_source)
        except (KitError, TimeoutError) as error:
            logger.warning("%s: cannot ask for open orders: %s", self.name, str(error) or "no answer in time")
            return None

    def reopen(self) -> None:
        """Take orders again after a sweep."""
        if self.desk is not None:
            self.desk.reopen()

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
        if self.user_stream_tracker is not None:
            self.user_stream_tracker.add_trading_pair(pair)

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
        if self.user_stream_tracker is not None:
            self.user_stream_tracker.remove_trading_pair(pair)

    def add_listener(self, tag: MarketEvent, listener: Any) -> Any:
        """Subscribe ``listener(event)``; returns the function that unsubscribes it."""
        return self.pubsub.add_listener(tag, listener)

    def __repr__(self) -> str:
        state = "ready" if self.ready else self.network_status.name.lower()
        if self.mode != "data" and self.trading_refused:
            state = "trading refused"
        return f"<Connector {self.name} {self.mode} {', '.join(self._pairs)}: {state}>"
