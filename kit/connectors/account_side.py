"""The account side of a connector: ports, balances, orders, and the desk that acts; exchanged when it goes live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.market_view import MarketView
from kit.connectors.order_desk import OrderDesk
from kit.core.affinity import LoopAffinity
from kit.core.at_once import at_once
from kit.core.pubsub import PubSub
from kit.core.tasks import TaskSupervisor
from kit.core.time_source import TimeSource
from kit.core.waiting import wait_for
from kit.errors import AuthenticationFailed, KitError, MissingCredentials, NotReady, NotSupported, StopTrading
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.user_stream_tracker import UserStreamTracker
from kit.types.events import MarketEvent
from kit.types.orders import CancelRequest, OrderUpdate
from kit.types.ports import AccountPort, OrderPort

logger = logging.getLogger(__name__)

Mode = Literal["data", "paper", "live"]

LAST_QUESTION: Final = 1.0
"""Seconds that the exchange has in any case to say which orders are still open, when all other patience is used up."""

FILLS_PATIENCE: Final = 2.0
"""Seconds that the exchange has to tell the last fills of orders that have ended."""


class AccountSide:
    """One account of a connector, on paper or live; in mode "data" none.

    Events of its orders and balances go out through its own ``pubsub``; the connector passes on those of the side that
    it trades with, so that accounts never mix. A refused key stops trading and says why in ``refused``, while the
    connector's market data goes on. ``close_port`` ends the ports where they are this side's own. ``seen_only()`` tells
    who trades instead, where the account is another process's that is only looked at here, else an empty text.
    """

    def __init__(
        self,
        mode: Mode,
        name: str,
        view: MarketView,
        trading_pairs: Sequence[str],
        account: AccountPort | None,
        orders: OrderPort | None,
        *,
        supervisor: TaskSupervisor,
        ids: ClientOrderIds,
        time_source: TimeSource,
        affinity: LoopAffinity,
        close_port: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.mode: Mode = mode
        self.name = name
        self.pubsub = PubSub()
        self.refused = "" if orders is not None else f"mode {mode!r} places no orders"
        self.balances = Balances()
        self.order_tracker = ClientOrderTracker(self.pubsub, time=time_source.time)
        self.desk: OrderDesk | None = None
        self.user_stream: UserStreamTracker | None = None
        self.seen_only: Callable[[], str] = str
        self._account = account
        self._close_port = close_port
        self._view = view
        self._supervisor = supervisor
        self._ids = ids
        self._time_source = time_source
        self._affinity = affinity
        self._poll_count = -1
        self._polling: asyncio.Task[object] | None = None
        if account is None or orders is None:
            return
        self.desk = OrderDesk(
            view,
            orders,
            self.order_tracker,
            self.balances,
            self.pubsub,
            ids=ids,
            time_source=time_source,
            affinity=affinity,
        )
        self.user_stream = UserStreamTracker(
            account,
            orders,
            self.order_tracker,
            self.balances,
            supervisor,
            trading_pairs=tuple(trading_pairs),
            time_source=time_source,
            # Orders left from a run that died are this core's to follow, to fill and to cancel.
            adopt=self.desk.owns,
        )

    def another(
        self,
        mode: Mode,
        account: AccountPort,
        orders: OrderPort,
        trading_pairs: Sequence[str],
        close_port: Callable[[], Awaitable[None]] | None = None,
    ) -> AccountSide:
        """Return another account's side for the same connector."""
        return AccountSide(
            mode,
            self.name,
            self._view,
            trading_pairs,
            account,
            orders,
            supervisor=self._supervisor,
            ids=self._ids,
            time_source=self._time_source,
            affinity=self._affinity,
            close_port=close_port,
        )

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the private stream, if there is an account; a refused key does not raise but shows in ``refused``."""
        if self.user_stream is None:
            return
        try:
            await self.user_stream.start()
        except (StopTrading, MissingCredentials) as error:
            # Market data is useful and harmless without an account, so only trading ends here.
            self.refused = f"{type(error).__name__}: {error}"
            logger.error("%s: trading is refused, market data goes on: %s", self.name, error)
        else:
            self.refused = ""

    def open_at_once(self) -> None:
        """Come up on ports that answer at once, without a loop."""
        if self._account is not None:
            at_once(self._account.open_user_stream())
            self.balances.replace_all(at_once(self._account.fetch_balances()))

    async def stop(self) -> None:
        """Close the private stream; orders in flight stay tracked."""
        if self.user_stream is not None:
            await self.user_stream.stop()

    async def close(self) -> None:
        """Close the private stream and, where they are its own, the ports."""
        try:
            await self.stop()
        finally:
            if self._close_port is not None:
                await self._close_port()

    def keep_up(self, *, poll: bool) -> None:
        """Follow up cancels and, with ``poll``, ask the exchange where the private stream has long been silent."""
        if self.desk is None or self.user_stream is None:
            return
        self.desk.tick()
        if not poll or self.refused:
            return
        count = int(self._time_source.time() / self.user_stream.poll_interval)
        if count != self._poll_count and (self._polling is None or self._polling.done()):
            self._poll_count = count
            self._polling = self._supervisor.spawn(self.user_stream.poll(), name="status poll")

    def follow_pair(self, trading_pair: str) -> None:
        """Reconcile one more pair."""
        if self.user_stream is not None:
            self.user_stream.add_trading_pair(trading_pair)

    def leave_pair(self, trading_pair: str) -> None:
        """Reconcile a pair no more."""
        if self.user_stream is not None:
            self.user_stream.remove_trading_pair(trading_pair)

    def pass_on(self, pubsub: PubSub) -> Callable[[], None]:
        """Tell every event also on ``pubsub``, until the function that is returned is called."""
        ends = [self.pubsub.add_listener(tag, _forward(pubsub, tag)) for tag in MarketEvent]

        def end() -> None:
            for unsubscribe in ends:
                unsubscribe()

        return end

    # -- what is known ---------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<AccountSide {self.mode}: {self.order_tracker!r}, {self.balances!r}>"

    @property
    def has_own_line(self) -> bool:
        """Tell whether its ports are a connection of its own, which does not end with that of the market data."""
        return self._close_port is not None

    @property
    def ready(self) -> bool:
        """Tell whether the account, if there is one, is in step and not refused."""
        user_stream = self.user_stream
        return user_stream is None or (user_stream.ready and not self.refused)

    @property
    def readiness(self) -> dict[str, bool]:
        """Return each condition of ``ready`` by name."""
        if self.user_stream is None:
            return {}
        return {"user_stream": self.user_stream.ready, "account": not self.refused}

    async def open_orders(self, trading_pairs: Sequence[str]) -> list[OrderUpdate]:
        """Ask the exchange which orders of this core are open on the pairs and on those of orders in flight.

        Nothing is asked with a key that is refused. Raises ``TryAgain`` errors when the exchange cannot be asked.
        """
        if self._account is None or self.desk is None or self.refused:
            return []
        pairs = dict.fromkeys([*trading_pairs, *(order.trading_pair for order in self.desk.unresolved())])
        updates = [update for pair in pairs for update in await self._account.fetch_open_orders(pair)]
        return [update for update in updates if self.desk.owns(update)]

    async def may_trade(self, trading_pair: str) -> bool | None:
        """Ask the exchange whether the key may trade, without an order; ``None`` where that cannot be told.

        Raises ``AuthenticationFailed`` for a key that may not.
        """
        ask = getattr(self._account, "may_trade", None)
        if ask is None:
            return None
        answer: bool | None = await ask(CancelRequest(self._ids.next(), trading_pair))
        return answer

    # -- acting ----------------------------------------------------------------------------------------------------

    def trading_desk(self) -> OrderDesk:
        """Return the desk; raises ``AuthenticationFailed`` where the key is refused.

        Without one it raises ``NotReady`` in a view of what another process runs, naming that, else ``NotSupported``.
        """
        if self.desk is None:
            if seen := self.seen_only():
                raise NotReady(f"{self.name} places no orders here. {seen}")
            raise NotSupported(
                f"{self.name} runs in mode {self.mode!r}, which places no orders; add the connector with mode='paper' "
                "or 'live'"
            )
        if self.refused:
            raise AuthenticationFailed(f"{self.name} refuses to trade: {self.refused}")
        return self.desk

    async def sweep(self, desk: OrderDesk, trading_pairs: Sequence[str], timeout: float) -> list[str]:
        """Cancel every order of this core and wait for the exchange's word; return the ids that may be open."""
        deadline = self._time_source.monotonic() + timeout
        while True:
            await desk.cancel_all(max(deadline - self._time_source.monotonic(), 0.0))
            shown = await self._ask_once_more(trading_pairs, deadline)
            left = {order.client_order_id for order in desk.unresolved()}
            left |= {update.client_order_id or "" for update in shown or ()}
            if not left:
                await self._catch_up_with_fills()
            if not left or shown is None or self._time_source.monotonic() >= deadline:
                return sorted(left)
            desk.cancel_strangers(shown)
            await self._time_source.sleep(0.2)

    async def _catch_up_with_fills(self) -> None:
        """Ask for fills that the exchange counted when an order ended and has not told: nobody hears of them later."""
        if self.user_stream is None or self.refused or not self.order_tracker.orders_missing_fills:
            return
        try:
            await wait_for(self.user_stream.poll(), FILLS_PATIENCE, self._time_source)
        except TimeoutError:
            logger.warning("%s: no answer in time about the last fills", self.name)

    async def _ask_once_more(self, trading_pairs: Sequence[str], deadline: float) -> list[OrderUpdate] | None:
        patience = max(deadline - self._time_source.monotonic(), LAST_QUESTION)
        try:
            return await wait_for(self.open_orders(trading_pairs), patience, self._time_source)
        except (KitError, TimeoutError) as error:
            logger.warning("%s: cannot ask for open orders: %s", self.name, str(error) or "no answer in time")
            return None


def _forward(pubsub: PubSub, tag: MarketEvent) -> Callable[[object], None]:
    return lambda event: pubsub.trigger_event(tag, event)
