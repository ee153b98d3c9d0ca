"""The events that tell listeners of an order's life, and the box they leave through, in order."""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from kit.core.pubsub import PubSub
from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    Event,
    MarketEvent,
    MarketOrderFailureEvent,
    OrderCancelledEvent,
    OrderExpiredEvent,
    OrderFilledEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)
from kit.types.orders import OrderState, TradeUpdate


class EventOutbox:
    """Deliver events in the order in which they were put, also when a listener causes further ones.

    A listener that cancels an order while it hears of a fill may, on a venue that answers at once, cause the cancelled
    event before the events after the fill went out. Those leave first: the ``PubSub`` delivers what is triggered from
    inside a listener later, and in order.
    """

    def __init__(self, pubsub: PubSub) -> None:
        self.pubsub = pubsub
        self._waiting: deque[tuple[MarketEvent, Event]] = deque()

    def put(self, tag: MarketEvent, event: Event) -> None:
        """Add an event; it leaves with the next ``flush``."""
        self._waiting.append((tag, event))

    def flush(self) -> None:
        """Hand over what waits."""
        while self._waiting:
            self.pubsub.trigger_event(*self._waiting.popleft())


def created(order: InFlightOrder, timestamp: float) -> tuple[MarketEvent, Event]:
    """Return the event that says that the order rests, or rested, on the exchange."""
    tag = MarketEvent.BuyOrderCreated if order.is_buy else MarketEvent.SellOrderCreated
    kind = BuyOrderCreatedEvent if order.is_buy else SellOrderCreatedEvent
    event = kind(
        timestamp=timestamp,
        type=order.order_type,
        trading_pair=order.trading_pair,
        amount=order.amount,
        price=Decimal("NaN") if order.price is None else order.price,
        order_id=order.client_order_id,
        creation_timestamp=order.creation_timestamp,
        exchange_order_id=order.exchange_order_id,
    )
    return tag, event


def filled(order: InFlightOrder, trade: TradeUpdate, amount: Decimal) -> tuple[MarketEvent, Event]:
    """Return the event that tells of a fill of ``amount`` base; its timestamp is the exchange's time of the trade."""
    event = OrderFilledEvent(
        timestamp=trade.timestamp,
        order_id=order.client_order_id,
        trading_pair=order.trading_pair,
        trade_type=order.trade_type,
        order_type=order.order_type,
        price=trade.price,
        amount=amount,
        trade_fee=trade.fee,
        exchange_trade_id=trade.trade_id,
        exchange_order_id=order.exchange_order_id or "",
    )
    return MarketEvent.OrderFilled, event


def ended(order: InFlightOrder, timestamp: float) -> tuple[MarketEvent, Event]:
    """Return the one event that tells how the order, which is done, ended."""
    order_id, state = order.client_order_id, order.current_state
    if state is OrderState.CANCELED:
        return MarketEvent.OrderCancelled, OrderCancelledEvent(timestamp, order_id, order.exchange_order_id)
    if state is OrderState.EXPIRED:
        return MarketEvent.OrderExpired, OrderExpiredEvent(timestamp, order_id)
    if state is OrderState.FAILED:
        failure = MarketOrderFailureEvent(timestamp, order_id, order.order_type, order.reason, order.error)
        return MarketEvent.OrderFailure, failure
    tag = MarketEvent.BuyOrderCompleted if order.is_buy else MarketEvent.SellOrderCompleted
    kind = BuyOrderCompletedEvent if order.is_buy else SellOrderCompletedEvent
    event = kind(
        timestamp=timestamp,
        order_id=order_id,
        base_asset=order.base_asset,
        quote_asset=order.quote_asset,
        base_asset_amount=order.executed_amount_base,
        quote_asset_amount=order.executed_amount_quote,
        order_type=order.order_type,
        exchange_order_id=order.exchange_order_id,
    )
    return tag, event
