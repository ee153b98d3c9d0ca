"""A strategy's own orders: what it placed, at which level, and what became of it."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Final, TypeAlias
from weakref import WeakSet

from kit.strategy.market_api import Market
from kit.types.market import TradeType
from kit.types.orders import OrderState, OrderType

REMEMBERED_SECONDS = 180.0
"""How long ended orders are kept, so that late fills are still attributed."""

_ZERO = Decimal(0)

_Cached: TypeAlias = "tuple[int, tuple[OwnOrder, ...]]"


class OwnOrder:
    """One order of a strategy, as the strategy asked for it.

    ``price`` (quote) and ``quantity`` (base) are what was asked, before the market rounded them; ``price`` is NaN for
    market orders. ``creation_timestamp`` is the strategy's tick in which it was placed, in seconds; ``level`` counts
    from 0 where the strategy names levels. ``ending`` is why the strategy cancelled it, or why the exchange refused it,
    where that is known. Read it freely; only the ledger changes it.
    """

    __slots__ = (
        "cancel_requested_at",
        "client_order_id",
        "creation_timestamp",
        "ended_at",
        "ending",
        "exchange_order_id",
        "filled_quantity",
        "is_buy",
        "level",
        "market",
        "order_type",
        "price",
        "quantity",
        "state",
        "trading_pair",
    )

    def __init__(
        self,
        client_order_id: str,
        market: Market,
        trading_pair: str,
        is_buy: bool,
        price: Decimal,
        quantity: Decimal,
        order_type: OrderType,
        creation_timestamp: float,
        level: int | None = None,
    ) -> None:
        self.client_order_id = client_order_id
        self.market = market
        self.trading_pair = trading_pair
        self.is_buy = is_buy
        self.price = price
        self.quantity = quantity
        self.order_type = order_type
        self.creation_timestamp = creation_timestamp
        self.level = level
        self.filled_quantity = _ZERO
        self.state = OrderState.PENDING_CREATE
        self.exchange_order_id: str | None = None
        self.cancel_requested_at: float | None = None
        self.ended_at: float | None = None
        self.ending = ""

    @property
    def remaining(self) -> Decimal:
        """Return the base amount that is not filled yet."""
        return self.quantity - self.filled_quantity if self.filled_quantity else self.quantity

    @property
    def is_cancelling(self) -> bool:
        """Tell whether a cancel was asked for and the order has not ended yet."""
        return self.cancel_requested_at is not None and self.ended_at is None

    def __repr__(self) -> str:
        side = "buy" if self.is_buy else "sell"
        return (
            f"<OwnOrder {self.client_order_id} {side} {self.quantity} @ {self.price} {self.trading_pair} "
            f"{self.state.value}, filled {self.filled_quantity}>"
        )


_LISTENING: Final[WeakSet[OwnOrders]] = WeakSet()
"""The ledgers of all strategies that run now, so that one does not take over what another one looks after."""


class OwnOrders:
    """The ledger of a strategy's orders. Active ones stand in order of placement."""

    def __init__(self) -> None:
        self._active: dict[str, OwnOrder] = {}
        self._ended: dict[str, OwnOrder] = {}
        self._endings: deque[OwnOrder] = deque()
        self._last_ended: list[OwnOrder | None] = [None, None]
        # Rebuilt only after a change: a tick with resting orders reads these several times. Each with the count of
        # changes that it was built at, as another thread may build one while this one changes the ledger.
        self._changes = 0
        self._all: _Cached = (0, ())
        self._buys: _Cached = (0, ())
        self._sells: _Cached = (0, ())

    def listen(self, listens: bool) -> None:
        """Note whether the strategy runs and hears of its orders."""
        (_LISTENING.add if listens else _LISTENING.discard)(self)

    def holds(self, client_order_id: str, market: Market) -> bool:
        """Tell whether an order of a market is one of the active ones."""
        order = self._active.get(client_order_id)
        return order is not None and order.market is market

    def add(self, order: OwnOrder) -> None:
        """Take over a newly placed order."""
        self._active[order.client_order_id] = order
        self._changes += 1

    def get(self, client_order_id: str) -> OwnOrder | None:
        """Return an order, active or ended less than ``REMEMBERED_SECONDS`` ago."""
        return self._active.get(client_order_id) or self._ended.get(client_order_id)

    @property
    def active(self) -> tuple[OwnOrder, ...]:
        """Return the orders that rest, or may rest, on the exchange."""
        changes, cached = self._changes, self._all
        if cached[0] != changes:
            self._all = cached = (changes, tuple(self._active.values()))
        return cached[1]

    @property
    def buys(self) -> tuple[OwnOrder, ...]:
        """Return the active buy orders."""
        changes, cached = self._changes, self._buys
        if cached[0] != changes:
            self._buys = cached = (changes, tuple([order for order in self.active if order.is_buy]))
        return cached[1]

    @property
    def sells(self) -> tuple[OwnOrder, ...]:
        """Return the active sell orders."""
        changes, cached = self._changes, self._sells
        if cached[0] != changes:
            self._sells = cached = (changes, tuple([order for order in self.active if not order.is_buy]))
        return cached[1]

    def opened(self, order: OwnOrder, exchange_order_id: str | None) -> None:
        """Note that the exchange has the order; one that was given up for failed lives again."""
        if exchange_order_id:
            order.exchange_order_id = exchange_order_id
        if order.ended_at is not None and order.state is OrderState.FAILED:
            self._revive(order)
        if order.ended_at is None:
            order.state = OrderState.PARTIALLY_FILLED if order.filled_quantity else OrderState.OPEN

    def filled(self, order: OwnOrder, amount: Decimal) -> None:
        """Note a fill of ``amount`` base."""
        order.filled_quantity += amount
        if order.ended_at is None:
            order.state = OrderState.PARTIALLY_FILLED
        elif order.state is OrderState.FAILED and order.client_order_id in order.market.in_flight_orders:
            self._revive(order)
            order.state = OrderState.PARTIALLY_FILLED

    def end(self, order: OwnOrder, state: OrderState, timestamp: float) -> None:
        """Note that the order ended at ``timestamp`` in ``state``; a first ending counts."""
        if self._active.pop(order.client_order_id, None) is None:
            return
        order.state = state
        order.ended_at = timestamp
        self._ended[order.client_order_id] = order
        self._endings.append(order)
        self._last_ended[order.is_buy] = order
        self._changes += 1

    def last_ended(self, is_buy: bool) -> OwnOrder | None:
        """Return the order of a side that ended last, however long ago."""
        return self._last_ended[is_buy]

    def reconcile(self, timestamp: float) -> None:
        """Catch up with the markets after a time without events: what is not in flight there any more has ended."""
        for order in self.active:
            known = order.market.in_flight_orders.get(order.client_order_id)
            if known is None:
                self.end(order, OrderState.CANCELED, timestamp)
            else:
                order.filled_quantity = known.executed_amount_base

    def adopt(self, market: Market, trading_pair: str, timestamp: float) -> None:
        """Take over the open limit orders of a pair that the market tracks and no strategy answers for.

        A market tracks its core's own orders only: those placed through it, and those that the exchange showed under
        client order ids of this core's name. Orders of another running strategy stay its own, and orders that are being
        cancelled go. The age counts from ``timestamp`` where the market does not know when an order was placed.
        """
        others = [ledger for ledger in _LISTENING if ledger is not self]
        for order_id, known in market.in_flight_orders.items():
            if known.trading_pair != trading_pair or not known.is_open or known.price is None or self.get(order_id):
                continue
            if getattr(known, "cancel_requested", False) or any(ledger.holds(order_id, market) for ledger in others):
                continue
            is_buy = known.trade_type is TradeType.BUY
            placed = min(known.creation_timestamp or timestamp, timestamp)
            order = OwnOrder(
                order_id, market, trading_pair, is_buy, known.price, known.amount, known.order_type, placed
            )
            order.filled_quantity = known.executed_amount_base
            order.exchange_order_id = known.exchange_order_id
            order.state = OrderState.PARTIALLY_FILLED if order.filled_quantity else OrderState.OPEN
            self.add(order)

    def release(self, order: OwnOrder) -> None:
        """Give an active order away: it is none of this ledger's any more."""
        if self._active.pop(order.client_order_id, None) is not None:
            self._changes += 1

    def _revive(self, order: OwnOrder) -> None:
        if self._ended.pop(order.client_order_id, None) is not None:
            order.ended_at = None
            self.add(order)

    def forget(self, timestamp: float) -> None:
        """Drop orders that ended longer than ``REMEMBERED_SECONDS`` before ``timestamp``."""
        endings = self._endings
        while endings:
            oldest = endings[0]
            ended_at = oldest.ended_at
            if ended_at is not None and timestamp - ended_at <= REMEMBERED_SECONDS:
                return
            endings.popleft()
            if ended_at is not None:
                self._ended.pop(oldest.client_order_id, None)
