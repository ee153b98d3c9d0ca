"""Values of the public side of a market: sides, prices, trading rules and stream messages."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

from kit.types.drawn import Drawn


class TradeType(Enum):
    """The side of an order, or of the taker of a trade."""

    BUY = "buy"
    SELL = "sell"


class PriceType(Enum):
    """Which price of a market is meant."""

    MidPrice = "mid_price"
    BestBid = "best_bid"
    BestAsk = "best_ask"
    LastTrade = "last_price"
    LastOwnTrade = "last_own_trade_price"
    InventoryCost = "inventory_cost"
    Custom = "custom"


@dataclass(frozen=True, slots=True)
class TradingRule(Drawn):
    """What an exchange accepts for one trading pair.

    Amounts are in base, ``min_notional_size`` in quote, increments in the unit of what they step.
    ``None`` means that the exchange states no such limit. Fees are fractions (0.001 is 0.1 %), negative for a rebate.
    """

    trading_pair: str
    base_asset: str
    quote_asset: str
    min_price_increment: Decimal
    min_base_amount_increment: Decimal
    min_order_size: Decimal = Decimal(0)
    max_order_size: Decimal | None = None
    min_notional_size: Decimal = Decimal(0)
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    maker_fee: Decimal = Decimal(0)
    taker_fee: Decimal = Decimal(0)
    supports_limit_orders: bool = True
    supports_limit_maker_orders: bool = True
    supports_market_orders: bool = True
    exchange_symbol: str = ""


Level: TypeAlias = tuple[float, float]
"""One price level of a book: (price in quote, amount in base)."""


@dataclass(frozen=True, slots=True)
class OrderBookSnapshot:
    """A whole order book at ``update_id``; ``timestamp`` is the exchange's time in seconds, 0.0 when not told.

    ``update_id`` 0 means that the exchange numbers nothing: such streams are applied in order of arrival.
    Levels come in any order; amounts are in base and above zero.
    """

    trading_pair: str
    update_id: int
    timestamp: float
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class OrderBookDiff:
    """Changed levels of an order book: absolute amounts in base, 0 removes the level.

    ``update_id`` is the last id the diff covers, ``first_update_id`` the first; ``previous_update_id`` is the last id
    of the diff before (futures streams). ``None`` where the exchange does not tell.
    """

    trading_pair: str
    update_id: int
    timestamp: float
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    first_update_id: int | None = None
    previous_update_id: int | None = None


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade that anybody made; ``side`` is the taker's, ``amount`` in base."""

    trading_pair: str
    trade_id: str
    timestamp: float
    side: TradeType
    price: float
    amount: float


@dataclass(frozen=True, slots=True)
class StreamLost:
    """The stream of a pair was lost or found inconsistent; what follows starts with a fresh snapshot."""

    trading_pair: str
    timestamp: float
    reason: str


MarketMessage: TypeAlias = OrderBookSnapshot | OrderBookDiff | PublicTrade | StreamLost
