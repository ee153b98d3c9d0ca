"""The acting side of a strategy: its markets, its own orders, and how it places and cancels them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from kit.connectors.pairs import normalize_pair
from kit.core.affinity import LoopAffinity
from kit.core.time_iterator import TimeIterator
from kit.errors import InvalidInput, KitError, NotReady, UnknownPair
from kit.strategy.event_router import EventRouter
from kit.strategy.market_api import Market
from kit.strategy.own_orders import OwnOrder, OwnOrders
from kit.types.orders import OrderType, TimeInForce

CANCEL_RETRY_SECONDS: Final = 10.0
"""How long a cancel that got no answer is waited for before the strategy asks again."""

_NAN: Final = Decimal("NaN")


class OrderPlacing(TimeIterator):
    """A child of the clock that has markets and orders of its own.

    ``logger`` is the standard library's, by the strategy's name. While ``paused`` nothing can be placed, nor while
    ``gate``, which a core sets, answers why not.

    The events of its own orders reach its ``did_*`` methods (see ``EventRouter``) while it runs. Hooks run on the
    core's loop; ``buy``, ``sell``, ``cancel`` and ``cancel_all`` may be called on any thread and hop there, for at most
    5 s.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.logger: Final = logging.getLogger(f"kit.strategy.{self.name}")
        self.paused = False
        self.pause_reason = ""
        self.gate: Callable[[], str] | None = None
        self.markets: tuple[Market, ...] = ()
        self._trading_pair: str | None = None
        self._orders: Final = OwnOrders()
        self._router: Final = EventRouter(self, self._orders, lambda: self.current_timestamp)
        self._affinity = LoopAffinity(None)

    def live_on(self, affinity: LoopAffinity) -> None:
        """Note the core's loop, to which what is called elsewhere hops."""
        self._affinity = affinity

    @property
    def held(self) -> str:
        """Return why the core lets it do nothing now, as while trading is off; empty where it may act."""
        return "" if self.gate is None else self._ask_gate()

    def _ask_gate(self) -> str:
        return "" if self.gate is None else self.gate()

    # -- markets ---------------------------------------------------------------------------------------------------

    def add_market(self, market: Market, trading_pair: str | None = None) -> None:
        """Trade on one more market; the first one is the default, with ``trading_pair`` as the default pair."""
        self._check_market(market)
        if market in self.markets:
            return
        pair = self._choose_pair(market, trading_pair)
        if not self.markets:
            self._trading_pair = pair
        self.markets = (*self.markets, market)
        if self.clock is not None:
            self._router.attach((market,))

    def _check_market(self, market: object) -> None:
        if hasattr(market, "trading_pairs"):
            return
        if inspect.iscoroutine(market):
            market.close()
        raise InvalidInput(
            f"{self.name}: {market!r} is no market; give what comes of 'await core.add_connector(…)', such as "
            f"market = await core.add_connector('binance', ['BTC/USDT'])"
        )

    @staticmethod
    def _choose_pair(market: Market, trading_pair: str | None) -> str | None:
        pairs = market.trading_pairs
        if trading_pair is None:
            return pairs[0] if len(pairs) == 1 else None
        pair = normalize_pair(trading_pair)
        if pair not in pairs:
            raise UnknownPair(f"{market.name} does not stream {pair}; it streams {', '.join(pairs) or 'nothing'}")
        return pair

    @property
    def market(self) -> Market:
        """Return the default market; raises ``InvalidInput`` where none was given."""
        if not self.markets:
            raise InvalidInput(f"{self.name} has no market; give one: {type(self).__name__}(market, 'BTC/USDT')")
        return self.markets[0]

    @property
    def trading_pair(self) -> str:
        """Return the default pair; raises ``InvalidInput`` where none was given."""
        if self._trading_pair is None:
            pairs = self.market.trading_pairs
            streams = f"several: {', '.join(pairs)}" if pairs else "none"
            raise InvalidInput(
                f"{self.name} has no default pair and {self.market.name} streams {streams}; give one: "
                f"{type(self).__name__}(market, {(pairs or ('BTC/USDT',))[0]!r})"
            )
        return self._trading_pair

    # -- orders ----------------------------------------------------------------------------------------------------

    @property
    def active_orders(self) -> tuple[OwnOrder, ...]:
        """Return this strategy's orders that rest, or may rest, on an exchange, in order of placement."""
        return self._orders.active

    @property
    def active_buys(self) -> tuple[OwnOrder, ...]:
        """Return the active buy orders in order of placement."""
        return self._orders.buys

    @property
    def active_sells(self) -> tuple[OwnOrder, ...]:
        """Return the active sell orders in order of placement."""
        return self._orders.sells

    def order(self, order_id: str) -> OwnOrder | None:
        """Return an own order by client order id: active, or ended less than 180 s ago."""
        return self._orders.get(order_id)

    def order_age(self, order: OwnOrder) -> float:
        """Return the seconds since the tick in which the order was placed."""
        return self.current_timestamp - order.creation_timestamp

    def buy(
        self,
        amount: Decimal | str | int | float,
        price: Decimal | str | int | float | None = None,
        order_type: OrderType = OrderType.LIMIT,
        *,
        market: Market | None = None,
        trading_pair: str | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        level: int | None = None,
    ) -> str:
        """Place a buy order of ``amount`` base at ``price`` quote; return its client order id at once.

        The market rounds both down to its steps. ``level`` is a note of the strategy's own. Raises ``InvalidInput``
        for what the market cannot take and ``NotReady`` while the strategy does not run, before anything is sent.
        """
        asked = (amount, price, order_type, market, trading_pair, time_in_force, level)
        return self._affinity.run_sync(self._place, True, *asked).client_order_id

    def sell(
        self,
        amount: Decimal | str | int | float,
        price: Decimal | str | int | float | None = None,
        order_type: OrderType = OrderType.LIMIT,
        *,
        market: Market | None = None,
        trading_pair: str | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        level: int | None = None,
    ) -> str:
        """Place a sell order; as ``buy``."""
        asked = (amount, price, order_type, market, trading_pair, time_in_force, level)
        return self._affinity.run_sync(self._place, False, *asked).client_order_id

    def _place(
        self,
        is_buy: bool,
        amount: Any,
        price: Any,
        order_type: OrderType,
        market: Market | None,
        trading_pair: str | None,
        time_in_force: TimeInForce,
        level: int | None,
    ) -> OwnOrder:
        if self.paused:
            raise NotReady(f"{self.name} is paused and places nothing: {self.pause_reason}; resume() it first")
        if held := self.held:
            raise NotReady(f"{self.name} is held and places nothing: {held}")
        if self.clock is None:
            raise NotReady(f"{self.name} does not run, so it would not hear of its orders; start the core first")
        market = market or self.market
        pair = self.trading_pair if trading_pair is None else normalize_pair(trading_pair)
        if market not in self.markets:
            raise InvalidInput(f"{self.name} does not listen to {market.name}; call add_market(market) first")
        size = amount if type(amount) is Decimal else _exact("amount", amount)
        limit = price if type(price) is Decimal or price is None else _exact("price", price)
        order = OwnOrder(
            "", market, pair, is_buy, _NAN if limit is None else limit, size, order_type, self.current_timestamp, level
        )
        self._send(order, time_in_force)
        return order

    def _send(self, order: OwnOrder, time_in_force: TimeInForce = TimeInForce.GTC) -> None:
        """Send an order that was checked; the market's answer gives it its id."""
        price = None if order.price is _NAN else order.price
        self._router.place(order, order.market.buy if order.is_buy else order.market.sell, price, time_in_force)

    def cancel(self, order_id: str) -> bool:
        """Ask to cancel an own order; tell whether a request was sent.

        Nothing is sent for an order that ended, or whose cancel is under way for less than 10 s. The exchange's word
        comes as ``did_cancel_order``. Raises ``InvalidInput`` for an id that is not this strategy's.
        """
        return self._affinity.run_sync(self._cancel_own, order_id)

    def _cancel_own(self, order_id: str) -> bool:
        order = self._orders.get(order_id)
        if order is None:
            raise InvalidInput(f"{order_id!r} is no order of {self.name}; its active orders are in active_orders")
        return self._ask_to_cancel(order)

    def _ask_to_cancel(self, order: OwnOrder) -> bool:
        asked = order.cancel_requested_at
        now = self.current_timestamp
        if order.ended_at is not None or (asked is not None and now - asked < CANCEL_RETRY_SECONDS):
            return False
        order.market.cancel(order.trading_pair, order.client_order_id)
        order.cancel_requested_at = now
        return True

    def cancel_all(self) -> int:
        """Ask to cancel every active order of this strategy; return how many requests were sent.

        An order whose cancel cannot be asked for, as of a closed market, is logged and does not keep the others.
        """
        return self._affinity.run_sync(self._cancel_active)

    def _cancel_active(self) -> int:
        asked = 0
        for order in self.active_orders:
            try:
                asked += self._ask_to_cancel(order)
            except KitError as error:
                self.logger.error("the cancel of %s could not be asked for: %s", order.client_order_id, error)
        return asked


def _exact(name: str, value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise InvalidInput(
            f"{name} is {value!r}, which is no number; give a Decimal or a text such as '0.01'"
        ) from None
