"""Asks the exchange about orders whose fate is open, until it has answered."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass

from kit.core.clock import TimeSource
from kit.core.tasks import TaskSupervisor
from kit.errors import KitError, NotReady, OrderNotFound
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.fill_history import fetch_all_fills
from kit.orders.in_flight_order import InFlightOrder
from kit.types.orders import CancelRequest, OrderState, OrderUpdate
from kit.types.ports import AccountPort, OrderPort

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResolvePolicy:
    """When to ask, and what to conclude; times in seconds.

    ``delays`` are the waits before each question, the last one repeated. "Not found" counts when ``landing_time`` has
    passed since the first question, since until then the order may be on its way (exchanges take requests within a
    receive window, 3 s at most here); for an order whose placement has not been answered at all, ``sending_time``, as
    it may wait for a rate limit. The third such answer comes after 8 s: within the 10 s that ``TradingCore.stop``
    waits, so that it does not report as left what never was. Fills that the exchange still does not list after
    ``fill_answers`` answers and ``landing_time`` are inferred.
    """

    delays: tuple[float, ...] = (0.5, 1.0, 2.0, 2.5, 1.0, 1.0, 2.0, 5.0)
    landing_time: float = 5.0
    sending_time: float = 60.0
    fill_answers: int = 3


class OrderResolver:
    """Find out what became of orders in doubt, and fetch fills that the exchange states but has not sent.

    Each such order has one background task until the doubt is gone. Only the exchange's own answers count; an error
    of the network counts for nothing and the question is asked again.
    """

    def __init__(
        self,
        account: AccountPort,
        orders: OrderPort,
        tracker: ClientOrderTracker,
        supervisor: TaskSupervisor,
        *,
        time_source: TimeSource,
        policy: ResolvePolicy | None = None,
    ) -> None:
        self.last_error = ""
        self._account = account
        self._orders = orders
        self._tracker = tracker
        self._supervisor = supervisor
        self._time_source = time_source
        self._policy = policy or ResolvePolicy()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._first_asked: dict[str, tuple[OrderState, float]] = {}
        self._open = False

    @property
    def busy(self) -> tuple[str, ...]:
        """Return the ids of the orders that are being asked about."""
        return tuple(self._tasks)

    def open(self) -> None:
        """Start asking, now and whenever the tracker calls attention to an order; needs a running loop."""
        self._open = True
        self._tracker.attention.on_attention = self.attend
        self.attend_all()

    async def close(self) -> None:
        """Stop asking; what is open stays noted in the tracker."""
        self._open = False
        self._tracker.attention.on_attention = None
        for task in list(self._tasks.values()):
            await self._supervisor.cancel(task)
        self._tasks.clear()

    def attend_all(self) -> None:
        """See to every order that the tracker notes as in doubt or missing fills."""
        for order_id in self._waiting():
            self.attend(order_id)

    def attend(self, client_order_id: str) -> None:
        """See to an order in the background; does nothing if that is being done, or while closed."""
        if not self._open or client_order_id in self._tasks:
            return
        try:
            task = self._supervisor.spawn(self._resolve(client_order_id), name=f"resolve order {client_order_id}")
        except NotReady as error:
            # The order stays noted in the tracker; whoever reads the message must not fail for our shutdown.
            logger.warning("Order %s waits to be resolved: %s", client_order_id, error)
        else:
            self._tasks[client_order_id] = task

    async def check(self, client_order_id: str) -> None:
        """Ask for the state of an order once, now; without a clear answer the order is in doubt from then on."""
        if client_order_id not in self._tasks and not await self._ask(client_order_id):
            self._tracker.mark_in_doubt(client_order_id, "the exchange did not show it among the open orders")

    async def _resolve(self, client_order_id: str) -> None:
        delays = itertools.chain(self._policy.delays, itertools.repeat(self._policy.delays[-1]))
        started, fill_answers = self._time_source.monotonic(), 0
        try:
            while client_order_id in self._waiting():
                await self._time_source.sleep(next(delays))
                try:
                    fill_answers += await self._ask_all(client_order_id)
                except Exception as error:  # a defect in a port must not leave the order unasked
                    self._note(client_order_id, error)
                    logger.exception("Asking about order %s failed", client_order_id)
                waited = self._time_source.monotonic() - started
                if fill_answers >= self._policy.fill_answers and waited >= self._policy.landing_time:
                    self._conclude_fills(client_order_id)
                    if client_order_id not in self._tracker.orders_in_doubt:
                        break
        finally:
            self._tasks.pop(client_order_id, None)

    def _waiting(self) -> set[str]:
        missing = {order.client_order_id for order in self._tracker.orders_missing_fills}
        return missing | set(self._tracker.orders_in_doubt)

    async def _ask_all(self, client_order_id: str) -> int:
        """Ask what there is to ask about the order; return how many answers left its fills incomplete."""
        if client_order_id in self._tracker.orders_in_doubt:
            await self._ask(client_order_id)
        order = self._tracker.fetch_order(client_order_id=client_order_id)
        if order is None or not order.missing_amount or not await self._fetch_fills(order):
            return 0
        return 1 if order.missing_amount else 0

    def _conclude_fills(self, client_order_id: str) -> None:
        order = self._tracker.fetch_order(client_order_id=client_order_id)
        if order is not None and order.is_done:
            self._tracker.infer_missing_fills(client_order_id)

    async def _ask(self, client_order_id: str) -> bool:
        """Ask once; return whether the exchange gave the order's state."""
        order = self._tracker.fetch_order(client_order_id=client_order_id)
        if order is None or order.is_done:
            return True
        may_have_landed = self._may_have_landed(order)
        try:
            update = await self._query(order)
        except KitError as error:
            self._note(client_order_id, error)
            return False
        if update is None or (update.state is OrderState.FAILED and order.acknowledged):
            # That an order which was seen to rest never came to be is no better an answer than "not found".
            if may_have_landed:
                self._tracker.process_order_not_found(client_order_id)
            return False
        self._tracker.process_order_update(update)
        self._tracker.clear_doubt(client_order_id)
        self._first_asked.pop(client_order_id, None)
        return True

    async def _query(self, order: InFlightOrder) -> OrderUpdate | None:
        request = CancelRequest(order.client_order_id, order.trading_pair, order.exchange_order_id)
        try:
            return await self._orders.query(request)
        except OrderNotFound:
            return None

    def _may_have_landed(self, order: InFlightOrder) -> bool:
        now = self._time_source.monotonic()
        state, since = self._first_asked.get(order.client_order_id, (order.progress, now))
        if state is not order.progress:
            # Became UNKNOWN only now, so it may have been sent only now.
            since = now
        self._first_asked[order.client_order_id] = (order.progress, since)
        unanswered = order.progress is OrderState.PENDING_CREATE
        return now - since >= (self._policy.sending_time if unanswered else self._policy.landing_time)

    async def _fetch_fills(self, order: InFlightOrder) -> bool:
        """Fetch and book the fills since the order was made; return whether the exchange answered."""
        try:
            fills = await fetch_all_fills(self._account, order.trading_pair, order.creation_timestamp)
        except KitError as error:
            self._note(order.client_order_id, error)
            return False
        for fill in fills:
            self._tracker.process_trade_update(fill)
        return True

    def _note(self, client_order_id: str, error: Exception) -> None:
        self.last_error = f"asking about order {client_order_id}: {type(error).__name__}: {error}"
        logger.warning("%s; will ask again", self.last_error)
