"""What a strategy may ask of a market. A ``Connector`` is one; so is a simulated market in a test."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from kit.core.pubsub import PubSub
from kit.types.market import PriceType, TradingRule
from kit.types.orders import OrderType, TimeInForce


class Market(Protocol):
    """The side of a connector that strategies use; see ``kit.connectors.connector.Connector`` for the meanings.

    Prices are ``Decimal('NaN')`` where a side of the book is empty. Events of orders go out through ``pubsub``, and
    may do so within the very call of ``buy``, ``sell`` or ``cancel``.
    """

    @property
    def name(self) -> str:
        """Return the connector's name."""
        ...

    @property
    def pubsub(self) -> PubSub:
        """Return where order events are published."""
        ...

    @property
    def ready(self) -> bool:
        """Tell whether books, rules, balances and the private stream are up and fresh."""
        ...

    @property
    def trading_pairs(self) -> tuple[str, ...]:
        """Return the streamed pairs."""
        ...

    @property
    def trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rules by pair."""
        ...

    @property
    def in_flight_orders(self) -> Mapping[str, Any]:
        """Return the orders that may still live on the exchange, by client order id."""
        ...

    def get_price(self, trading_pair: str, is_buy: bool, /) -> Decimal:
        """Return the best ask (``is_buy``) or the best bid."""
        ...

    def get_price_by_type(self, trading_pair: str, price_type: PriceType, /) -> Decimal:
        """Return a price of the market."""
        ...

    def get_mid_price(self, trading_pair: str, /) -> Decimal:
        """Return the mean of best bid and best ask."""
        ...

    def get_price_for_volume(self, trading_pair: str, is_buy: bool, volume: Decimal, /) -> Decimal:
        """Return the worst price that a taker of ``volume`` base meets."""
        ...

    def get_balance(self, asset: str, /) -> Decimal:
        """Return an asset's total."""
        ...

    def get_available_balance(self, asset: str, /) -> Decimal:
        """Return what of an asset is free."""
        ...

    def get_fee(self, trading_pair: str, order_type: OrderType, /) -> Decimal:
        """Return a fee as a fraction."""
        ...

    def quantize_order_price(self, trading_pair: str, price: Decimal, /) -> Decimal:
        """Round a price down to what the pair takes."""
        ...

    def quantize_order_amount(self, trading_pair: str, amount: Decimal, /) -> Decimal:
        """Round an amount down to what the pair takes."""
        ...

    def buy(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType,
        price: Decimal | None,
        /,
        *,
        time_in_force: TimeInForce,
    ) -> str:
        """Place a buy order; return its client order id at once."""
        ...

    def sell(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType,
        price: Decimal | None,
        /,
        *,
        time_in_force: TimeInForce,
    ) -> str:
        """Place a sell order; return its client order id at once."""
        ...

    def cancel(self, trading_pair: str, client_order_id: str, /) -> object:
        """Ask to cancel an order."""
        ...
