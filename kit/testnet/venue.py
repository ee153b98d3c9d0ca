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

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kit.errors import InvalidInput
from kit.testnet.filters import NewOrder, Size, VenueReject, check
from kit.testnet.ledger import Account, Ledger
from kit.testnet.market import ExecutionReport, ExecutionType, Fill, Market, Order, Trade
from kit.testnet.matching import Matcher, crosses, reach
from kit.testnet.symbols import DEFAULT_SYMBOLS, Side, SymbolInfo, to_units

__all__ = [
    "Account",
    "CancelReplaceReject",
    "CancelReplaceResult",
    "ExecutionReport",
    "Fill",
    "Market",
    "NewOrder",
    "Order",
    "Trade",
    "Venue",
    "VenueReject",
]

log = logging.getLogger(__name__)

UNKNOWN_ORDER = (-2011, "Unknown order sent.")
INSUFFICIENT = (-2010, "Account has insufficient balance for requested action.")
WOULD_MATCH = (-2010, "Order would immediately match and take.")
DUPLICATE = (-2010, "Duplicate order sent.")


@dataclass(frozen=True, slots=True)
class CancelReplaceResult:
    """The two halves of a cancel-replace; an error stands where a half failed.

    ``new_result`` is NOT_ATTEMPTED when neither ``placed`` nor ``place_error`` is set.
    """

    canceled: Order | None = None
    cancel_error: VenueReject | None = None
    placed: Order | None = None
    place_error: VenueReject | None = None

    @property
    def cancel_result(self) -> str:
        """SUCCESS or FAILURE."""
        return "FAILURE" if self.cancel_error else "SUCCESS"

    @property
    def new_result(self) -> str:
        """SUCCESS, FAILURE or NOT_ATTEMPTED."""
        if self.place_error:
            return "FAILURE"
        return "SUCCESS" if self.placed else "NOT_ATTEMPTED"


class CancelReplaceReject(VenueReject):
    """A cancel-replace failed (-2022) or half failed (-2021); ``result`` tells which half and why."""

    def __init__(self, code: int, message: str, result: CancelReplaceResult) -> None:
        super().__init__(code, message)
        self.result = result


