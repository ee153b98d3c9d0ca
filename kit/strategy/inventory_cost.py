"""What the base held has cost: a running average over the strategy's own fills."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from kit.types.events import OrderFilledEvent
from kit.types.market import TradeType
from kit.types.orders import TradeFee

_ZERO = Decimal(0)


class InventoryCost:
    """The average cost of a base inventory, in quote per base (formula 13).

    Buys add what they brought and what they cost, fees included; sells take base away at the average, which stays as
    it is. Sells of more than is known leave nothing, and the price unknown. A buy's fee in a third asset is converted
    to quote where its price is known, and left out where it is not, so that the average is too low by it. A sell's fee
    in a third asset makes what is left no dearer.
    """

    __slots__ = ("_base", "_quote")

    def __init__(self) -> None:
        self._base = _ZERO
        self._quote = _ZERO

    @property
    def price(self) -> Decimal | None:
        """Return the average cost; ``None`` where nothing is known."""
        return self._quote / self._base if self._base > 0 else None

    def seed(self, base: Decimal, price: Decimal) -> None:
        """Begin with an inventory that was bought at ``price``."""
        self._base, self._quote = base, base * price

    def fill(
        self,
        event: OrderFilledEvent,
        base_asset: str,
        quote_asset: str,
        price_of: Callable[[str], Decimal | None] = lambda _: None,
    ) -> tuple[str, ...]:
        """Note a fill of an own order; return the assets of fees that were left out.

        ``price_of`` tells what another asset costs in quote, ``None`` where nobody knows.
        """
        if event.trade_type is TradeType.BUY:
            self._base += event.amount - event.trade_fee.amount_of(base_asset)
            self._quote += event.amount * event.price + event.trade_fee.amount_of(quote_asset)
            return self._add_others(event.trade_fee, (base_asset, quote_asset), price_of)
        price = self.price
        sold = event.amount + event.trade_fee.amount_of(base_asset)
        if price is None or sold >= self._base:
            self._base = self._quote = _ZERO
        else:
            self._base -= sold
            self._quote -= sold * price
        return ()

    def _add_others(
        self, fee: TradeFee, own: tuple[str, str], price_of: Callable[[str], Decimal | None]
    ) -> tuple[str, ...]:
        unpriced = []
        for part in fee.flat_fees:
            if part.token in own or not part.amount:
                continue
            price = price_of(part.token)
            if price is None:
                unpriced.append(part.token)
            else:
                self._quote += part.amount * price
        return tuple(unpriced)
