"""The acting side of a connector: checked orders out, cancels out, and the exchange's word awaited."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from kit.connectors import order_rules
from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.market_view import NAN, MarketView
from kit.connectors.pairs import normalize_pair
from kit.core.affinity import LoopAffinity
from kit.core.clock import TimeSource
from kit.core.pubsub import PubSub
from kit.core.waiting import wait_for
from kit.errors import InvalidOrder, KitError, NotReady, OrderNotFound
from kit.market.order_book import OrderBook
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import Event, MarketEvent
from kit.types.market import TradeType, TradingRule
from kit.types.orders import (
    CancelFailed,
    CancelRequest,
    OrderRequest,
    OrderState,
    OrderType,
    OrderUpdate,
    TimeInForce,
)
from kit.types.ports import OrderPort

logger = logging.getLogger(__name__)

CANCEL_RESEND_AFTER: Final = 5.0
"""Seconds after which a cancel without an answer is sent again; cancelling twice is harmless."""

CANCEL_RETRY_AFTER: Final = 1.0
"""Seconds after which a cancel that failed is tried again by the desk itself."""

_ENDINGS: Final = (
    MarketEvent.OrderCancelled,
    MarketEvent.OrderExpired,
    MarketEvent.OrderFailure,
    MarketEvent.BuyOrderCompleted,
    MarketEvent.SellOrderCompleted,
)
_UNACKNOWLEDGED: Final = frozenset({OrderState.PENDING_CREATE, OrderState.UNKNOWN})


@dataclass(frozen=True, slots=True)
class CancellationResult:
    """What became of one order that was asked to be cancelled; ``state`` is the last one known."""

    order_id: str
    success: bool
    state: OrderState


class OrderDesk:
    """Sends orders and cancels of one connector and follows them until the exchange confirms their end.

    A wish to cancel is kept until the order has ended: it waits for the order's acknowledgement, and is sent again
    when it failed or got no answer. ``shut`` refuses new orders while a connector is being swept. Everything that
    changes state runs on the core's loop; ``place`` and ``cancel`` may be called from any thread.
    """

    def __init__(
        self,
        view: MarketView,
        port: OrderPort,
        tracker: ClientOrderTracker,
        balances: Balances,
        pubsub: PubSub,
        *,
        ids: ClientOrderIds,
        time_source: TimeSource,
        affinity: LoopAffinity,
    ) -> None:
        self._view = view
        self._port = port
        self._tracker = tracker
        self._balances = balances
        self._ids = ids
        self._time_source = time_source
        self._affinity = affinity
        self._cancel_wanted: dict[str, float] = {}  # client order id -> when it was last asked for, monotonic
        self._shut = ""
        self._changed = asyncio.Event()
        for tag in _ENDINGS:
            pubsub.add_listener(tag, self._on_end)
        for tag in (MarketEvent.BuyOrderCreated, MarketEvent.SellOrderCreated):
            pubsub.add_listener(tag, self._on_created)

    def __repr__(self) -> str:
        return f"<OrderDesk: {len(self.unresolved())} unresolved orders>"

    def place(
        self,
        trade_type: TradeType,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType,
        price: Decimal | None,
        time_in_force: TimeInForce,
    ) -> str:
        """Check, quantise, track and send an order; return its client order id at once."""
        if self._shut:
            raise NotReady(f"no new orders now: {self._shut}")
        rule = self._view.rule(trading_pair)
        book = self._view.get_order_book(rule.trading_pair)
        order_rules.check_type(rule, order_type, time_in_force)
        asked = order_rules.to_decimal("amount", amount)
        quantized = order_rules.floor_to(asked, rule.min_base_amount_increment)
        order_rules.check_amount(rule, quantized, asked)
        limit = self._limit_price(rule, order_type, price)
        order_rules.check_notional(rule, quantized, limit if limit is not None else self._touch(book, trade_type))
        request = OrderRequest(
            self._ids.next(), rule.trading_pair, trade_type, order_type, quantized, limit, time_in_force
        )
        self._affinity.call(self._track_and_send, request, rule, self._touch(book, trade_type))
        return request.client_order_id

    def _limit_price(self, rule: TradingRule, order_type: OrderType, price: Decimal | None) -> Decimal | None:
        if order_type is OrderType.MARKET:
            if price is not None and not (isinstance(price, Decimal) and price.is_nan()):
                raise InvalidOrder(f"a MARKET order takes no price, but {price} was given; drop it or use LIMIT")
            return None
        if price is None:
            raise InvalidOrder(f"a {order_type.name} order needs a price in {rule.quote_asset}; give price=…")
        limit = order_rules.floor_to(order_rules.to_decimal("price", price), rule.min_price_increment)
        order_rules.check_price(rule, limit)
        return limit

    def _touch(self, book: OrderBook, trade_type: TradeType) -> Decimal:
        price = book.get_price(trade_type is TradeType.BUY)
        return Decimal(repr(price)) if price == price else NAN  # noqa: PLR0124

    def _track_and_send(self, request: OrderRequest, rule: TradingRule, touch: Decimal) -> None:
        order = InFlightOrder(
            client_order_id=request.client_order_id,
            trading_pair=request.trading_pair,
            base_asset=rule.base_asset,
            quote_asset=rule.quote_asset,
            trade_type=request.trade_type,
            order_type=request.order_type,
            amount=request.amount,
            price=request.price,
            creation_timestamp=self._time_source.time(),
        )
        self._tracker.start_tracking_order(order)
        self._balances.hold(order, price=None if touch.is_nan() else touch)
        try:
            if self._shut:  # since the caller's thread looked
                raise NotReady(f"no new orders now: {self._shut}")
            self._port.submit(request)
        except KitError as error:  # nothing was sent; the caller has the id already, so it hears of it by an event
            logger.warning("order %s was not sent: %s", request.client_order_id, error)
            self._tracker.process_order_update(
                OrderUpdate(
                    request.trading_pair,
                    OrderState.FAILED,
                    self._time_source.time(),
                    client_order_id=request.client_order_id,
                    reason=str(error),
                    error=type(error).__name__,
                )
            )

    def cancel(self, trading_pair: str, client_order_id: str) -> None:
        """Ask to cancel an order of ours; an order that has ended already is left alone.

        An order that the exchange has not acknowledged yet is cancelled as soon as it does, as a cancel that overtakes
        its order would find nothing. Raises ``OrderNotFound`` for an id that was never tracked here.
        """
        unknown = self._tracker.fetch_order(client_order_id=client_order_id) is None
        if unknown and (self._affinity.here or not self._ids.made_here(client_order_id)):
            raise self._not_found(trading_pair, client_order_id)
        # From another thread the order itself may still be on its way to the loop, in front of this cancel.
        self._affinity.call(self._cancel, trading_pair, client_order_id)

    def _not_found(self, trading_pair: str, client_order_id: str) -> OrderNotFound:
        return OrderNotFound(
            f"no order {client_order_id!r} of this connector is known on {normalize_pair(trading_pair)}; "
            f"in flight are {', '.join(self._tracker.active_orders) or 'none'}"
        )

    def _cancel(self, trading_pair: str, client_order_id: str) -> None:
        order = self._tracker.fetch_order(client_order_id=client_order_id)
        if order is None:
            raise self._not_found(trading_pair, client_order_id)
        # What was asked for by hand is sent at once, unless an earlier cancel still waits for its answer.
        if order.current_state is not OrderState.PENDING_CANCEL:
            self._cancel_wanted.pop(client_order_id, None)
        self._request_cancel(order)

    def _request_cancel(self, order: InFlightOrder) -> None:
        order_id = order.client_order_id
        if order.is_done:
            self._cancel_wanted.pop(order_id, None)
            return
        asked = self._cancel_wanted.setdefault(order_id, -math.inf)
        if order.current_state in _UNACKNOWLEDGED:
            return
        now = self._time_source.monotonic()
        waiting = order.current_state is OrderState.PENDING_CANCEL  # else the last cancel, if any, has failed
        if now - asked < (CANCEL_RESEND_AFTER if waiting else CANCEL_RETRY_AFTER):
            return
        self._cancel_wanted[order_id] = now
        self._send_cancel(order)

    def _send_cancel(self, order: InFlightOrder) -> None:
        now = self._time_source.time()
        self._tracker.process_order_update(
            OrderUpdate(
                order.trading_pair,
                OrderState.PENDING_CANCEL,
                now,
                client_order_id=order.client_order_id,
                exchange_order_id=order.exchange_order_id,
            )
        )
        try:
            self._port.cancel(CancelRequest(order.client_order_id, order.trading_pair, order.exchange_order_id))
        except KitError as error:  # as if the exchange could not be reached; other cancels must not fail with it
            logger.warning("the cancel of order %s was not sent: %s", order.client_order_id, error)
            self._tracker.process_cancel_failed(
                CancelFailed(order.client_order_id, order.trading_pair, now, f"not sent: {error}")
            )

    def tick(self) -> None:
        """Follow up every wish to cancel: send what became possible, and again what failed or got no answer."""
        if not self._cancel_wanted:
            return
        for order_id in list(self._cancel_wanted):
            order = self._tracker.fetch_order(client_order_id=order_id)
            if order is None:
                del self._cancel_wanted[order_id]
            else:
                self._request_cancel(order)

    def _on_created(self, event: Event) -> None:
        order = self._tracker.fetch_order(client_order_id=getattr(event, "order_id", ""))
        if order is not None and order.client_order_id in self._cancel_wanted:
            self._request_cancel(order)

    def _on_end(self, event: Event) -> None:
        self._cancel_wanted.pop(getattr(event, "order_id", ""), None)
        self._changed.set()

    def shut(self, reason: str) -> None:
        """Refuse new orders, saying why, until ``reopen``."""
        self._shut = reason

    def reopen(self) -> None:
        """Take new orders again."""
        self._shut = ""

    def unresolved(self) -> list[InFlightOrder]:
        """Return the orders that may rest on the exchange for all that is known."""
        return [order for order in self._tracker.active_orders.values() if order.is_open]

    async def cancel_all(self, timeout: float, trading_pair: str | None = None) -> list[CancellationResult]:
        """Cancel every order in flight (on ``trading_pair``, if given) and wait for the exchange's word on each.

        Waits at most ``timeout`` seconds; orders placed meanwhile are left alone.
        """
        orders = [order for order in self.unresolved() if trading_pair in (None, order.trading_pair)]
        deadline = self._time_source.monotonic() + timeout
        while pending := [order for order in orders if order.is_open]:
            for order in pending:
                self._request_cancel(order)
            remaining = deadline - self._time_source.monotonic()
            if remaining <= 0:
                logger.warning("%d orders are not confirmed as cancelled after %.1f s", len(pending), timeout)
                break
            await self._wait_for_change(min(remaining, CANCEL_RETRY_AFTER))
        return self._results(orders)

    async def _wait_for_change(self, seconds: float) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            await wait_for(self._changed.wait(), seconds, self._time_source)

    @staticmethod
    def _results(orders: Iterable[InFlightOrder]) -> list[CancellationResult]:
        return [CancellationResult(order.client_order_id, order.is_done, order.current_state) for order in orders]

    def owns(self, update: OrderUpdate) -> bool:
        """Tell whether an order that the exchange shows is this connector's, or left from a run that died.

        Orders of this core's tag that this process made but this connector does not track are another connector's.
        """
        order_id = update.client_order_id
        if not self._ids.owns(order_id) or order_id is None:
            return False
        tracked = self._tracker.fetch_order(client_order_id=order_id) is not None
        return tracked or not self._ids.made_here(order_id)

    def cancel_strangers(self, updates: Sequence[OrderUpdate]) -> None:
        """Ask to cancel those of the core's own open orders that are not tracked: left from a run that died."""
        for update in updates:
            order_id = update.client_order_id or ""
            if self.owns(update) and self._tracker.fetch_order(client_order_id=order_id) is None:
                self._port.cancel(CancelRequest(order_id, update.trading_pair, update.exchange_order_id))
