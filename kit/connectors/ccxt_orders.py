"""The way of an order to the exchange: sent once, never forgotten, every outcome told in one message.

The client order id is fixed before the first byte leaves, so a request that was certainly not accepted may be sent
again under the same id, and one that may have been accepted is told as UNKNOWN and asked for by that id; nothing is
ever repeated in the hope that it was lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kit.connectors.ccxt_convert import BadItem, trade_update
from kit.connectors.ccxt_errors import Fault, SendOutcome
from kit.connectors.ccxt_order_finder import OrderFinder
from kit.connectors.ccxt_profiles import ClientIdCodec, Profile
from kit.connectors.ccxt_requests import Courier, Settled, ranked
from kit.connectors.ccxt_taps import Flight
from kit.core.tasks import TaskSupervisor
from kit.core.throttler import Priority
from kit.errors import AmbiguousOutcome, DuplicateOrder, KitError, NotReady, OrderRejected
from kit.types.orders import (
    AccountMessage,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TimeInForce,
)

logger = logging.getLogger(__name__)

_QUERY_DELAYS = (0.0, 0.25, 0.5, 1.0)


def _no_counts() -> dict[str, int]:
    return {"created": 0, "cancelled": 0, **dict.fromkeys((outcome.value for outcome in SendOutcome), 0)}


@dataclass
class OrderDesk:
    """What orders and cancels are sent with, and who hears of them.

    Every request is a task of ``supervisor``; its outcome goes to ``emit``. ``ready`` loads what sending needs, once.
    ``accepted(sent)`` hears of every request that the exchange accepted, with the monotonic time it was sent at;
    ``now`` is the exchange's time in seconds. ``counts`` tells how many requests ended how.
    """

    supervisor: TaskSupervisor
    emit: Callable[[AccountMessage], None]
    courier: Courier
    finder: OrderFinder
    now: Callable[[], float]
    ready: Callable[[], Awaitable[Any]]
    accepted: Callable[[float], None]
    counts: dict[str, int] = field(default_factory=_no_counts)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, coro: Coroutine[Any, Any, None], name: str) -> None:
        """Start a request."""
        task = self.supervisor.spawn(coro, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def drain(self, timeout: float) -> None:
        """Wait until the requests under way are settled, for at most ``timeout`` seconds."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=timeout)


