"""The life of an order between its checks and its end: accepted, matched, resting or expired, cancelled."""

from __future__ import annotations

from typing import NamedTuple

from kit.testnet.filters import NewOrder, Size, VenueReject
from kit.testnet.ledger import Account
from kit.testnet.market import Market, Order
from kit.testnet.matching import Matcher, crosses, reach
from kit.testnet.taps import Taps

INSUFFICIENT = "Account has insufficient balance for requested action."
WOULD_MATCH = "Order would immediately match and take."
EMPTY_BOOK = "Order book liquidity is less than symbol minimum quantity."
DUPLICATE = "Duplicate order sent."
UNKNOWN_ORDER = "Unknown order sent."
RESTRICTED = "Order was not canceled due to cancel restrictions."

_EXPIRY_REASONS = {"IOC": "UNFILLED_IOC_QUANTITY_EXPIRED", "FOK": "UNFILLED_FOK_ORDER_EXPIRED"}


class CancelWish(NamedTuple):
    """A request to cancel: by either id (given both, both must fit).

    ``new_client_order_id`` names the request itself; ``restrictions`` is empty, ONLY_NEW or ONLY_PARTIALLY_FILLED.
    """

    order_id: int | None = None
    client_order_id: str | None = None
    new_client_order_id: str = ""
    restrictions: str = ""


class OrderEntry:
    """Takes orders that passed the filters through the matcher; the time is that of ``taps.now_ms``."""

    def __init__(self, matcher: Matcher, taps: Taps) -> None:
        self._matcher = matcher
        self._taps = taps

    def accept(self, account: Account, market: Market, new: NewOrder, size: Size) -> Order:
        """Accept, match and rest or expire a trader's order; raises ``VenueReject`` -2010."""
        if new.client_order_id:
            index = market.index(account)
            earlier = index.by_client_id.get(new.client_order_id)
            if earlier is not None and earlier.order_id in index.open:
                raise VenueReject(-2010, DUPLICATE)
        order = self._make(account, market, new, size)
        self._refuse(order)
        market.open(order)
        self._taps.order_event(order, "NEW")
        self._matcher.lock(order)
        if order.time_in_force != "FOK" or reach(market, order)[0] >= order.qty_lots:
            self._matcher.match(order, self._taps.now_ms)
        self.finish(order)
        return order

    def finish(self, order: Order) -> None:
        """Rest or expire what is left of an order after matching, and number the change of the book."""
        market = order.market
        if order.status in {"NEW", "PARTIALLY_FILLED"}:
            if order.price_ticks and order.time_in_force == "GTC":
                (market.bids if order.is_buy else market.asks).append(order)
                market.last_update_id += 1
                return
            order.status = "EXPIRED"
            order.expiry_reason = _EXPIRY_REASONS.get(order.time_in_force, "INSUFFICIENT_LIQUIDITY")
            self._matcher.withdraw(order)
            self._taps.order_event(order, "EXPIRED")
        if order.executed_lots or any(prevented.maker_lots for prevented in order.preventions or ()):
            market.last_update_id += 1
        market.close(order)

    def cancel_wish(self, account: Account, market: Market, wish: CancelWish) -> Order:
        """Cancel the open order that a request means; raises ``VenueReject`` -2011."""
        order = market.index(account).find(wish.order_id, wish.client_order_id)
        if order is None or order.standing_in is None:
            raise VenueReject(-2011, UNKNOWN_ORDER)
        if wish.restrictions and wish.restrictions != f"ONLY_{order.status}":
            raise VenueReject(-2011, RESTRICTED)
        self.cancel(order, wish.new_client_order_id)
        return order

    def cancel(self, order: Order, cancel_id: str = "") -> None:
        """Take a resting order out of the book; ``cancel_id`` is the client id of the request."""
        market = order.market
        market.last_update_id += 1
        self._matcher.withdraw(order)
        order.status = "CANCELED"
        order.updated_ms = self._taps.now_ms
        if order.account.unlimited:
            return
        order.cancel_id = cancel_id or f"cancel{market.last_update_id:016d}"
        market.close(order)
        self._taps.order_event(order, "CANCELED")

    def reduce(self, order: Order, lots: int) -> None:
        """Lower a resting order by fewer lots than it has open; it keeps its place."""
        market = order.market
        self._matcher.release(order, lots)
        (market.bids if order.is_buy else market.asks).take(order, lots)
        order.qty_lots -= lots
        market.last_update_id += 1

    def _make(self, account: Account, market: Market, new: NewOrder, size: Size) -> Order:
        market.last_order_id += 1
        return Order(
            market,
            account,
            market.last_order_id,
            new.side,
            size.price_ticks,
            size.qty_lots,
            self._taps.now_ms,
            type=new.type,
            time_in_force=new.time_in_force if new.type == "LIMIT" else "GTC",
            client_order_id=new.client_order_id or f"auto{market.last_order_id:018d}",
            quote_units=size.quote_units,
            stp_mode=new.stp_mode or market.info.default_stp_mode,
        )

    def _refuse(self, order: Order) -> None:
        """Raise where the matching engine itself refuses an order."""
        market = order.market
        if order.type == "LIMIT_MAKER" and crosses(market, order):
            raise self._rejected(order, "WOULD_MATCH_IMMEDIATELY", WOULD_MATCH)
        if order.quote_units and (market.asks if order.is_buy else market.bids).best is None:
            raise self._rejected(order, "NONE", EMPTY_BOOK)
        asset, units = self._cost(order)
        if not order.account.can_pay(asset, units):
            raise self._rejected(order, "INSUFFICIENT_BALANCES", INSUFFICIENT)

    @staticmethod
    def _cost(order: Order) -> tuple[str, int]:
        """Return (asset, units) that the account must have free: the hold, or what a market order would pay."""
        market, info = order.market, order.market.info
        if order.is_buy:
            if order.price_ticks:
                return info.quote, order.price_ticks * order.qty_lots * info.quote_units
            return info.quote, order.quote_units or reach(market, order)[1]
        lots = reach(market, order)[0] if order.quote_units else order.qty_lots
        return info.base, lots * info.lot_units

    def _rejected(self, order: Order, reason: str, message: str) -> VenueReject:
        order.status = "REJECTED"
        self._taps.order_event(order, "REJECTED", reject_reason=reason)
        return VenueReject(-2010, message)
