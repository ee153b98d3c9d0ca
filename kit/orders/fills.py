"""The fills of one order: each trade once, sums exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from kit.orders.exact import EXACT, QUOTIENT, ZERO
from kit.types.orders import TradeUpdate

INFERRED_PREFIX = "inferred-"
"""How the trade id of a fill starts that the exchange implied by a filled amount but never listed."""

_NONE: Final[dict[str, TradeUpdate]] = {}


class Fills:
    """Collect the fills of one order, each trade id once; ``base`` and ``quote`` are the exact sums.

    An inferred fill stands for fills that the exchange implied but did not list. Should it list them later, they take
    the place of the inferred one, so that the same execution never counts twice.
    """

    __slots__ = ("_by_trade_id", "base", "quote")

    def __init__(self, fills: Sequence[TradeUpdate] = ()) -> None:
        self._by_trade_id: dict[str, TradeUpdate] = _NONE  # most orders of a session end without any
        self.base = ZERO
        self.quote = ZERO
        for fill in fills:
            self._put(fill)

    def __repr__(self) -> str:
        return f"<Fills: {self.base} for {self.quote} in {len(self._by_trade_id)} trades>"

    @property
    def by_trade_id(self) -> Mapping[str, TradeUpdate]:
        """Return the fills by trade id, in order of arrival."""
        return MappingProxyType(self._by_trade_id)

    @property
    def average_price(self) -> Decimal | None:
        """Return quote by base, ``None`` before the first fill."""
        return QUOTIENT.divide(self.quote, self.base) if self.base else None

    @property
    def fees(self) -> dict[str, Decimal]:
        """Return the fees by asset; negative amounts are rebates."""
        fees: dict[str, Decimal] = {}
        for fill in self._by_trade_id.values():
            for fee in fill.fee.flat_fees:
                fees[fee.token] = EXACT.add(fees.get(fee.token, ZERO), fee.amount)
        return fees

    def add(self, fill: TradeUpdate) -> Decimal:
        """Book a fill; return by how much base the sum grew, which is zero for what was booked before.

        A known trade that arrives again with a fee, where none was told the first time, lends that fee.
        """
        known = self._by_trade_id.get(fill.trade_id)
        if known is not None:
            if fill.fee.flat_fees and not known.fee.flat_fees:
                self._by_trade_id[fill.trade_id] = replace(known, fee=fill.fee)
            return ZERO
        before = self.base
        if not fill.trade_id.startswith(INFERRED_PREFIX):
            self._give_way(fill.amount)
        self._put(fill)
        return EXACT.subtract(self.base, before)

    def _put(self, fill: TradeUpdate) -> None:
        if self._by_trade_id is _NONE:
            self._by_trade_id = {}
        self._by_trade_id[fill.trade_id] = fill
        self.base = EXACT.add(self.base, fill.amount)
        self.quote = EXACT.add(self.quote, fill.quote_amount)

    def _take(self, trade_id: str) -> TradeUpdate:
        fill = self._by_trade_id.pop(trade_id)
        self.base = EXACT.subtract(self.base, fill.amount)
        self.quote = EXACT.subtract(self.quote, fill.quote_amount)
        return fill

    def _give_way(self, amount: Decimal) -> None:
        for trade_id in [key for key in self._by_trade_id if key.startswith(INFERRED_PREFIX)]:
            inferred = self._take(trade_id)
            left = EXACT.subtract(inferred.amount, amount)
            if left > 0:
                self._put(replace(inferred, amount=left, quote_amount=EXACT.multiply(left, inferred.price)))
                return
            amount = -left
