"""Binance's cancel-replace: cancel one order and place another on the same symbol, in one request."""

from __future__ import annotations

from dataclasses import dataclass

from kit.testnet.entry import CancelWish, OrderEntry
from kit.testnet.filters import NewOrder, Size, VenueReject
from kit.testnet.ledger import Account
from kit.testnet.market import Market, Order

MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")


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


def cancel_replace(
    entry: OrderEntry, account: Account, market: Market, wish: CancelWish, new: NewOrder, size: Size, mode: str
) -> CancelReplaceResult:
    """Cancel, then place an order that passed the filters; raises ``CancelReplaceReject`` unless both worked.

    STOP_ON_FAILURE places nothing when the cancel failed; ALLOW_FAILURE places all the same.
    """
    canceled = placed = None
    cancel_error = place_error = None
    try:
        canceled = entry.cancel_wish(account, market, wish)
    except VenueReject as error:
        cancel_error = error
    if cancel_error is None or mode == "ALLOW_FAILURE":
        try:
            placed = entry.accept(account, market, new, size)
        except VenueReject as error:
            place_error = error
    result = CancelReplaceResult(canceled, cancel_error, placed, place_error)
    if canceled is not None and placed is not None:
        return result
    if canceled is None and placed is None:
        raise CancelReplaceReject(-2022, "Order cancel-replace failed.", result)
    raise CancelReplaceReject(-2021, "Order cancel-replace partially failed.", result)
