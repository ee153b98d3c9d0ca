"""What own orders take of each asset until the exchange's reports show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from kit.orders.exact import EXACT, ZERO


@dataclass(slots=True)
class Hold:
    """What one order takes. Arrivals are counted by ``Balances``, times are the exchange's in seconds."""

    asset: str
    full: Decimal
    amount: Decimal
    placed: int
    acknowledged_time: float = 0.0
    acknowledged_arrival: int | None = None


class Holds:
    """The holds by client order id, with a running sum for each asset: both are asked with every message."""

    def __init__(self) -> None:
        self._all: dict[str, Hold] = {}
        self._sums: dict[str, Decimal] = {}
        self._acknowledged: dict[str, dict[str, Hold]] = {}

    def __contains__(self, client_order_id: str) -> bool:
        return client_order_id in self._all

    @property
    def assets(self) -> Iterable[str]:
        """Return the assets of which something is held."""
        return {hold.asset for hold in self._all.values()}

    def sum(self, asset: str) -> Decimal:
        """Return what is held of an asset."""
        return self._sums.get(asset, ZERO)

    def get(self, client_order_id: str) -> Hold | None:
        """Return an order's hold."""
        return self._all.get(client_order_id)

    def acknowledged(self, asset: str) -> list[tuple[str, Hold]]:
        """Return the holds on an asset whose orders the exchange has shown to exist, by client order id."""
        found = self._acknowledged.get(asset)
        return list(found.items()) if found else []

    def add(self, client_order_id: str, hold: Hold) -> None:
        """Keep a new hold."""
        self._all[client_order_id] = hold
        self._sums[hold.asset] = EXACT.add(self._sums.get(hold.asset, ZERO), hold.amount)

    def resize(self, hold: Hold, amount: Decimal) -> None:
        """Let a hold take another amount."""
        self._sums[hold.asset] = EXACT.add(EXACT.subtract(self._sums[hold.asset], hold.amount), amount)
        hold.amount = amount

    def acknowledge(self, client_order_id: str, arrival: int, timestamp: float) -> None:
        """Note that the exchange has shown the order to exist."""
        hold = self._all[client_order_id]
        hold.acknowledged_arrival, hold.acknowledged_time = arrival, timestamp
        self._acknowledged.setdefault(hold.asset, {})[client_order_id] = hold

    def remove(self, client_order_id: str) -> None:
        """End a hold; an unknown one passes."""
        hold = self._all.pop(client_order_id, None)
        if hold is None:
            return
        if acknowledged := self._acknowledged.get(hold.asset):
            acknowledged.pop(client_order_id, None)
        left = EXACT.subtract(self._sums[hold.asset], hold.amount)
        # Zero without the digits of what was there, so that amounts print as the exchange wrote them.
        self._sums[hold.asset] = left or ZERO