class Taps:
    """Queues what happened during an operation and tells it afterwards, in order."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.on_execution: list[Callable[[ExecutionReport], None]] = []
        self.on_trade: list[Callable[[Market, Trade], None]] = []
        self.on_balance: list[Callable[[Account, tuple[str, ...]], None]] = []
        self.errors = 0
        self.now_ms = 0
        self._now = now_ms
        self._queue: deque[Callable[[], None]] = deque()
        self._touched: dict[Account, dict[str, None]] = {}
        self._telling = False

    def order_event(
        self,
        order: Order,
        execution_type: ExecutionType,
        *,
        trade: Trade | None = None,
        counter_order_id: int = -1,
        cancel_id: str | None = None,
        reject_reason: str = "NONE",
    ) -> None:
        """Queue an execution report, and book the fill, for accounts that are told."""
        account = order.account
        if account.unlimited:
            return
        market = order.market
        if trade is not None:
            fills = order.fills = order.fills or []
            fills.append(trade)
            market.index(account).fills.append(Fill(trade, order))
        self._touch(order, execution_type)
        if not self.on_execution:
            return
        market.last_execution_id += 1
        report = ExecutionReport(
            order=order,
            execution_type=execution_type,
            status=order.status,
            time_ms=self.now_ms,
            execution_id=market.last_execution_id,
            executed_lots=order.executed_lots,
            cum_quote_units=order.cum_quote_units,
            client_order_id=order.client_order_id if cancel_id is None else cancel_id,
            orig_client_order_id="" if cancel_id is None else order.client_order_id,
            trade=trade,
            reject_reason=reject_reason,
            counter_order_id=counter_order_id,
            is_working=order.status in {"NEW", "PARTIALLY_FILLED"},
        )
        self._queue.extend(lambda tap=tap: tap(report) for tap in self.on_execution)  # type: ignore[misc]

    def traded(self, trade: Trade) -> None:
        """Queue a trade."""
        self._queue.extend(lambda tap=tap: tap(trade.market, trade) for tap in self.on_trade)  # type: ignore[misc]

    def touch(self, account: Account, asset: str) -> None:
        """Note that an account's balance changed."""
        account.updated_ms = self.now_ms
        if self.on_balance and not account.unlimited:
            self._touched.setdefault(account, {})[asset] = None

    def _touch(self, order: Order, execution_type: ExecutionType) -> None:
        info = order.market.info
        if execution_type == "TRADE":
            self.touch(order.account, info.base)
            self.touch(order.account, info.quote)
        elif execution_type != "REJECTED":
            self.touch(order.account, order.hold_asset)

    def flush(self) -> None:
        """Tell everything that is queued; balances come after the executions that changed them."""
        for account, assets in self._touched.items():
            changed = tuple(assets)
            self._queue.extend(lambda tap=tap, a=account, c=changed: tap(a, c) for tap in self.on_balance)  # type: ignore[misc]
        self._touched.clear()
        if self._telling:
            return
        self._telling = True
        try:
            while self._queue:
                try:
                    self._queue.popleft()()
                except Exception:  # one listener's defect must not leave an order half placed
                    self.errors += 1
                    log.exception("a listener of the test exchange failed")
        finally:
            self._telling = False


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
        self.taps = Taps(now_ms)
        self.on_execution = self.taps.on_execution
        self.on_trade = self.taps.on_trade
        self.on_balance = self.taps.on_balance
        self._matcher = Matcher(self.ledger, self.taps)

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
        self.taps.now_ms = self.now_ms()
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
        now = self.taps.now_ms = self.now_ms()
        size = check(market, new, now_ms=now, open_orders=len(market.index(account).open))
        try:
            return self._place(account, market, new, size)
        finally:
            self.taps.flush()

    def _place(self, account: Account, market: Market, new: NewOrder, size: Size) -> Order:
        index = market.index(account)
        if new.client_order_id:
            earlier = index.by_client_id.get(new.client_order_id)
            if earlier is not None and earlier.order_id in index.open:
                raise VenueReject(*DUPLICATE)
        market.last_order_id += 1
        order = Order(
            market,
            account,
            market.last_order_id,
            new.side,
            size.price_ticks,
            size.qty_lots,
            self.taps.now_ms,
            type=new.type,
            time_in_force="GTC" if new.type != "LIMIT" else new.time_in_force,
            client_order_id=new.client_order_id or f"auto{market.last_order_id:018d}",
            quote_units=size.quote_units,
            stp_mode=new.stp_mode or market.info.default_stp_mode,
        )
        if new.type == "LIMIT_MAKER" and crosses(market, order):
            raise self._rejected(order, "WOULD_MATCH_IMMEDIATELY", WOULD_MATCH)
        if not self._affordable(order):
            raise self._rejected(order, "INSUFFICIENT_BALANCES", INSUFFICIENT)
        market.open(order)
        self.taps.order_event(order, "NEW")
        self._matcher.lock(order)
        if not (order.time_in_force == "FOK" and reach(market, order)[0] < order.qty_lots):
            self._matcher.match(order, self.taps.now_ms)
        self._finish(order)
        return order

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
        taps = self.taps
        now = taps.now_ms = self.now_ms()
        market.last_order_id += 1
        order = Order(
            market,
            account,
            market.last_order_id,
            side,
            price_ticks,
            qty_lots,
            now,
            type=type,
            time_in_force=time_in_force,
        )
        if crosses(market, order):
            if type == "LIMIT_MAKER":
                order.status = "REJECTED"
                return order
            if time_in_force != "FOK" or reach(market, order)[0] >= qty_lots:
                self._matcher.match(order, now)
        self._finish(order)
        taps.flush()
        return order

    def reduce(self, order: Order, lots: int) -> None:
        """Lower a resting order by ``lots``; it keeps its place. Lowered by all it has open, it is cancelled."""
        if lots >= order.open_lots:
            self.cancel_fast(order)
            return
        market = order.market
        self._matcher.release(order, lots)
        (market.bids if order.is_buy else market.asks).take(order, lots)
        order.qty_lots -= lots
        market.last_update_id += 1

    def cancel_fast(self, order: Order) -> bool:
        """Cancel an order of an unlimited account; ``False`` when it does not rest any more."""
        if order.standing_in is None:
            return False
        (order.market.bids if order.is_buy else order.market.asks).remove(order)
        order.status = "CANCELED"
        order.market.last_update_id += 1
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
        order = market.index(account).find(order_id, client_order_id)
        if order is None or order.standing_in is None:
            raise VenueReject(*UNKNOWN_ORDER)
        if restrictions and restrictions != f"ONLY_{order.status}":
            raise VenueReject(-2011, "Order was not canceled due to cancel restrictions.")
        self.taps.now_ms = self.now_ms()
        self._cancel(order, new_client_order_id)
        self.taps.flush()
        return order

    def cancel_all(self, account: Account, symbol: str) -> list[Order]:
        """Cancel every open order of the account on the symbol; raises ``VenueReject`` -2011 when there is none."""
        orders = list(self._market(symbol).index(account).open.values())
        if not orders:
            raise VenueReject(*UNKNOWN_ORDER)
        self.taps.now_ms = self.now_ms()
        for order in orders:
            self._cancel(order, "")
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
        before anything is cancelled. Raises ``CancelReplaceReject`` (-2021 one half failed, -2022 both, or the cancel
        under STOP_ON_FAILURE), ``VenueReject`` for bad input.
        """
        if mode not in {"STOP_ON_FAILURE", "ALLOW_FAILURE"}:
            raise VenueReject(
                -1102, "Mandatory parameter 'cancelReplaceMode' was not sent, was empty/null, or malformed."
            )
        market = self._market(new.symbol)
        check(market, new, now_ms=self.now_ms(), open_orders=len(market.index(account).open))
        canceled = placed = None
        cancel_error = place_error = None
        try:
            canceled = self.cancel(
                account,
                new.symbol,
                order_id,
                client_order_id,
                new_client_order_id=new_client_order_id,
                restrictions=restrictions,
            )
        except VenueReject as error:
            cancel_error = error
        if cancel_error is None or mode == "ALLOW_FAILURE":
            try:
                placed = self.place(account, new)
            except VenueReject as error:
                place_error = error
        result = CancelReplaceResult(canceled, cancel_error, placed, place_error)
        if cancel_error is None and place_error is None:
            return result
        if cancel_error is not None and placed is None:
            raise CancelReplaceReject(-2022, "Order cancel-replace failed.", result)
        raise CancelReplaceReject(-2021, "Order cancel-replace partially failed.", result)

    # queries

    def order(
        self, account: Account, symbol: str, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order:
        """Return an order, open or done, by either id; raises ``VenueReject`` -2013 when there is none."""
        order = self._market(symbol).index(account).find(order_id, client_order_id)
        if order is None:
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
        known = self._market(symbol).index(account).by_id.values()
        found = [o for o in known if o.order_id >= (order_id or 0) and start_ms <= o.created_ms <= end_ms]
        return found[:limit] if order_id is not None or start_ms else found[-limit:]

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
        found = [
            fill
            for fill in self._market(symbol).index(account).fills
            if (order_id is None or fill.order.order_id == order_id)
            and fill.trade.trade_id >= (from_id or 0)
            and start_ms <= fill.trade.time_ms <= end_ms
        ]
        return found[:limit] if from_id is not None or start_ms else found[-limit:]

    # inside

    def _market(self, symbol: str) -> Market:
        market = self.markets.get(symbol)
        if market is None:
            raise VenueReject(-1121, "Invalid symbol.")
        return market

    def _affordable(self, order: Order) -> bool:
        info = order.market.info
        if order.price_ticks:
            per_lot = order.price_ticks * info.quote_units if order.is_buy else info.lot_units
            return order.account.can_pay(order.hold_asset, order.qty_lots * per_lot)
        lots, quote = reach(order.market, order)
        if order.is_buy:
            return order.account.can_pay(info.quote, max(quote, order.quote_units))
        return order.account.can_pay(info.base, max(lots, order.qty_lots) * info.lot_units)

    def _rejected(self, order: Order, reason: str, error: tuple[int, str]) -> VenueReject:
        order.status = "REJECTED"
        self.taps.order_event(order, "REJECTED", reject_reason=reason)
        return VenueReject(*error)

    def _finish(self, order: Order) -> None:
        """Rest or expire what is left of an order after matching."""
        market = order.market
        changed = bool(order.executed_lots)
        if order.status in {"NEW", "PARTIALLY_FILLED"}:
            if order.price_ticks and order.time_in_force == "GTC":
                self._matcher.rest(order)
                market.last_update_id += 1
                return
            order.status = "EXPIRED"
            self.taps.order_event(order, "EXPIRED")
        if changed or order.status == "EXPIRED_IN_MATCH":
            market.last_update_id += 1
        self._matcher.withdraw(order)
        market.close(order)

    def _cancel(self, order: Order, cancel_id: str) -> None:
        self._matcher.withdraw(order)
        order.status = "CANCELED"
        order.updated_ms = self.taps.now_ms
        market = order.market
        market.last_update_id += 1
        market.close(order)
        self.taps.order_event(order, "CANCELED", cancel_id=cancel_id or f"auto{market.last_update_id:018d}")
