"""The account's side of a connector as strategies and cells use it: balances, orders, buy, sell and cancel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from kit.connectors.account_side import AccountSide
from kit.connectors.order_desk import CancellationResult, OrderDesk
from kit.core.affinity import LoopAffinity
from kit.core.pubsub import PubSub
from kit.errors import NotReady
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.user_stream_tracker import UserStreamTracker
from kit.types.market import TradeType
from kit.types.orders import LimitOrder, OrderType, OrderUpdate, TimeInForce

if TYPE_CHECKING:
    import pandas as pd

    # Not at run time: over a property whose annotation it finds to be a Literal, jedi completes no attribute at all.
    from kit.connectors.account_side import Mode


class AccountView:
    """Trades with one ``AccountSide``, which ``trade_with`` exchanges; that is how paper goes live.

    Whoever reads balances or orders, or listens to ``pubsub``, goes on doing so, and hears of the new account.
    """

    name: str
    pubsub: PubSub
    affinity: LoopAffinity
    _pairs: list[str]
    _closed: bool

    # -- which account ---------------------------------------------------------------------------------------------

    def _put_first(self, side: AccountSide) -> None:
        self.side = side
        self._sides = [side]
        self._pass_on_no_more: Callable[[], None] = side.pass_on(self.pubsub)

    def hold_side(self, side: AccountSide) -> None:
        """Keep a side beside the one that is traded with: its pairs follow, and it is closed with the connector."""
        if side not in self._sides:
            self._sides.append(side)

    async def drop_side(self, side: AccountSide) -> None:
        """Close a side that is kept beside the one that is traded with, and keep it no longer."""
        if side is not self.side and side in self._sides:
            self._sides.remove(side)
            await side.close()

    @property
    def sides(self) -> tuple[AccountSide, ...]:
        """Return the side that is traded with and those that are kept beside it."""
        return tuple(self._sides)

    def side_of(self, mode: Mode) -> AccountSide | None:
        """Return the side of a mode, traded with or kept, if there is one."""
        return next((side for side in self._sides if side.mode == mode), None)

    def trade_with(self, side: AccountSide) -> None:
        """Exchange the account: from now on orders, balances and events are those of ``side``.

        Nothing is cancelled, started or stopped by this.
        """
        self._pass_on_no_more()
        self.hold_side(side)
        self.side = side
        self._pass_on_no_more = side.pass_on(self.pubsub)

    @property
    def mode(self) -> Mode:
        """Return "data", "paper" or "live"."""
        return self.side.mode

    @property
    def balances(self) -> Balances:
        """Return the account's balances."""
        return self.side.balances

    @property
    def order_tracker(self) -> ClientOrderTracker:
        """Return what tracks the account's orders."""
        return self.side.order_tracker

    @property
    def desk(self) -> OrderDesk | None:
        """Return what sends orders and cancels; ``None`` in mode "data"."""
        return self.side.desk

    @property
    def user_stream_tracker(self) -> UserStreamTracker | None:
        """Return what keeps orders and balances in step with the exchange; ``None`` in mode "data"."""
        return self.side.user_stream

    @property
    def trading_refused(self) -> str:
        """Return why nothing can be traded, or an empty text."""
        return self.side.refused

    @trading_refused.setter
    def trading_refused(self, reason: str) -> None:
        self.side.refused = reason

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def in_flight_orders(self) -> Mapping[str, InFlightOrder]:
        """Return the orders that may still live on the exchange, by client order id."""
        return self.affinity.read(dict, self.order_tracker.active_orders)

    @property
    def limit_orders(self) -> list[LimitOrder]:
        """Return immutable views of the limit orders in flight."""
        return self.affinity.read(self._limit_orders)

    def _limit_orders(self) -> list[LimitOrder]:
        return [order.to_limit_order() for order in self.in_flight_orders.values() if order.order_type.is_limit]

    def get_balance(self, asset: str) -> Decimal:
        """Return the account's total of an asset, zero if it holds none."""
        return self.affinity.read(self.balances.total, asset)

    def get_available_balance(self, asset: str) -> Decimal:
        """Return what is free to trade: as reported, less what orders sent since then hold."""
        return self.affinity.read(self.balances.available, asset)

    def balances_frame(self) -> pd.DataFrame:
        """Return the balances as a DataFrame: asset, total, available."""
        return self.affinity.read(self.balances.frame)

    # -- acting ----------------------------------------------------------------------------------------------------

    def _trading_desk(self) -> OrderDesk:
        desk = self.side.trading_desk()
        if self._closed:
            raise NotReady(f"{self.name} is closed; add the connector again with: await core.add_connector(…)")
        return desk

    def buy(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType = OrderType.LIMIT,
        price: Decimal | None = None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> str:
        """Place a buy order of ``amount`` base and return its client order id at once; sending happens behind.

        Amount and price are rounded down to the pair's steps, then checked. Bad input raises ``InvalidOrder``,
        ``UnknownPair`` or ``NotSupported`` before anything is sent, ``NotReady`` where the connector is
        closed or a view of what another process runs; what the exchange says comes as events. Callable from any
        thread.
        """
        return self._trading_desk().place(TradeType.BUY, trading_pair, amount, order_type, price, time_in_force)

    def sell(
        self,
        trading_pair: str,
        amount: Decimal,
        order_type: OrderType = OrderType.LIMIT,
        price: Decimal | None = None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
    ) -> str:
        """Place a sell order; as ``buy``."""
        return self._trading_desk().place(TradeType.SELL, trading_pair, amount, order_type, price, time_in_force)

    def cancel(self, trading_pair: str, client_order_id: str) -> None:
        """Ask to cancel an order; the exchange's word comes as an event. Callable from any thread.

        Also while trading is refused: a key may still be able to cancel. Raises ``OrderNotFound`` for unknown ids.
        """
        desk = self.desk if self.trading_refused and not self._closed else None
        (desk or self._trading_desk()).cancel(trading_pair, client_order_id)

    async def cancel_all(self, timeout: float = 10.0) -> list[CancellationResult]:
        """Cancel every order in flight; return each with whether the exchange confirmed its end in time.

        A connector that trades nothing, or is closed, cancels nothing.
        """
        if self.desk is None or self._closed:
            return []
        return await self.affinity.run(self.desk.cancel_all(timeout))

    async def open_orders_on_exchange(self) -> list[OrderUpdate]:
        """Ask the exchange which orders of this core are open, tracked here or left from a run that died.

        Asks for the streamed pairs and those of orders in flight. Raises ``TryAgain`` errors when it cannot be asked.
        """
        return await self.affinity.run(self.side.open_orders(self._pairs))

    async def sweep(self, timeout: float = 10.0) -> list[str]:
        """Cancel every order of this core, also those left from a run that died; return the ids that may be open.

        New orders are refused from now on (``reopen`` ends that). Waits for the exchange's word, at most ``timeout``
        seconds and one more for the last question. An order counts as ended only on the exchange's word: what is
        unresolved, or tracked while the exchange cannot be asked, is returned.
        """
        if self.desk is None:
            return []
        if self._closed:
            return [order.client_order_id for order in self.desk.unresolved()]
        self.desk.shut(f"{self.name} is cancelling all of its orders")
        return await self.affinity.run(self.side.sweep(self.desk, self._pairs, timeout))

    def reopen(self) -> None:
        """Take orders again after a sweep."""
        if self.desk is not None:
            self.desk.reopen()
