"""Brings the events of a strategy's own orders, and only those, from its markets to its hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from kit.strategy.market_api import Market
from kit.strategy.own_orders import OwnOrder, OwnOrders
from kit.types.events import MarketEvent
from kit.types.orders import OrderState, TimeInForce

logger = logging.getLogger(__name__)

Observer = Callable[[OwnOrder, Any], None]
"""Code of the kit that must see an event of an own order, whatever hooks a user's class overrides."""


class _Route:
    """What one kind of event does: the hook it calls, the state it ends an order in, who observes it."""

    __slots__ = ("end", "hook", "is_fill", "observers")

    def __init__(self, hook: str, end: OrderState | None = None, is_fill: bool = False) -> None:
        self.hook = hook
        self.end = end
        self.is_fill = is_fill
        self.observers: tuple[Observer, ...] = ()


def _routes() -> dict[MarketEvent, _Route]:
    return {
        MarketEvent.BuyOrderCreated: _Route("did_create_buy_order"),
        MarketEvent.SellOrderCreated: _Route("did_create_sell_order"),
        MarketEvent.OrderFilled: _Route("did_fill_order", is_fill=True),
        MarketEvent.OrderFailure: _Route("did_fail_order", OrderState.FAILED),
        MarketEvent.OrderCancelled: _Route("did_cancel_order", OrderState.CANCELED),
        MarketEvent.OrderExpired: _Route("did_expire_order", OrderState.EXPIRED),
        MarketEvent.BuyOrderCompleted: _Route("did_complete_buy_order", OrderState.FILLED),
        MarketEvent.SellOrderCompleted: _Route("did_complete_sell_order", OrderState.FILLED),
    }


class EventRouter:
    """Listens to markets, keeps the ledger of own orders up to date, then calls observers, then the user's hook.

    The ledger changes first, so a hook that asks for the active orders sees the world after the event. An event may
    come within the very call that places its order, before the caller knows the order's id: it is kept and delivered
    as soon as the order is known. An exception of a hook is passed on to the market's pubsub, which isolates and
    counts it, after ``on_error`` heard of it.
    """

    def __init__(self, hooks: object, orders: OwnOrders, now: Callable[[], float]) -> None:
        self._hooks = hooks
        self._orders = orders
        self._now = now
        self._subscriptions: dict[int, list[Callable[[], None]]] = {}
        self._placing = 0
        self._early: list[tuple[_Route, Any]] = []
        self._routes = _routes()
        self.on_error: Callable[[Exception], None] | None = None

    def observe(self, tag: MarketEvent, observer: Observer) -> None:
        """Call ``observer(order, event)`` on every such event of an own order, before the user's hook."""
        self._routes[tag].observers += (observer,)

    def attach(self, markets: Iterable[Market]) -> None:
        """Subscribe to every order event of the markets; one that is subscribed already stays so."""
        self._orders.listen(True)
        for market in markets:
            if id(market) not in self._subscriptions:
                add = market.pubsub.add_listener
                self._subscriptions[id(market)] = [
                    add(tag, self._listener(route)) for tag, route in self._routes.items()
                ]

    def detach(self) -> None:
        """Unsubscribe from everything."""
        self._orders.listen(False)
        for unsubscribes in self._subscriptions.values():
            for unsubscribe in unsubscribes:
                unsubscribe()
        self._subscriptions.clear()
        self._early.clear()

    def _listener(self, route: _Route) -> Callable[[Any], None]:
        find, deliver = self._orders.get, self._deliver

        def listen(event: Any) -> None:
            order = find(event.order_id)
            if order is not None:
                deliver(route, order, event)
            elif self._placing:
                self._early.append((route, event))

        listen.__qualname__ = self._called(route)
        return listen

    def _called(self, route: _Route) -> str:
        return f"{type(self._hooks).__qualname__}.{route.hook}"

    def place(
        self,
        order: OwnOrder,
        send: Callable[..., str],
        price: Decimal | None,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> None:
        """Send an order, enter it into the ledger under the id that ``send`` returns, deliver what came meanwhile."""
        self._placing += 1
        try:
            order.client_order_id = send(
                order.trading_pair, order.quantity, order.order_type, price, time_in_force=time_in_force
            )
            self._orders.add(order)
        finally:
            self._placing -= 1
            early = self._early
            if early:
                # What belongs to an order that is being sent further out waits on; the rest is nobody's.
                mine = order.client_order_id
                self._early = [entry for entry in early if entry[1].order_id != mine] if self._placing else []
        if early:
            self._deliver_early(order, early)

    def _deliver_early(self, order: OwnOrder, early: list[tuple[_Route, Any]]) -> None:
        for route, event in early:
            if event.order_id != order.client_order_id:
                continue
            try:
                self._deliver(route, order, event)
            except Exception:
                # The same boundary that the pubsub draws round its listeners: a hook must not break the placing.
                where = {"where": self._called(route)}
                logger.exception("%s of order %s threw", route.hook, order.client_order_id, extra=where)

    def _deliver(self, route: _Route, order: OwnOrder, event: Any) -> None:
        if route.end is not None:
            self._orders.end(order, route.end, self._now())
        elif route.is_fill:
            self._orders.filled(order, event.amount)
        else:
            self._orders.opened(order, event.exchange_order_id)
        try:
            for observer in route.observers:
                observer(order, event)
            getattr(self._hooks, route.hook)(event)
        except Exception as error:
            if self.on_error is not None:
                self.on_error(error)
            raise
