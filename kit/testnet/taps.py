"""Who is told what the engine did, and when: after the operation, in the order in which things happened."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from kit.testnet.ledger import Account
from kit.testnet.market import Fill, Market, Order, Prevention, Status, Trade

log = logging.getLogger(__name__)

ExecutionType: TypeAlias = Literal["NEW", "TRADE", "CANCELED", "EXPIRED", "REJECTED", "TRADE_PREVENTION"]


class ExecutionReport(NamedTuple):
    """Something that happened to an order, with the order's numbers as they were then (``order`` itself moves on).

    ``client_order_id`` is Binance's ``c`` (the cancel request's own id for CANCELED), ``orig_client_order_id`` its
    ``C`` (empty unless CANCELED). ``trade`` is set for TRADE only, ``prevention`` for TRADE_PREVENTION only.
    ``reject_reason`` is ``"NONE"`` unless REJECTED. ``is_working`` tells whether the order is on the book.
    """

    order: Order
    execution_type: ExecutionType
    status: Status
    time_ms: int
    execution_id: int
    qty_lots: int
    executed_lots: int
    cum_quote_units: int
    client_order_id: str
    orig_client_order_id: str = ""
    trade: Trade | None = None
    prevention: Prevention | None = None
    reject_reason: str = "NONE"
    is_working: bool = False

    @property
    def is_maker(self) -> bool:
        """Tell whether the order was the maker of the trade."""
        return self.trade is not None and self.trade.maker is self.order

    @property
    def last_lots(self) -> int:
        """Lots of this trade, 0 when there is none."""
        return self.trade.qty_lots if self.trade else 0

    @property
    def last_price_ticks(self) -> int:
        """Price of this trade in ticks, 0 when there is none."""
        return self.trade.price_ticks if self.trade else 0

    @property
    def last_quote_units(self) -> int:
        """Quote units of this trade, 0 when there is none."""
        return self.trade.quote_units if self.trade else 0

    @property
    def commission_units(self) -> int:
        """The fee of this trade in ledger units, 0 when there is none."""
        return self.trade.commission(self.order)[0] if self.trade else 0

    @property
    def commission_asset(self) -> str | None:
        """The asset of the fee, ``None`` without a trade."""
        return self.trade.commission(self.order)[1] if self.trade else None

    @property
    def counter_order_id(self) -> int:
        """The other order of a prevented match, -1 when there is none."""
        if self.prevention is None:
            return -1
        maker, taker = self.prevention.maker, self.prevention.taker
        return (taker if self.order is maker else maker).order_id


class Taps:
    """Queues what happens during an operation and tells it afterwards.

    The three lists are public: append a callback to hear everything from then on. Callbacks must not raise; one that
    does is logged and counted in ``errors``, and the others are called all the same.
    """

    def __init__(self) -> None:
        self.on_execution: list[Callable[[ExecutionReport], None]] = []
        self.on_trade: list[Callable[[Market, Trade], None]] = []
        self.on_balance: list[Callable[[Account, tuple[str, ...]], None]] = []
        self.errors = 0
        self.now_ms = 0
        self._queue: deque[tuple[list[Any], tuple[Any, ...]]] = deque()
        self._touched: dict[Account, dict[str, None]] = {}
        self._telling = False

    def order_event(
        self,
        order: Order,
        execution_type: ExecutionType,
        *,
        trade: Trade | None = None,
        prevention: Prevention | None = None,
        reject_reason: str = "NONE",
    ) -> None:
        """Note that something happened to an order; unlimited accounts are told nothing."""
        if order.account.unlimited:
            return
        if trade is not None:
            self._book_fill(order, trade)
        elif execution_type != "REJECTED":
            self.touch(order.account, order.hold_asset)
        if self.on_execution:
            self._queue.append(
                (self.on_execution, (self._report(order, execution_type, trade, prevention, reject_reason),))
            )

    def traded(self, trade: Trade) -> None:
        """Note a trade."""
        if self.on_trade:
            self._queue.append((self.on_trade, (trade.market, trade)))

    def touch(self, account: Account, asset: str) -> None:
        """Note that an account's balance changed."""
        account.updated_ms = self.now_ms
        if self.on_balance:
            self._touched.setdefault(account, {})[asset] = None

    def flush(self) -> None:
        """Tell everything noted so far; balances come after the executions that changed them."""
        queue = self._queue
        if self._touched:
            queue.extend((self.on_balance, (account, tuple(assets))) for account, assets in self._touched.items())
            self._touched.clear()
        if not queue or self._telling:
            return
        self._telling = True
        try:
            while queue:
                callbacks, arguments = queue.popleft()
                for callback in tuple(callbacks):
                    self._tell(callback, arguments)
        finally:
            self._telling = False

    def _tell(self, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            callback(*arguments)
        except Exception:  # a listener's defect must not undo, or hide from others, what the exchange has done
            self.errors += 1
            log.exception("a listener of the test exchange failed")

    def _book_fill(self, order: Order, trade: Trade) -> None:
        if order.fills is None:
            order.fills = []
        order.fills.append(trade)
        market = order.market
        market.index(order.account).add_fill(Fill(trade, order))
        self.touch(order.account, market.info.base)
        self.touch(order.account, market.info.quote)

    def _report(
        self,
        order: Order,
        execution_type: ExecutionType,
        trade: Trade | None,
        prevention: Prevention | None,
        reject_reason: str,
    ) -> ExecutionReport:
        market = order.market
        market.last_execution_id += 1
        canceled = execution_type == "CANCELED"
        return ExecutionReport(
            order,
            execution_type,
            order.status,
            self.now_ms,
            market.last_execution_id,
            order.qty_lots,
            order.executed_lots,
            order.cum_quote_units,
            order.cancel_id if canceled else order.client_order_id,
            order.client_order_id if canceled else "",
            trade,
            prevention,
            reject_reason,
            execution_type == "NEW" or order.standing_in is not None,
        )
