"""A core that another process of the user runs, as this process sees it: read-only."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Final

from kit.connectors.connector import Connector
from kit.core.time_source import TimeSource
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.session_log import SessionLog
from kit.trading.instance_lock import Instance
from kit.trading.state_file import SeenConnector, SeenCore, StateFile
from kit.types.orders import OrderState, OrderUpdate

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
PATIENCE: Final = 5.0
"""Seconds without news after which the other process counts as silent."""

_IDENTITY: Final = (
    *("client_order_id", "trading_pair", "trade_type", "order_type", "amount", "price", "creation_timestamp"),
    *("base_asset", "quote_asset", "time_in_force"),
)


class ReadOnly:
    """Who runs the core (``pid``, ``since`` in seconds since the epoch, ``what``) and, in ``seen``, how it stands.

    ``seen`` is ``None`` while nothing is known. ``ended`` tells that the other process runs the core no more: then
    running the cell again takes over.
    """

    def __init__(self, core_name: str, instance: Instance, seen: SeenCore | None) -> None:
        self.core_name = core_name
        self.instance = instance
        self.seen = seen
        self.ended = False
        self.silent = False

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self.instance.pid

    @property
    def since(self) -> float:
        """Return since when it runs the core, in seconds since the epoch."""
        return self.instance.since

    @property
    def what(self) -> str:
        """Return what the process is: the notebook's name, or the program's."""
        return self.instance.what

    @property
    def text(self) -> str:
        """Return it as a sentence for the user, with what to do."""
        if self.ended:
            return f"Core {self.core_name!r} has ended in {self.instance}; run the cells again here to take over."
        state = f", {self.seen.trading_state}" if self.seen is not None and self.seen.trading_state else ""
        silence = " It has told nothing for some seconds: a cell may block it." if self.silent else ""
        return f"Core {self.core_name!r} runs in {self.instance}{state}; this is a view of it.{silence}"

    @property
    def where_to_press(self) -> str:
        """Return where the red button of this core can be pressed."""
        command = f"kit red {shlex.quote(self.core_name)}"
        return f"press it where the core runs, or in a terminal: {command}. {self.text}"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<ReadOnly {self.text}>"


class Watching:
    """Keeps a ``ReadOnly`` up to date, and what panels read: orders and balances of connectors of the same names."""

    def __init__(
        self,
        view: ReadOnly,
        file: StateFile,
        connectors: Callable[[], Mapping[str, Connector]],
        logs: Mapping[str, SessionLog],
        time_source: TimeSource,
    ) -> None:
        self._view = view
        self._file = file
        self._connectors = connectors
        self._logs = logs
        self._time_source = time_source

    async def run(self) -> None:
        """Look about once a second until cancelled."""
        while True:
            await self.look()
            await self._time_source.sleep(INTERVAL)

    async def look(self) -> None:
        """Take in what the file says now."""
        seen = await asyncio.to_thread(self._file.read)
        view = self._view
        view.ended = seen is None or not seen.instance.alive
        if seen is None:
            return
        view.instance, view.seen = seen.instance, seen
        view.silent = not view.ended and self._time_source.time() - seen.written > PATIENCE
        for name, connector in self._connectors().items():
            known = seen.connectors.get(name)
            if known is not None:
                mirror(known, connector, self._logs.get(name))


def mirror(seen: SeenConnector, connector: Connector, log: SessionLog | None) -> None:
    """Let a connector that only streams data show the account of another process's connector.

    Orders become known, change and end through the connector's own tracker, so that listeners hear of them as usual.
    The log's totals are those of the other process, which knows the fills from before this one looked.
    """
    if connector.balances.assets or seen.balances:
        connector.balances.replace_all(seen.balances)
    tracker = connector.order_tracker
    for order in seen.orders:
        _follow(tracker, order)
    known = {order.client_order_id for order in seen.orders}
    for order in [order for key, order in tracker.active_orders.items() if key not in known]:
        _take_state(tracker, order, OrderState.CANCELED, "not among the running core's orders any more")
    if log is not None:
        log.mode = seen.mode
        log.totals.clear()
        log.totals.update({totals.trading_pair: totals for totals in seen.totals})


def _follow(tracker: ClientOrderTracker, order: InFlightOrder) -> None:
    known = tracker.fetch_order(client_order_id=order.client_order_id)
    if known is None:
        known = InFlightOrder(**{name: getattr(order, name) for name in _IDENTITY})
        tracker.start_tracking_order(known)
    if known == order or _alike(known, order):
        return
    if order.acknowledged and not known.acknowledged:
        _take_state(tracker, order, OrderState.OPEN)
    for trade in order.order_fills.values():
        if trade.trade_id not in known.order_fills:
            tracker.process_trade_update(trade)
    if order.progress is not known.progress:
        _take_state(tracker, order, order.progress, order.reason)
    known.cancel_requested = order.cancel_requested


def _alike(known: InFlightOrder, order: InFlightOrder) -> bool:
    return (
        known.current_state is order.current_state
        and len(known.order_fills) == len(order.order_fills)
        and known.exchange_order_id == order.exchange_order_id
    )


def _take_state(tracker: ClientOrderTracker, order: InFlightOrder, state: OrderState, reason: str = "") -> None:
    tracker.process_order_update(
        OrderUpdate(
            order.trading_pair,
            state,
            order.last_update_timestamp,
            client_order_id=order.client_order_id,
            exchange_order_id=order.exchange_order_id,
            reason=reason,
            error=order.error,
        )
    )


assert set(_IDENTITY) <= {item.name for item in fields(InFlightOrder)}
