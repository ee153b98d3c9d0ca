"""The live accounts of a core: prepared beside what trades on paper, put in its place, and taken back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from kit.connectors.account_side import AccountSide
from kit.connectors.connector import Connector
from kit.connectors.order_desk import OrderDesk
from kit.core.naming import counted
from kit.core.time_source import TimeSource
from kit.core.waiting import wait_for
from kit.errors import KitError, NotReady, TryAgain
from kit.orders.in_flight_order import InFlightOrder
from kit.trading.switched_core import SwitchedCore
from kit.types.orders import OrderState

logger = logging.getLogger(__name__)

_LAST_QUESTION: Final = 3.0
"""Seconds that the exchange has to say what is open, after the cancels are through."""


class LiveAccounts:
    """Prepares, puts in place and takes back the live side of connectors, with the guard over it."""

    def __init__(self, core: SwitchedCore, time_source: TimeSource) -> None:
        self._core = core
        self._time_source = time_source

    async def prepare(self, connector: Connector) -> AccountSide:
        """Bring a connector's live account up beside the one that trades, guarded, its desk shut.

        The connector's own side, where that is live. A refused key does not raise; it shows in the side. Raises
        ``MissingCredentials``, or ``NotReady`` when the guard process does not start.
        """
        if connector.mode == "live":
            return connector.side
        core = self._core
        config = await core.connector_manager.live_config(connector.name)
        side = connector.side_of("live")
        if side is None:
            port = core.connector_manager.live_port(connector.name, config)
            side = connector.side.another("live", port, port, connector.trading_pairs, port.close)
            connector.hold_side(side)
        desk_of(side).shut("this account is not live")
        try:
            with core.guarding.connecting(config):
                await side.start()
                await core.guarding.cover(connector, config, core.supervisor, core.affinity)
        except BaseException:
            await self.put_away(connector)
            raise
        return side

    async def put_away(self, connector: Connector) -> None:
        """End what ``prepare`` began, where the connector does not trade with it; what it knows of orders is kept."""
        side = connector.side_of("live")
        if side is None or side is connector.side:
            return
        tracker = side.order_tracker
        if tracker.active_orders or tracker.cached_orders or tracker.lost_orders:
            await side.stop()
        else:
            await connector.drop_side(side)
        await self._core.guarding.release(connector.name, [])

    def put_live(self, connector: Connector, side: AccountSide) -> None:
        """Let a connector trade with its live side from now on; what it traded with has been swept and shut."""
        if side is not connector.side:
            connector.trade_with(side)
        desk_of(side).reopen()
        self._core.account_changed(connector)

    async def prepare_paper(self, connector: Connector) -> None:
        """Put a paper account on the data of a connector that has only a live one; ``take_back`` trades with it.

        Raises ``NotSupported`` where that cannot be, and ``NotReady`` when it does not come up.
        """
        if connector.side_of("paper") is not None:
            return
        try:
            port = await self._core.connector_manager.paper_port(connector.name)
            side = connector.side.another("paper", port, port, connector.trading_pairs)
            desk_of(side).shut("this account is not traded with")
            await side.start()
        except TryAgain as error:
            raise NotReady(
                f"{connector.name}: its paper account does not come up, and nothing was changed: {error}. Try again in "
                "a moment, or end live trading without it: await core.go_off()"
            ) from error
        connector.hold_side(side)

    def take_back(self, connector: Connector) -> AccountSide | None:
        """Let a connector trade on paper again; return its live side, which has been swept, for ``put_down``."""
        paper, live = connector.side_of("paper"), connector.side
        if paper is None or live is paper:
            return None
        desk_of(live).shut("this account is not live")
        connector.trade_with(paper)
        desk_of(paper).reopen()
        self._core.account_changed(connector)
        return live

    async def put_down(self, connector: Connector, side: AccountSide | None) -> None:
        """End what the live ``side`` that was taken back had going, or, without one, what ``prepare`` began."""
        try:
            if side is None:
                await self.put_away(connector)
            else:
                await side.stop()
                await self._core.guarding.release(connector.name, [])
        except Exception:  # the accounts are exchanged: what was not tidied up must not pass for a failure of that
            logger.exception("%s: the live account could not be put away", connector.name)

    async def withdraw(self, connector: Connector, timeout: float) -> str:
        """Cancel all of the core's orders on a connector, ask what is open, and return the exchange's word.

        New orders are refused from then on. Raises ``NotReady`` telling what is not confirmed; orders are taken again
        then, and the cancels go on being asked for.
        """
        side = connector.side
        if side.desk is None:
            return ""
        orders = side.desk.unresolved()
        try:
            if left := await connector.sweep(timeout):
                raise NotReady(f"{connector.name}: the exchange has not confirmed the end of {', '.join(left)}")
            shown = await self._open_there(connector, side)
            return f"{connector.name}: {_ends(orders)}, {shown}"
        except BaseException:
            connector.reopen()
            raise

    async def _open_there(self, connector: Connector, side: AccountSide) -> str:
        if side.refused:
            return "and no order is known; the exchange cannot be asked, as the key is refused"
        asking = connector.open_orders_on_exchange()
        try:
            shown = await wait_for(asking, _LAST_QUESTION, self._time_source)
        except (KitError, TimeoutError) as error:
            told = str(error) or "no answer in time"
            raise NotReady(f"{connector.name}: the exchange cannot be asked what is open: {told}") from error
        if shown:
            ids = ", ".join(update.client_order_id or update.exchange_order_id or "?" for update in shown)
            raise NotReady(f"{connector.name}: the exchange still shows {ids} as open")
        where = "on the exchange" if side.mode == "live" else "on paper"
        return f"0 open {where}"


def desk_of(side: AccountSide) -> OrderDesk:
    """Return the desk of a side that trades."""
    assert side.desk is not None, f"{side.name} has no account"
    return side.desk


def _ends(orders: Sequence[InFlightOrder]) -> str:
    """Tell how orders ended: a fill may have come before the cancel."""
    filled = sum(order.is_filled for order in orders)
    cancelled = [order for order in orders if order.progress is OrderState.CANCELED and not order.is_filled]
    partly = sum(order.executed_amount_base > 0 for order in cancelled)
    other = len(orders) - filled - len(cancelled)
    words = [f"{counted(len(cancelled), 'order')} cancelled" + (f" ({partly} partly filled)" if partly else "")]
    words += [f"{filled} filled"] if filled else []
    words += [f"{other} expired or failed"] if other else []
    return ", ".join(words)
