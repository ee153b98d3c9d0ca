"""The way of a cancel: unlike an order it may be repeated, so a lost answer is asked for by asking again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kit.connectors.ccxt_errors import Fault, SendOutcome
from kit.connectors.ccxt_orders import OrderDesk
from kit.connectors.ccxt_requests import Settled, ranked
from kit.connectors.ccxt_taps import Flight
from kit.core.throttler import Priority
from kit.errors import KitError, NotReady, OrderNotFound
from kit.types.orders import AccountMessage, CancelFailed, CancelRequest, OrderState

_CANCEL_TRIES = 3


class CancelSender:
    """Sends cancels."""

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk

    def cancel(self, request: CancelRequest) -> None:
        """Send a cancel in the background."""
        self._desk.spawn(self._cancel(request), f"cancel {request.client_order_id}")

    async def _cancel(self, request: CancelRequest) -> None:
        flight = Flight()
        try:
            with ranked(Priority.CANCEL):
                self._desk.emit(await self._cancelled(request, flight))
        except asyncio.CancelledError:
            reason = "the connector was closed while the cancel was being sent"
            self._desk.emit(self._cancel_failed(request, reason, ambiguous=flight.sent))
            raise
        except Exception:  # a cancel must not vanish with an error of ours; the supervisor logs and counts it
            self._desk.emit(self._cancel_failed(request, "an error inside the kit, see the log", ambiguous=True))
            raise

    async def _cancelled(self, request: CancelRequest, flight: Flight) -> AccountMessage:
        """Send a cancel and return its outcome."""
        try:
            await self._desk.ready()
            sent = self._desk.courier.time_source.monotonic()
            order = await self._desk.courier.carry(
                lambda: self._desk.finder.send_cancel(request), flight, is_order=False, ambiguous_tries=_CANCEL_TRIES
            )
        except KitError as error:
            return self._cancel_refused(request, Fault(SendOutcome.NOT_SENT, error))
        except Settled as settled:
            return self._cancel_refused(request, settled.fault)
        flight.sent = False
        try:
            update = self._desk.finder.read(order, request.client_order_id, request.trading_pair)
        except NotReady as error:
            return self._cancel_failed(request, str(error), ambiguous=True)
        self._desk.counts["cancelled"] += 1
        self._desk.accepted(sent)
        # An exchange that only acknowledges leaves the order's end to be told by the stream or by a query.
        return update if update.state.is_done else replace(update, state=OrderState.PENDING_CANCEL)

    def _cancel_refused(self, request: CancelRequest, fault: Fault) -> CancelFailed:
        self._desk.counts[fault.outcome.value] += 1
        if isinstance(fault.error, OrderNotFound):
            return self._cancel_failed(request, str(fault.error), missing=True)
        return self._cancel_failed(request, str(fault.error), ambiguous=fault.outcome is SendOutcome.AMBIGUOUS)

    def _cancel_failed(
        self, request: CancelRequest, reason: str, *, missing: bool = False, ambiguous: bool = False
    ) -> CancelFailed:
        return CancelFailed(request.client_order_id, request.trading_pair, self._desk.now(), reason, missing, ambiguous)
