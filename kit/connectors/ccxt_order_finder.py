"""Finding an order on the exchange by either id, and reading answers that name one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kit.connectors.ccxt_convert import BadItem, order_update
from kit.connectors.ccxt_profiles import ClientIdCodec, Profile
from kit.connectors.ccxt_requests import ranked
from kit.core.throttler import Priority
from kit.errors import KitError, NotReady, OrderNotFound
from kit.types.orders import CancelRequest, OrderUpdate


class OrderFinder:
    """Asks ``exchange``, a guarded ccxt instance with credentials, for single orders.

    ``translate`` turns a foreign error into the kit's; ``now`` is the exchange's time in seconds.
    """

    def __init__(
        self,
        exchange: Any,
        profile: Profile,
        codec: ClientIdCodec,
        translate: Callable[[BaseException], KitError],
        now: Callable[[], float],
    ) -> None:
        self._exchange, self._profile, self._codec = exchange, profile, codec
        self._translate, self._now = translate, now

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Ask for an order; ``None`` is the exchange's own word that it knows none. Raises the kit's errors."""
        failure: KitError | None = None
        order = None
        try:
            with ranked(Priority.QUERY, answered=True):
                order = await self._find(request)
        except Exception as exc:  # noqa: BLE001  # the boundary: foreign errors are translated
            failure = self._translate(exc)
        if isinstance(failure, OrderNotFound):
            return None
        if failure is not None:
            raise failure  # outside the handler, so that the foreign error and its texts do not travel along
        return None if order is None else self.read(order, request.client_order_id, request.trading_pair)

    def read(self, order: Any, client_order_id: str, pair: str) -> OrderUpdate:
        """Return an answer of ccxt's as an update under our id; raises ``NotReady`` when it names no order."""
        try:
            if not isinstance(order, Mapping) or not order.get("id"):
                raise BadItem("the answer names no order")
            update = order_update(order, now=self._now(), pair=pair)
        except BadItem as error:
            raise NotReady(f"{self._exchange.id}: order {client_order_id}: {error}; it is asked for again") from None
        return replace(update, client_order_id=client_order_id, trading_pair=pair)

    async def send_cancel(self, request: CancelRequest) -> Any:
        """Ask the exchange to cancel, by its own id where it is known; returns ccxt's answer, raises ccxt's errors."""
        exchange, pair = self._exchange, request.trading_pair
        if request.exchange_order_id is not None:
            return await exchange.cancel_order(request.exchange_order_id, pair)
        wire_id = self._codec.encode(request.client_order_id)
        if self._profile.client_id_is_id:
            return await exchange.cancel_order(wire_id, pair)
        if self._profile.cancel_id is not None:
            return await exchange.cancel_order("", pair, {self._profile.cancel_id: wire_id})
        found = await self._search(request)
        if found is None:
            raise OrderNotFound(f"{exchange.id}: no order {request.client_order_id} is known on {pair}")
        return await exchange.cancel_order(found["id"], pair)

    async def _find(self, request: CancelRequest) -> Any:
        exchange, pair = self._exchange, request.trading_pair
        if request.exchange_order_id is not None:
            return await exchange.fetch_order(request.exchange_order_id, pair)
        wire_id = self._codec.encode(request.client_order_id)
        if self._profile.client_id_is_id:
            return await exchange.fetch_order(wire_id, pair)
        if self._profile.query_id is not None:
            return await exchange.fetch_order("", pair, {self._profile.query_id: wire_id})
        return await self._search(request)

    async def _search(self, request: CancelRequest) -> Any:
        """Look for a client order id in the exchange's lists of open and of ended orders; ``None``: in neither."""
        exchange, wire_id = self._exchange, self._codec.encode(request.client_order_id)
        ended = next((name for name in ("ClosedOrders", "Orders") if exchange.has.get(f"fetch{name}")), None)
        if ended is None:
            raise NotReady(f"{exchange.id}: ended orders cannot be listed; {request.client_order_id} may be among them")
        for fetch in (exchange.fetch_open_orders, getattr(exchange, f"fetch{ended}")):
            for order in await fetch(request.trading_pair):
                if order.get("clientOrderId") == wire_id:
                    return order
        return None
