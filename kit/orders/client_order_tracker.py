"""The one place that knows every order of ours: it takes in what the exchange says and tells listeners, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

from kit.core.pubsub import PubSub
from kit.errors import InvalidInput
from kit.orders import lifecycle_events
from kit.orders.attention import AttentionList
from kit.orders.exact import EXACT, QUOTIENT
from kit.orders.fills import INFERRED_PREFIX
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.lifecycle_events import EventOutbox
from kit.orders.order_registry import HeldMessages, OrderRegistry, TrackedOrder
from kit.types.events import Event, MarketEvent
from kit.types.orders import CancelFailed, OrderState, OrderUpdate, TradeUpdate

logger = logging.getLogger(__name__)

OrderObserver: TypeAlias = Callable[[InFlightOrder, float], None]

_NO_EVIDENCE = frozenset({OrderState.PENDING_CREATE, OrderState.UNKNOWN, OrderState.PENDING_CANCEL, OrderState.FAILED})


class ClientOrderTracker:
    """Track orders from before they are sent until the exchange shows their end; synchronous, on the core's loop.

    Order and trade updates may come in any order, any number of times, and by either id. Listeners of ``pubsub`` hear
    of each order: Created, its Filled events, and one of Completed, Cancelled, Expired or Failure, each at most once
    and in this order. A fill after the end still is told and flags the order. An end that states more executed than
    there are fills for waits for them (``orders_missing_fills``).

    An order leaves tracking only on evidence. Answers "not found" count (``lost_after_not_found`` in a row fail the
    order, which then is in ``lost_orders``); errors of the network never come here. A failed or lost order that
    shows signs of life is tracked again as if it were new, but Created is not told twice.

    Event timestamps are ``time()`` when the news arrived, those of fills the exchange's. Whom the exchange should be
    asked about is in ``orders_in_doubt`` and ``orders_missing_fills``; ``attention.on_attention`` is told of each.
    """

    def __init__(
        self,
        pubsub: PubSub,
        *,
        time: Callable[[], float],
        cached_limit: int = 1000,
        held_limit: int = 1000,
        lost_after_not_found: int = 3,
    ) -> None:
        if lost_after_not_found < 1 or cached_limit < 1 or held_limit < 1:
            raise InvalidInput(
                "lost_after_not_found, cached_limit and held_limit of an order tracker must be 1 or more."
            )
        self.attention = AttentionList()
        self.unmatched_messages = 0
        self.rejected_messages = 0
        self._time = time
        self._lost_after = lost_after_not_found
        self._registry = OrderRegistry(cached_limit)
        self._held = HeldMessages(held_limit)
        self._outbox = EventOutbox(pubsub)
        self._observers: list[OrderObserver] = []

    # -- what is known -------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<ClientOrderTracker: {len(self.active_orders)} active, {len(self.cached_orders)} ended>"

    @property
    def active_orders(self) -> Mapping[str, InFlightOrder]:
        """Return the orders whose end is not settled, by client id, oldest first; a live view."""
        return self._registry.active

    @property
    def cached_orders(self) -> Mapping[str, InFlightOrder]:
        """Return the last orders that ended, by client id; a live view."""
        return self._registry.cached

    @property
    def lost_orders(self) -> Mapping[str, InFlightOrder]:
        """Return the last orders that failed because the exchange does not know them, by client id; a live view."""
        return self._registry.lost

    @property
    def all_fillable_orders(self) -> Mapping[str, InFlightOrder]:
        """Return every order that a fill may still belong to: active, cached and lost; a copy."""
        return {**self.cached_orders, **self.lost_orders, **self.active_orders}

    @property
    def orders_in_doubt(self) -> Mapping[str, str]:
        """Return the ids of orders that the exchange should be asked about, each with the reason; a live view."""
        return self.attention.doubts

    @property
    def orders_missing_fills(self) -> tuple[InFlightOrder, ...]:
        """Return the orders of which the exchange states more executed than there are fills for."""
        return self.attention.missing_fills

    def fetch_order(
        self, client_order_id: str | None = None, exchange_order_id: str | None = None
    ) -> InFlightOrder | None:
        """Return the order of either id, active, cached or lost; ``None`` when there is none."""
        tracked = self._registry.get(client_order_id) if client_order_id else None
        if tracked is None and exchange_order_id:
            tracked = self._registry.find_by_exchange_id(exchange_order_id)
        return tracked.order if tracked else None

    def add_observer(self, observer: OrderObserver) -> None:
        """Call ``observer(order, timestamp)`` on each change of an order, before events of it go out.

        ``timestamp`` is that of the message, in the exchange's time where the message is the exchange's. Observers are
        parts of the kit and must not raise.
        """
        if observer not in self._observers:
            self._observers.append(observer)

    # -- what comes in -------------------------------------------------------------------------------------------------

    def start_tracking_order(self, order: InFlightOrder) -> None:
        """Track an order; call it before sending. Raises ``DuplicateOrder`` for an id that is known.

        Of a restored order nothing is told that its state says was told before; a restored ``UNKNOWN`` is in doubt.
        """
        tracked = self._registry.add(order)
        if order.is_done and not order.missing_amount:
            tracked.end_told, tracked.failure_told = True, order.progress is OrderState.FAILED
            self._registry.finish(order.client_order_id, lost=_is_lost(order))
        self._settle(tracked, order.last_update_timestamp)

    def stop_tracking_order(self, client_order_id: str) -> None:
        """Give up an order that was tracked but, for certain, never sent; no event is told.

        Raises ``InvalidInput`` for an order that the exchange may have: only its word ends the tracking of that.
        """
        tracked = self._registry.get(client_order_id)
        if tracked is None or client_order_id not in self.active_orders:
            return
        if tracked.order.current_state is not OrderState.PENDING_CREATE:
            raise InvalidInput(
                f"Order {client_order_id} is {tracked.order.current_state.value}: it may rest on the exchange. "
                "Cancel it, or let the exchange tell its end."
            )
        tracked.end_told = True
        self._registry.finish(client_order_id, lost=False)

    def process_order_update(self, update: OrderUpdate) -> None:
        """Take in what the exchange, or our request path, says of an order's state."""
        tracked = self._match(update)
        if tracked is None:
            return
        order = tracked.order
        if update.state is OrderState.FAILED and order.acknowledged and order.is_open:
            self.mark_in_doubt(order.client_order_id, f"reported as failed although it was seen open: {update.reason}")
        if update.state not in _NO_EVIDENCE:
            tracked.not_found = 0
        order.update_with_order_update(update)
        self._settle(tracked, update.timestamp)

    def process_trade_update(self, trade: TradeUpdate) -> None:
        """Take in a fill; one booked before changes nothing, one without a sensible amount is logged and counted."""
        tracked = self._match(trade)
        if tracked is None:
            return
        order, before = tracked.order, tracked.order.executed_amount_base
        tracked.not_found = 0
        try:
            if not order.update_with_trade_update(trade):
                return
        except InvalidInput:
            self.rejected_messages += 1
            logger.exception("A fill cannot be booked: %s", trade)
            return
        if tracked.end_told and not tracked.failure_told:
            order.filled_after_end = True
            logger.warning("Order %s was filled after its end was told: %s", order.client_order_id, trade)
        if order.overfilled:
            logger.error("Order %s is filled beyond its amount %s: %s", order.client_order_id, order.amount, trade)
        growth = EXACT.subtract(order.executed_amount_base, before)
        self._settle(tracked, trade.timestamp, fill=lifecycle_events.filled(order, trade, growth))

    def process_order_not_found(self, client_order_id: str) -> None:
        """Count the exchange's own answer that it knows no such order; never call it for an error or a time-out.

        The caller makes sure that the order cannot be on its way any more. The last of ``lost_after_not_found`` answers
        in a row fails the order.
        """
        tracked = self._registry.get(client_order_id)
        if tracked is None or tracked.order.is_done:
            return
        tracked.not_found += 1
        if tracked.not_found < self._lost_after:
            return
        tracked.order.mark_lost(f"the exchange answered {tracked.not_found} times that it knows no such order")
        self._settle(tracked, self._time())

    def process_cancel_failed(self, message: CancelFailed) -> None:
        """Take in that a cancel did not take effect: the order shows as before and may be cancelled again.

        Where the cancel's outcome is open, or the exchange did not find the order, the order is in doubt until asked.
        """
        tracked = self._registry.get(message.client_order_id)
        if tracked is None or tracked.order.is_done:
            return
        tracked.order.cancel_failed()
        if message.order_not_found or message.ambiguous:
            self.mark_in_doubt(message.client_order_id, f"cancel failed: {message.reason}")
        self._settle(tracked, message.timestamp)

    # -- what the exchange should be asked -----------------------------------------------------------------------------

    def mark_in_doubt(self, client_order_id: str, reason: str) -> None:
        """Note that the exchange should be asked about an open order; does nothing for any other id."""
        tracked = self._registry.get(client_order_id)
        if tracked is not None:
            self.attention.doubt(tracked.order, reason)

    def clear_doubt(self, client_order_id: str) -> None:
        """Note that the exchange was asked and answered; an order that still is ``UNKNOWN`` stays in doubt."""
        tracked = self._registry.get(client_order_id)
        if tracked is not None:
            self.attention.clear(tracked.order)

    def infer_missing_fills(self, client_order_id: str) -> TradeUpdate | None:
        """Book what the exchange states as executed, but does not list, as one fill; return it.

        The last resort, after the exchange was asked for the order's fills. The fill's trade id starts with
        ``inferred-``; its price comes from the stated quote amount, else is the order's price, else the average of its
        other fills. Returns ``None`` when nothing is missing or when no price is known.
        """
        tracked = self._registry.get(client_order_id)
        if tracked is None or not tracked.order.missing_amount:
            return None
        trade = _inferred_fill(tracked.order)
        if trade is not None:
            logger.warning("Order %s: the exchange lists no fill for %s", client_order_id, trade)
            self.process_trade_update(trade)
        return trade

    def announce(self, tag: MarketEvent, event: Event) -> None:
        """Send an event that is not about an order, in its place among those that are."""
        self._outbox.put(tag, event)
        self._outbox.flush()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _match(self, message: OrderUpdate | TradeUpdate) -> TrackedOrder | None:
        tracked = self._registry.find(message)
        if tracked is None:
            # A client id we do not know is somebody else's order. Without one, it may be ours, not identified yet.
            if not message.client_order_id and self._registry.awaits_exchange_id(message.trading_pair):
                self._held.keep(message)
            else:
                self.unmatched_messages += 1
            return None
        self._identify(tracked.order, message)
        return tracked

    def _identify(self, order: InFlightOrder, message: OrderUpdate | TradeUpdate) -> None:
        if order.exchange_order_id is not None or message.exchange_order_id is None:
            return
        order.exchange_order_id = message.exchange_order_id
        self._registry.bind(order)
        for held in self._held.take(order.trading_pair, message.exchange_order_id):
            if isinstance(held, OrderUpdate):
                self.process_order_update(held)
            else:
                self.process_trade_update(held)
        if not self._registry.awaits_exchange_id(order.trading_pair):
            self._held.forget(order.trading_pair)

    def _settle(self, tracked: TrackedOrder, timestamp: float, fill: tuple[MarketEvent, Event] | None = None) -> None:
        """Bring shelves, doubts, observers and events in line with the order's state."""
        order = tracked.order
        order_id = order.client_order_id
        if tracked.failure_told and order.progress is not OrderState.FAILED:
            logger.warning("Order %s was given up but lives: tracked again", order_id)
            tracked.end_told = tracked.failure_told = False
            self._registry.revive(order_id)
        if order.acknowledged and not tracked.created_told:
            tracked.created_told = True
            self._outbox.put(*lifecycle_events.created(order, self._time()))
        if fill is not None:
            self._outbox.put(*fill)
        self.attention.update(order)
        if order.is_done and not tracked.end_told and not self.attention.misses_fills(order):
            tracked.end_told, tracked.failure_told = True, order.progress is OrderState.FAILED
            self._registry.finish(order_id, lost=_is_lost(order))
            self._outbox.put(*lifecycle_events.ended(order, self._time()))
        for observer in self._observers:
            observer(order, timestamp)
        self._outbox.flush()


def _is_lost(order: InFlightOrder) -> bool:
    return order.progress is OrderState.FAILED and order.error == "OrderNotFound"


def _inferred_fill(order: InFlightOrder) -> TradeUpdate | None:
    missing, quote = order.missing_amount, None
    if order.stated_filled_quote is not None:
        quote = EXACT.subtract(order.stated_filled_quote, order.executed_amount_quote)
    if quote is not None and quote > 0:
        price = QUOTIENT.divide(quote, missing)
    else:
        known_price = order.price or order.average_executed_price
        if known_price is None:
            logger.error("Order %s: %s executed, price unknown", order.client_order_id, missing)
            return None
        price, quote = known_price, EXACT.multiply(known_price, missing)
    return TradeUpdate(
        trade_id=f"{INFERRED_PREFIX}{order.client_order_id}-{order.stated_filled}",
        trading_pair=order.trading_pair,
        timestamp=order.last_update_timestamp,
        price=price,
        amount=missing,
        quote_amount=quote,
        client_order_id=order.client_order_id,
        exchange_order_id=order.exchange_order_id,
        trade_type=order.trade_type,
    )
