"""What became of the orders whose cancel a page asked for."""

from __future__ import annotations

from typing import Any

from kit.notebook.formats import exact
from kit.orders.in_flight_order import InFlightOrder
from kit.types.orders import OrderState

_RESTING = (OrderState.OPEN, OrderState.PARTIALLY_FILLED)


class CancelWatch:
    """Follows orders from the click that cancels them to their end; ``said`` is the latest news, ``None`` before any.

    ``said`` holds a ``number`` that grows with each news, the ``text``, and whether it is ``ok``.
    """

    def __init__(self) -> None:
        self.said: dict[str, Any] | None = None
        self._asked: dict[InFlightOrder, tuple[str, str]] = {}

    def follow(self, order: InFlightOrder) -> str:
        """Follow an order from now on, and return what it is in words."""
        what = f"{order.trade_type.value} {exact(order.remaining)} {order.trading_pair}"
        self._asked[order] = what, ""
        return what

    def look(self) -> None:
        """Take in what happened since."""
        news, ok = [], True
        for order, (what, last) in list(self._asked.items()):
            text = _ended(what, order) if order.is_done else _on_its_way(what, order)
            if order.is_done:
                del self._asked[order]
            elif text:
                self._asked[order] = what, text
            if text and text != last:
                news.append(text)
                ok = ok and order.is_done
        if news:
            number = 1 if self.said is None else self.said["number"] + 1
            self.said = {"number": number, "text": "; ".join(news), "ok": ok}


def _on_its_way(what: str, order: InFlightOrder) -> str:
    if order.current_state not in _RESTING:
        return ""
    return f"the cancel of {what} was not taken, and it is asked for again; the log tells more"


def _ended(what: str, order: InFlightOrder) -> str:
    if order.is_filled:
        return f"{what} was filled before the cancel took effect"
    if order.progress is OrderState.CANCELED:
        filled = order.executed_amount_base
        return f"{what} was cancelled" + (f"; {exact(filled)} of it had been filled" if filled else "")
    if order.progress is OrderState.EXPIRED:
        return f"{what} had expired"
    return f"{what} has failed: {order.reason or 'the exchange gave no reason'}"
