"""Values of the private side: orders, fills, fees, balances, and the messages an exchange sends about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

from kit.types.drawn import Drawn
from kit.types.market import TradeType


class OrderType(Enum):
    """How an order meets the book."""

    LIMIT = "limit"
    LIMIT_MAKER = "limit_maker"
    MARKET = "market"

    @property
    def is_limit(self) -> bool:
        """Tell whether the order carries a price."""
        return self is not OrderType.MARKET


class TimeInForce(Enum):
    """How long a limit order stays."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class OrderState(Enum):
    """Where an order is in its life; the transition table lives in ``kit.orders.in_flight_order``."""

    PENDING_CREATE = "pending_create"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    FAILED = "failed"

    # Members are singletons. Enum's own hash is a Python call, and states are looked up with every message.
    __hash__ = object.__hash__

    @property
    def is_done(self) -> bool:
        """Tell whether nothing but late fills can follow."""
        return self in _DONE

    @property
    def is_open(self) -> bool:
        """Tell whether the order rests, or may rest, on the exchange."""
        return self not in _DONE


_DONE = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.FAILED})


@dataclass(frozen=True, slots=True)
class TokenAmount:
    """An amount of one asset."""

    token: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class TradeFee:
    """What a fill cost: amounts by asset; negative amounts are rebates. Empty when the exchange did not tell."""

    flat_fees: tuple[TokenAmount, ...] = ()

    def amount_of(self, token: str) -> Decimal:
        """Return the fee paid in ``token``, zero if none."""
        return sum((fee.amount for fee in self.flat_fees if fee.token == token), Decimal(0))


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """An order as it is handed to an ``OrderPort``: quantised and checked, under an id that is already tracked.

    ``amount`` is in base; ``price`` in quote, ``None`` for market orders.
    """

    client_order_id: str
    trading_pair: str
    trade_type: TradeType
    order_type: OrderType
    amount: Decimal
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A wish to cancel one order; the exchange order id helps where it is known."""

    client_order_id: str
    trading_pair: str
    exchange_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class LimitOrder(Drawn):
    """An immutable view of an open order of ours; ``quantity`` and ``filled_quantity`` in base."""

    client_order_id: str
    trading_pair: str
    is_buy: bool
    base_asset: str
    quote_asset: str
    price: Decimal
    quantity: Decimal
    filled_quantity: Decimal = Decimal(0)
    creation_timestamp: float = 0.0
    order_type: OrderType = OrderType.LIMIT


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """What the exchange, or our own request path, says about the state of an order.

    At least one of the two ids is given. ``filled`` is the cumulative executed base amount and ``filled_quote`` the
    quote amount as the exchange states them, ``None`` when it does not. ``reason`` is in words; ``error`` the name of
    the ``kit.errors`` class where the update tells of a failure. ``timestamp`` is the exchange's, in seconds.
    ``trade_type``, ``order_type``, ``amount`` and ``price`` are told where the source knows them, so that an order
    that this process does not know yet can be adopted.
    """

    trading_pair: str
    state: OrderState
    timestamp: float
    client_order_id: str | None = None
    exchange_order_id: str | None = None
    filled: Decimal | None = None
    filled_quote: Decimal | None = None
    reason: str = ""
    error: str = ""
    trade_type: TradeType | None = None
    order_type: OrderType | None = None
    amount: Decimal | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class TradeUpdate:
    """One fill of an order of ours. ``trade_id`` is unique within the pair; at least one order id is given."""

    trade_id: str
    trading_pair: str
    timestamp: float
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    client_order_id: str | None = None
    exchange_order_id: str | None = None
    fee: TradeFee = field(default_factory=TradeFee)
    is_maker: bool | None = None
    trade_type: TradeType | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """An asset's balance as the exchange reports it: ``available`` is ``total`` less what its open orders hold."""

    total: Decimal
    available: Decimal


@dataclass(frozen=True, slots=True)
class BalanceUpdate:
    """A changed balance of one asset, absolute."""

    asset: str
    balance: Balance
    timestamp: float


@dataclass(frozen=True, slots=True)
class CancelFailed:
    """A cancel request did not take effect.

    ``order_not_found``: the exchange says it knows no such open order, so it was filled, cancelled or never there.
    Ambiguous outcomes are told with ``ambiguous``: the cancel may have worked; asking again is safe.
    """

    client_order_id: str
    trading_pair: str
    timestamp: float
    reason: str
    order_not_found: bool = False
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class UserStreamStatus:
    """The private stream came up (``connected``) or was lost; events in between may be missing."""

    connected: bool
    timestamp: float
    reason: str = ""


AccountMessage: TypeAlias = OrderUpdate | TradeUpdate | BalanceUpdate | CancelFailed | UserStreamStatus