class OrderSender:
    """Sends orders through ``exchange``, a guarded ccxt instance with credentials."""

    def __init__(self, exchange: Any, desk: OrderDesk, profile: Profile, codec: ClientIdCodec) -> None:
        self._exchange, self._desk = exchange, desk
        self._profile, self._codec = profile, codec

    def submit(self, request: OrderRequest) -> None:
        """Send an order in the background."""
        self._desk.spawn(self._create(request), f"create {request.client_order_id}")

    async def _create(self, request: OrderRequest) -> None:
        flight = Flight()
        try:
            with ranked(Priority.CREATE):
                await self._create_and_tell(request, flight)
        except asyncio.CancelledError:
            self._abandoned(request, flight, "the connector was closed while the order was being sent")
            raise
        except Exception:  # the order must not vanish with an error of ours; the supervisor logs and counts it
            self._abandoned(request, flight, "an error inside the kit, see the log")
            raise

    def _abandoned(self, request: OrderRequest, flight: Flight, reason: str) -> None:
        state, error = (OrderState.UNKNOWN, AmbiguousOutcome) if flight.sent else (OrderState.FAILED, NotReady)
        self._desk.emit(self._told(request, state, reason, error))

    async def _create_and_tell(self, request: OrderRequest, flight: Flight) -> None:
        arguments = self._arguments(request)
        try:
            await self._desk.ready()
            sent = self._desk.courier.time_source.monotonic()
            order = await self._desk.courier.carry(
                lambda: self._exchange.create_order(*arguments), flight, is_order=True
            )
        except KitError as error:
            await self._create_failed(request, Fault(SendOutcome.NOT_SENT, error))
            return
        except Settled as settled:
            await self._create_failed(request, settled.fault)
            return
        try:
            update = self._desk.finder.read(order, request.client_order_id, request.trading_pair)
        except NotReady as error:  # 200, and no order in the answer: that is not success
            self._desk.counts[SendOutcome.AMBIGUOUS.value] += 1
            self._desk.emit(self._told(request, OrderState.UNKNOWN, str(error), AmbiguousOutcome))
            return
        flight.sent = False
        self._desk.counts["created"] += 1
        self._desk.accepted(sent)
        self._desk.emit(_completed(update, request))
        self._tell_fills(order, request, update)

    async def _create_failed(self, request: OrderRequest, fault: Fault) -> None:
        if isinstance(fault.error, DuplicateOrder):
            await self._tell_duplicate(request)
            return
        self._desk.counts[fault.outcome.value] += 1
        state = OrderState.UNKNOWN if fault.outcome is SendOutcome.AMBIGUOUS else OrderState.FAILED
        self._desk.emit(self._told(request, state, str(fault.error), type(fault.error)))

    async def _tell_duplicate(self, request: OrderRequest) -> None:
        """Tell the order that the exchange holds under the id already: a try before this one was accepted."""
        wanted = CancelRequest(request.client_order_id, request.trading_pair)
        reason = "the exchange holds an order of this id and does not show it"
        for delay in _QUERY_DELAYS:
            await self._desk.courier.time_source.sleep(delay)
            try:
                update = await self._desk.finder.query(wanted)
            except KitError as error:
                reason = str(error)
            else:
                if update is not None:
                    self._desk.counts["created"] += 1
                    self._desk.emit(update)
                    return
        self._desk.counts[SendOutcome.AMBIGUOUS.value] += 1
        self._desk.emit(self._told(request, OrderState.UNKNOWN, reason, DuplicateOrder))

    def _arguments(self, request: OrderRequest) -> tuple[Any, ...]:
        """Return the arguments of ccxt's ``create_order``; with a price, a market order would be one by value."""
        params: dict[str, Any] = {self._profile.create_id: self._codec.encode(request.client_order_id)}
        if request.order_type is OrderType.LIMIT_MAKER:
            params["postOnly"] = True
        elif request.order_type is OrderType.LIMIT and request.time_in_force is not TimeInForce.GTC:
            params["timeInForce"] = request.time_in_force.value
        kind = "limit" if request.order_type.is_limit else "market"
        price = request.price if request.order_type.is_limit else None
        return request.trading_pair, kind, request.trade_type.value, request.amount, price, params

    def _tell_fills(self, order: Mapping[str, Any], request: OrderRequest, update: OrderUpdate) -> None:
        """Tell the fills that came with the answer; the private stream tells them again under the same ids."""
        for trade in order.get("trades") or ():
            try:
                fill = trade_update(
                    trade,
                    now=update.timestamp,
                    client_id=request.client_order_id,
                    exchange_id=update.exchange_order_id,
                    pair=request.trading_pair,
                )
            except BadItem as error:
                logger.warning("%s: a fill in an answer is left to the stream: %s", self._exchange.id, error)
            else:
                # What fills while the order is being placed takes liquidity.
                is_maker = bool(fill.is_maker)
                self._desk.emit(replace(fill, trade_type=fill.trade_type or request.trade_type, is_maker=is_maker))

    def _told(self, request: OrderRequest, state: OrderState, reason: str, error: type[KitError]) -> OrderUpdate:
        update = OrderUpdate(request.trading_pair, state, self._desk.now(), request.client_order_id, None)
        return replace(_completed(update, request), reason=reason, error=error.__name__)


def _completed(update: OrderUpdate, request: OrderRequest) -> OrderUpdate:
    """Return the update with what the request knows, and with a reason when the exchange merely says "rejected"."""
    refused = update.state is OrderState.FAILED
    return replace(
        update,
        trade_type=request.trade_type,
        order_type=request.order_type,
        amount=request.amount,
        price=update.price if request.price is None else request.price,
        reason="the exchange took the order and rejected it" if refused else "",
        error=OrderRejected.__name__ if refused else "",
    )
