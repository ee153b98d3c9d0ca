"""What a simulated exchange says of orders and fills, in the very words of a live port."""

from __future__ import annotations

from decimal import Decimal

from kit.orders.exact import ZERO
from kit.types.market import TradeType
from kit.types.orders import (
    OrderRequest,
    OrderState,
    OrderUpdate,
    TokenAmount,
    TradeFee,
    TradeUpdate,
)

SECOND = 1e9
"""Nanoseconds in a second."""


class SimulatedOrder:
    """An order on the simulated exchange; amounts in base, ``held`` is the hold for one unit of base."""

    __slots__ = (
        "exchange_order_id",
        "filled",
        "filled_quote",
        "held",
        "is_buy",
        "order_id",
        "request",
        "state",
        "ticks",
    )

    def __init__(self, order_id: int, request: OrderRequest, ticks: int) -> None:
        self.order_id = order_id
        self.exchange_order_id = str(order_id)
        self.request = request
        self.ticks = ticks
        self.is_buy = request.trade_type is TradeType.BUY
        self.state = OrderState.OPEN
        self.filled = self.filled_quote = ZERO
        self.held = ZERO

    def update(self, exch_ns: int, reason: str = "", error: str = "") -> OrderUpdate:
        """Return the order's state as the exchange tells it."""
        request = self.request
        return OrderUpdate(
            request.trading_pair,
            self.state,
            exch_ns / SECOND,
            request.client_order_id,
            self.exchange_order_id,
            self.filled,
            self.filled_quote,
            reason,
            error,
            request.trade_type,
            request.order_type,
            request.amount,
            request.price,
        )

    def trade(
        self,
        trade_id: int,
        exch_ns: int,
        price: Decimal,
        amount: Decimal,
        value: Decimal,
        fee: TokenAmount,
        maker: bool,
    ) -> TradeUpdate:
        """Return one fill as the exchange tells it."""
        request = self.request
        return TradeUpdate(
            str(trade_id),
            request.trading_pair,
            exch_ns / SECOND,
            price,
            amount,
            value,
            request.client_order_id,
            self.exchange_order_id,
            TradeFee((fee,)),
            maker,
            request.trade_type,
        )


def refused(request: OrderRequest, exch_ns: int, reason: str, error: str) -> OrderUpdate:
    """Return the word that an order never came to be."""
    return OrderUpdate(
        request.trading_pair,
        OrderState.FAILED,
        exch_ns / SECOND,
        request.client_order_id,
        reason=reason,
        error=error,
        trade_type=request.trade_type,
        order_type=request.order_type,
        amount=request.amount,
        price=request.price,
    )
