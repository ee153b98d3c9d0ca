"""The test exchange's engine: accounts, markets, orders, without any wire.

Everything is synchronous and counts in ints (see ``kit.testnet.symbols``). One call is one operation: it changes books
and balances, and when all is done calls the *taps* in the order in which things happened: ``on_execution`` with an
``ExecutionReport``, ``on_trade`` with (market, trade), ``on_balance`` with (account, changed assets). A tap may call
the venue again; what that causes is told after what is already queued. Ids count up from 1 in each market, so equal
inputs at equal times give equal outputs.

The names of ``__all__`` are the engine's whole surface; ``kit.testnet.symbols`` has the units and texts of amounts,
``kit.testnet.filters.describe`` the filters of ``exchangeInfo``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from kit.errors import InvalidInput
from kit.testnet.cancel_replace import MODES, CancelReplaceReject, CancelReplaceResult, cancel_replace
from kit.testnet.entry import CancelWish, OrderEntry
from kit.testnet.filters import NewOrder, VenueReject, check, missing
from kit.testnet.ledger import Account, Ledger
from kit.testnet.market import BookChanges, Fill, Market, Order, Prevention, Trade
from kit.testnet.matching import Matcher, crosses, reach
from kit.testnet.symbols import DEFAULT_SYMBOLS, Side, SymbolInfo, to_units
from kit.testnet.taps import ExecutionReport, Taps

__all__ = [
    "Account",
    "BookChanges",
    "CancelReplaceReject",
    "CancelReplaceResult",
    "ExecutionReport",
    "Fill",
    "Market",
    "NewOrder",
    "Order",
    "Prevention",
    "SymbolInfo",
    "Trade",
    "Venue",
    "VenueReject",
]


class Venue:
    """Accounts and markets of one test exchange.

    ``now_ms`` is the exchange's clock. Requests of traders are checked and raise ``VenueReject`` with Binance's codes;
    ``place_fast``, ``reduce`` and ``cancel_fast`` serve the market's own accounts in ints, unchecked.
    """

    def __init__(self, symbols: Sequence[SymbolInfo] = DEFAULT_SYMBOLS, *, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.markets: dict[str, Market] = {info.symbol: Market(info) for info in symbols}
        self.accounts: dict[str, Account] = {}
        self.ledger = Ledger()
        self.taps = Taps()
        self.on_execution = self.taps.on_execution
        self.on_trade = self.taps.on_trade
        self.on_balance = self.taps.on_balance
        self._matcher = Matcher(self.ledger, self.taps)
        self._entry = OrderEntry(self._matcher, self.taps)

    # accounts

    def create_account(
        self, name: str, api_key: str = "", secret: str = "", *, fee_free: bool = False, unlimited: bool = False
    ) -> Account:
        """Open an account; raises ``InvalidInput`` when the name is taken.

        ``unlimited`` accounts may spend what they do not have, are never locked, reported or listed.
        """
        if name in self.accounts:
            raise InvalidInput(f"there is an account {name!r} already; choose another name")
        account = Account(
            name, api_key, secret, fee_free=fee_free, unlimited=unlimited, account_id=len(self.accounts) + 1
        )
        self.accounts[name] = account
        self.ledger.open(account)
        return account

    def deposit(self, account: Account, asset: str, amount: Decimal) -> None:
        """Bring an amount in from outside (negative: take it out); raises ``InvalidInput`` for bad amounts."""
        units = to_units(amount)
        if units is None:
            raise InvalidInput(f"amount {amount} of {asset} must be finite with at most 8 decimals")
        self._begin()
        self.ledger.deposit(account, asset, units)
        self.taps.touch(account, asset)
        self.taps.flush()

    def check_ledger(self) -> dict[str, int]:
        """Return each asset's imbalance over all accounts in ledger units: all zero unless the engine has a defect."""
        return self.ledger.imbalances()

    # orders

    def place(self, account: Account, new: NewOrder) -> Order:
        """Place an order and match it; raises ``VenueReject``."""
        market = self._market(new.symbol)
        now_ms = self._begin()
        size = check(market, new, now_ms=now_ms, open_orders=len(market.index(account).open))
        try:
            return self._entry.accept(account, market, new, size)
        finally:
            self.taps.flush()

    def place_fast(
        self,
        market: Market,
        account: Account,
        side: Side,
        price_ticks: int,
        qty_lots: int,
        type: str = "LIMIT",  # noqa: A002
        time_in_force: str = "GTC",
    ) -> Order:
        """Place an order of an unlimited account: no filters, no funds check, no index, no reports of its own.

        ``type`` is LIMIT, LIMIT_MAKER or MARKET (``price_ticks`` 0). A LIMIT_MAKER that would match comes back with
        status REJECTED, and nothing else happened. What does not rest comes back EXPIRED or FILLED. The account may
        trade with itself.
        """
        now_ms = self._begin()
        market.last_order_id += 1
        order = Order(
            market,
            account,
            market.last_order_id,
            side,
            price_ticks,
            qty_lots,
            now_ms,
            type=type,
            time_in_force=time_in_force,
        )
        if crosses(market, order):
            if type == "LIMIT_MAKER":
                order.status = "REJECTED"
                return order
            if time_in_force != "FOK" or reach(market, order)[0] >= qty_lots:
                self._matcher.match(order, now_ms)
        self._entry.finish(order)
        self.taps.flush()
        return order

    def reduce(self, order: Order, lots: int) -> None:
        """Lower a resting order by ``lots``; it keeps its place. Lowered by all it has open, it is cancelled."""
        if lots < order.open_lots:
            self._entry.reduce(order, lots)
        else:
            self.cancel_fast(order)

    def cancel_fast(self, order: Order) -> bool:
        """Cancel an order at hand; ``False`` when it does not rest any more. A trader is told as of any cancel."""
        if order.standing_in is None:
            return False
        self._begin()
        self._entry.cancel(order)
        self.taps.flush()
        return True

    def cancel(
        self,
        account: Account,
        symbol: str,
        order_id: int | None = None,
        client_order_id: str | None = None,
        *,
        new_client_order_id: str = "",
        restrictions: str = "",
    ) -> Order:
        """Cancel an open order by either id (both must fit); raises ``VenueReject`` -2011 when none is open.

        ``new_client_order_id`` names the cancel request itself. ``restrictions`` is empty, ONLY_NEW or
        ONLY_PARTIALLY_FILLED.
        """
        market = self._market(symbol)
        self._begin()
        try:
            return self._entry.cancel_wish(
                account, market, CancelWish(order_id, client_order_id, new_client_order_id, restrictions)
            )
        finally:
            self.taps.flush()

    def cancel_all(self, account: Account, symbol: str) -> list[Order]:
        """Cancel every open order of the account on the symbol; raises ``VenueReject`` -2011 when there is none."""
        orders = list(self._market(symbol).index(account).open.values())
        if not orders:
            raise VenueReject(-2011, "Unknown order sent.")
        self._begin()
        for order in orders:
            self._entry.cancel(order)
        self.taps.flush()
        return orders

    def cancel_replace(
        self,
        account: Account,
        new: NewOrder,
        *,
        mode: str,
        order_id: int | None = None,
        client_order_id: str | None = None,
        new_client_order_id: str = "",
        restrictions: str = "",
    ) -> CancelReplaceResult:
        """Cancel an order and place ``new`` on the same symbol.

        ``mode`` STOP_ON_FAILURE places nothing when the cancel fails, ALLOW_FAILURE places anyway. Filters are checked
        before anything is cancelled, MAX_NUM_ORDERS with the old order counted. Raises ``CancelReplaceReject`` (-2021:
        one half failed, -2022: both, or the cancel under STOP_ON_FAILURE), ``VenueReject`` for bad input.
        """
        if mode not in MODES:
            raise missing("cancelReplaceMode")
        market = self._market(new.symbol)
        now_ms = self._begin()
        size = check(market, new, now_ms=now_ms, open_orders=len(market.index(account).open))
        wish = CancelWish(order_id, client_order_id, new_client_order_id, restrictions)
        try:
            return cancel_replace(self._entry, account, market, wish, new, size, mode)
        finally:
            self.taps.flush()

    # queries

    def order(
        self, account: Account, symbol: str, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order:
        """Return an order, open or done, by either id; raises ``VenueReject`` -2013 when there is none.

        A client id means the latest order that used it. With both ids, -2039 when they are of different orders.
        """
        index = self._market(symbol).index(account)
        order = index.find(order_id, client_order_id)
        if order is None:
            if client_order_id and order_id in index.by_id:
                raise VenueReject(-2039, "Client order ID is not correct for this order ID.")
            raise VenueReject(-2013, "Order does not exist.")
        return order

    def open_orders(self, account: Account, symbol: str | None = None) -> list[Order]:
        """Return the account's open orders on a symbol or on all, oldest first in each market."""
        markets = self.markets.values() if symbol is None else [self._market(symbol)]
        return [order for market in markets for order in market.index(account).open.values()]

    def all_orders(
        self,
        account: Account,
        symbol: str,
        *,
        order_id: int | None = None,
        start_ms: int = 0,
        end_ms: int = 1 << 62,
        limit: int = 500,
    ) -> list[Order]:
        """Return orders, open or done, oldest first: the first from ``order_id`` or ``start_ms`` on, else the last."""
        index = self._market(symbol).index(account)
        return index.orders(order_id=order_id, start_ms=start_ms, end_ms=end_ms, limit=limit)

    def account_trades(
        self,
        account: Account,
        symbol: str,
        *,
        order_id: int | None = None,
        from_id: int | None = None,
        start_ms: int = 0,
        end_ms: int = 1 << 62,
        limit: int = 500,
    ) -> list[Fill]:
        """Return the account's fills, oldest first: the first from ``from_id`` or ``start_ms`` on, else the last."""
        index = self._market(symbol).index(account)
        return index.fills(order_id=order_id, from_id=from_id, start_ms=start_ms, end_ms=end_ms, limit=limit)

    # inside

    def _begin(self) -> int:
        """Take the time of an operation; the exchange's time never goes back."""
        taps = self.taps
        taps.now_ms = max(taps.now_ms, self.now_ms())
        return taps.now_ms

    def _market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise VenueReject(-1121, "Invalid symbol.")
        return market
