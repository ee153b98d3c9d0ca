"""One order of ours, from the moment it is tracked to its end, and the one table of how its state may change."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from kit.errors import InvalidInput
from kit.orders import order_codec
from kit.orders.exact import EXACT, ZERO
from kit.orders.fills import Fills
from kit.types.drawn import Drawn
from kit.types.market import TradeType
from kit.types.orders import LimitOrder, OrderState, OrderType, OrderUpdate, TimeInForce, TradeUpdate

_S = OrderState
_ENDS = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED})
_DONE = frozenset(state for state in OrderState if state.is_done)
_EXISTS = _ENDS | {_S.OPEN, _S.PARTIALLY_FILLED}

TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = MappingProxyType(
    {
        _S.PENDING_CREATE: _EXISTS | {_S.UNKNOWN, _S.PENDING_CANCEL, _S.FAILED},
        _S.UNKNOWN: _EXISTS | {_S.PENDING_CANCEL, _S.FAILED},
        # A resting order fails only when the exchange answered several times that it knows no such order.
        _S.OPEN: _ENDS | {_S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.FAILED},
        _S.PARTIALLY_FILLED: _ENDS | {_S.PENDING_CANCEL, _S.FAILED},
        # Back to where it was only when the cancel failed; a late OPEN does not undo the wish to cancel.
        _S.PENDING_CANCEL: _EXISTS | {_S.PENDING_CREATE, _S.UNKNOWN, _S.FAILED},
        _S.FILLED: frozenset(),
        _S.CANCELED: frozenset(),
        _S.EXPIRED: frozenset(),
        # Evidence wins: an order that was given up and then shows signs of life is an order again.
        _S.FAILED: _EXISTS,
    }
)
"""For each ``OrderState`` the states that may follow it. What is not in it is stale news and changes nothing."""


@dataclass(eq=False, kw_only=True, repr=False, slots=True)
class InFlightOrder(Drawn):
    """Hold what is known of one order; updates in any order and any number of times lead to the same result.

    ``amount`` is in base, ``price`` (``None`` for market orders) in quote, times in seconds. ``progress`` is the state
    but for a pending cancel, ``stated_filled`` the greatest executed amount that the exchange stated; where it is above
    the sum of the fills, fills are missing. ``acknowledged`` tells that the exchange has shown this order to exist,
    ``filled_after_end`` that a fill came after the order's end was announced. ``reason`` and ``error`` (the name of
    a ``kit.errors`` class) say why it failed or is unknown.
    Raises ``InvalidInput`` for an amount or price that is not a positive number, or a limit order without a price.
    """

    client_order_id: str
    trading_pair: str
    trade_type: TradeType
    order_type: OrderType
    amount: Decimal
    creation_timestamp: float
    price: Decimal | None = None
    base_asset: str = ""
    quote_asset: str = ""
    time_in_force: TimeInForce = TimeInForce.GTC
    exchange_order_id: str | None = None
    progress: OrderState = OrderState.PENDING_CREATE
    cancel_requested: bool = False
    acknowledged: bool = False
    fills: Fills = field(default_factory=Fills)
    stated_filled: Decimal = ZERO
    stated_filled_quote: Decimal | None = None
    last_update_timestamp: float = 0.0
    reason: str = ""
    error: str = ""
    filled_after_end: bool = False

    def __post_init__(self) -> None:
        _check_positive("amount", self.amount, self.client_order_id)
        if self.price is not None:
            _check_positive("price", self.price, self.client_order_id)
        elif self.order_type.is_limit:
            raise InvalidInput(f"Order {self.client_order_id} is a {self.order_type.value} order but has no price.")
        base, _, quote = self.trading_pair.partition(":")[0].partition("/")
        # A session keeps very many orders, of few assets.
        self.base_asset = sys.intern(self.base_asset or base)
        self.quote_asset = sys.intern(self.quote_asset or quote)
        if self.progress is OrderState.PENDING_CANCEL:
            self.progress, self.cancel_requested = OrderState.OPEN, True
        self.acknowledged = self.acknowledged or self.progress in _EXISTS
        self.last_update_timestamp = self.last_update_timestamp or self.creation_timestamp

    def __repr__(self) -> str:
        price = "market" if self.price is None else f"@ {self.price}"
        what = f"{self.trade_type.value} {self.fills.base}/{self.amount} {self.trading_pair} {price}"
        return f"<InFlightOrder {self.client_order_id} {what} {self.current_state.value}>"

    @property
    def current_state(self) -> OrderState:
        """Return the state; an open order whose cancel was asked for shows as ``PENDING_CANCEL``."""
        if self.cancel_requested and self.progress.is_open:
            return OrderState.PENDING_CANCEL
        return self.progress

    @property
    def is_open(self) -> bool:
        """Tell whether the order rests, or may rest, on the exchange."""
        return self.progress not in _DONE

    @property
    def is_done(self) -> bool:
        """Tell whether nothing but missing or late fills can follow."""
        return self.progress in _DONE

    @property
    def is_filled(self) -> bool:
        """Tell whether the whole amount was executed."""
        return self.progress is OrderState.FILLED or self.fills.base >= self.amount

    @property
    def is_buy(self) -> bool:
        """Tell whether the order buys base."""
        return self.trade_type is TradeType.BUY

    @property
    def executed_amount_base(self) -> Decimal:
        """Return the sum of the fills, in base."""
        return self.fills.base

    @property
    def executed_amount_quote(self) -> Decimal:
        """Return the sum of the fills, in quote, without fees."""
        return self.fills.quote

    @property
    def average_executed_price(self) -> Decimal | None:
        """Return executed quote by executed base, ``None`` before the first fill."""
        return self.fills.average_price

    @property
    def order_fills(self) -> Mapping[str, TradeUpdate]:
        """Return the fills by trade id, in order of arrival."""
        return self.fills.by_trade_id

    @property
    def cumulative_fees(self) -> dict[str, Decimal]:
        """Return the fees paid so far by asset; negative amounts are rebates."""
        return self.fills.fees

    @property
    def remaining(self) -> Decimal:
        """Return the base amount not yet executed, never below zero."""
        return max(ZERO, EXACT.subtract(self.amount, self.fills.base))

    @property
    def missing_amount(self) -> Decimal:
        """Return the base amount that the exchange states as executed and for which no fill has arrived."""
        if not self.stated_filled:
            return ZERO
        return max(ZERO, EXACT.subtract(self.stated_filled, self.fills.base))

    @property
    def overfilled(self) -> bool:
        """Tell whether the fills exceed the order's amount, which an exchange should never let happen."""
        return self.fills.base > self.amount

    def update_with_order_update(self, update: OrderUpdate) -> bool:
        """Take in what an update says; return whether the state, the exchange id or the stated amount changed.

        Stale states (see ``TRANSITIONS``) are passed over, whatever else the update tells is kept. A ``FAILED`` for an
        order that the exchange has shown to exist is a contradiction and is passed over as well: ask the exchange.
        """
        if not _addresses(update, self):
            return False
        before = (self.current_state, self.exchange_order_id, self.stated_filled)
        self.exchange_order_id = self.exchange_order_id or update.exchange_order_id
        _learn_stated_amounts(self, update)
        _follow(self, update)
        self.last_update_timestamp = max(self.last_update_timestamp, update.timestamp)
        return before != (self.current_state, self.exchange_order_id, self.stated_filled)

    def update_with_trade_update(self, trade: TradeUpdate) -> bool:
        """Book a fill once; return whether the executed amount rose.

        Fills that add up to the amount complete the order by themselves. A fill that the exchange lists late takes the
        place of the inferred one that stood for it. Raises ``InvalidInput`` for an amount that is no positive number.
        """
        if not _addresses(trade, self):
            return False
        _check_positive("fill amount", trade.amount, self.client_order_id)
        self.exchange_order_id = self.exchange_order_id or trade.exchange_order_id
        if trade.trade_id in self.fills.by_trade_id:
            self.fills.add(trade)
            return False
        growth = self.fills.add(trade)
        self.last_update_timestamp = max(self.last_update_timestamp, trade.timestamp)
        self.acknowledged = True
        _move(self, OrderState.FILLED if self.fills.base >= self.amount else OrderState.PARTIALLY_FILLED)
        return growth > 0

    def cancel_failed(self) -> None:
        """Withdraw the pending cancel: the order shows again as what it was, and may be cancelled again."""
        self.cancel_requested = False

    def mark_lost(self, reason: str) -> None:
        """Fail the order because the exchange kept answering that it knows no such order."""
        self.reason, self.error = reason, "OrderNotFound"
        _move(self, OrderState.FAILED)

    def to_limit_order(self) -> LimitOrder:
        """Return an immutable view; the price of a market order is NaN."""
        return LimitOrder(
            client_order_id=self.client_order_id,
            trading_pair=self.trading_pair,
            is_buy=self.is_buy,
            base_asset=self.base_asset,
            quote_asset=self.quote_asset,
            price=Decimal("NaN") if self.price is None else self.price,
            quantity=self.amount,
            filled_quantity=self.fills.base,
            creation_timestamp=self.creation_timestamp,
            order_type=self.order_type,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; ``from_dict`` gives back an order that equals this one exactly."""
        return order_codec.encode({item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> InFlightOrder:
        """Build the order that ``as_dict`` described; raises ``InvalidInput`` for anything else."""
        try:
            return cls(**order_codec.decode(data))
        except TypeError as error:
            raise InvalidInput(f"A stored order is incomplete: {error}.") from error


def _addresses(message: OrderUpdate | TradeUpdate, order: InFlightOrder) -> bool:
    if message.client_order_id == order.client_order_id:
        return True
    # Exchange ids are unique within a pair only (Binance numbers every symbol by itself).
    same_id = message.exchange_order_id is not None and message.exchange_order_id == order.exchange_order_id
    return same_id and message.trading_pair == order.trading_pair


def _learn_stated_amounts(order: InFlightOrder, update: OrderUpdate) -> None:
    stated, stated_quote = _finite(update.filled), _finite(update.filled_quote)
    if update.state is OrderState.FILLED and not stated:
        stated = order.amount
    if stated >= order.stated_filled:
        order.stated_filled = stated or ZERO
        order.stated_filled_quote = stated_quote or order.stated_filled_quote


def _follow(order: InFlightOrder, update: OrderUpdate) -> None:
    state = update.state
    if state is OrderState.PENDING_CANCEL:
        order.cancel_requested = order.is_open
        return
    if state is OrderState.FAILED and order.acknowledged:
        return
    if state is OrderState.OPEN and (order.stated_filled or order.fills.base):
        state = OrderState.PARTIALLY_FILLED
    _move(order, state)
    order.acknowledged = order.acknowledged or state in _EXISTS
    if order.progress is state and update.reason:
        order.reason, order.error = update.reason, update.error


def _move(order: InFlightOrder, state: OrderState) -> None:
    if state not in TRANSITIONS[order.progress]:
        return
    if state is not OrderState.FAILED:
        order.reason = order.error = ""
    if state.is_done or order.progress is OrderState.FAILED:
        order.cancel_requested = False
    order.progress = state


def _check_positive(name: str, value: Decimal, client_order_id: str) -> None:
    if not (isinstance(value, Decimal) and value.is_finite() and value > 0):
        raise InvalidInput(f"Order {client_order_id}: {name} must be a Decimal above 0, not {value!r}.")


def _finite(value: Decimal | None) -> Decimal:
    return value if value is not None and value.is_finite() else ZERO
