"""What panels of one book read: its levels, own orders on it, and how its numbers are written."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from kit.core.affinity import LoopAffinity
from kit.core.network_iterator import NetworkStatus
from kit.notebook.formats import decimals_of, split_pair

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.market.order_book import OrderBook


class OwnMark(NamedTuple):
    """An own order that may rest on the book: price in quote, remaining amount in base."""

    price: Decimal
    amount: Decimal
    is_buy: bool
    state: str
    order_id: str


class BookSource:
    """One pair of a connector, as panels see it. Raises ``UnknownPair`` for a pair that is not streamed."""

    def __init__(self, market: Connector, pair: str) -> None:
        self.market = market
        self.book: OrderBook = market.get_order_book(pair)
        self.pair = self.book.trading_pair
        self.base, self.quote = split_pair(self.pair)

    @property
    def affinity(self) -> LoopAffinity:
        """Return the hop to the core's loop."""
        return self.market.affinity

    @property
    def ended(self) -> bool:
        """Tell whether the connector was closed."""
        return self.market.network_status is NetworkStatus.STOPPED

    @property
    def state(self) -> str:
        """Return why the book is not to be trusted at this moment, nothing when it is."""
        if self.ended:
            return "stopped"
        if self.market.network_status is not NetworkStatus.CONNECTED:
            return "no connection"
        status = self.market.order_book_tracker.status(self.pair)
        if not status.synced:
            return "waiting for a snapshot"
        return "stale" if status.stale else ""

    @property
    def decimals(self) -> tuple[int, int]:
        """Return the decimals of prices and of amounts."""
        rule = self.market.trading_rules.get(self.pair)
        if rule is None:
            return 2, 4
        return decimals_of(rule.min_price_increment, 2), decimals_of(rule.min_base_amount_increment, 4)

    def own_orders(self) -> tuple[OwnMark, ...]:
        """Return the limit orders in flight on this pair, in order of their making."""
        return tuple(
            OwnMark(order.price, order.remaining, order.is_buy, order.current_state.value, order.client_order_id)
            for order in self.market.in_flight_orders.values()
            if order.price is not None and order.trading_pair == self.pair
        )
