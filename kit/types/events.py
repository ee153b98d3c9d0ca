"""Events that strategies, journals and widgets listen to; names, numbers and fields are the reference's."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

from kit.types.market import TradeType
from kit.types.orders import OrderType, TradeFee


class MarketEvent(Enum):
    """The kinds of events; numbers follow the reference, those from 600 on are the kit's own."""

    BuyOrderCompleted = 102
    SellOrderCompleted = 103
    OrderCancelled = 106
    OrderFilled = 107
    OrderExpired = 108
    OrderUpdate = 109
    TradeUpdate = 110
    OrderFailure = 198
    BuyOrderCreated = 200
    SellOrderCreated = 201
    Balance = 402
    Trade = 901
    ClockLate = 600

    # Members are singletons. Enum's own hash is a Python call, and every event is looked up by its tag.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class BuyOrderCreatedEvent:
    """An order of ours rests, or rested, on the exchange. ``amount`` in base, times in seconds."""

    timestamp: float
    type: OrderType
    trading_pair: str
    amount: Decimal
    price: Decimal
    order_id: str
    creation_timestamp: float
    exchange_order_id: str | None = None
    leverage: int = 1
    position: str = "NIL"


@dataclass(frozen=True, slots=True)
class SellOrderCreatedEvent(BuyOrderCreatedEvent):
    """The same for the sell side."""


@dataclass(frozen=True, slots=True)
class OrderFilledEvent:
    """A fill of an order of ours: ``amount`` in base at ``price`` in quote."""

    timestamp: float
    order_id: str
    trading_pair: str
    trade_type: TradeType
    order_type: OrderType
    price: Decimal
    amount: Decimal
    trade_fee: TradeFee = field(default_factory=TradeFee)
    exchange_trade_id: str = ""
    exchange_order_id: str = ""
    leverage: int = 1
    position: str = "NIL"


@dataclass(frozen=True, slots=True)
class BuyOrderCompletedEvent:
    """Fills of the order add up to its amount."""

    timestamp: float
    order_id: str
    base_asset: str
    quote_asset: str
    base_asset_amount: Decimal
    quote_asset_amount: Decimal
    order_type: OrderType
    exchange_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class SellOrderCompletedEvent(BuyOrderCompletedEvent):
    """The same for the sell side."""


@dataclass(frozen=True, slots=True)
class OrderCancelledEvent:
    """The exchange confirmed that the order is cancelled."""

    timestamp: float
    order_id: str
    exchange_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class OrderExpiredEvent:
    """The exchange ended the order by its time in force or another rule of its own."""

    timestamp: float
    order_id: str


@dataclass(frozen=True, slots=True)
class MarketOrderFailureEvent:
    """The order never came to rest: refused by a check or by the exchange. ``error_type`` names a ``kit.errors``."""

    timestamp: float
    order_id: str
    order_type: OrderType
    error_message: str = ""
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class BalanceUpdateEvent:
    """A balance of the account changed; absolute amounts."""

    timestamp: float
    asset_name: str
    total_balance: Decimal
    available_balance: Decimal


@dataclass(frozen=True, slots=True)
class OrderBookTradeEvent:
    """A public trade; ``type`` is the taker's side, price and amount are floats as books hold them."""

    trading_pair: str
    timestamp: float
    type: TradeType
    price: float
    amount: float
    trade_id: str = ""
    is_taker: bool = True


@dataclass(frozen=True, slots=True)
class ClockLateEvent:
    """A tick came late: ``lateness`` seconds after its time; ``skipped`` ticks before it did not run at all."""

    timestamp: float
    lateness: float
    skipped: int


Event: TypeAlias = (
    BuyOrderCreatedEvent
    | SellOrderCreatedEvent
    | OrderFilledEvent
    | BuyOrderCompletedEvent
    | SellOrderCompletedEvent
    | OrderCancelledEvent
    | OrderExpiredEvent
    | MarketOrderFailureEvent
    | BalanceUpdateEvent
    | OrderBookTradeEvent
    | ClockLateEvent
)
