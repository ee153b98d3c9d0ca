"""The money of one simulated account: what it has, what its open orders hold, and proof that none was made or lost."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from kit.errors import InsufficientBalance, InvalidInput, InvariantBroken
from kit.orders.exact import EXACT, ZERO
from kit.types.orders import Balance

LARGEST = Decimal(10) ** 18
"""No balance may begin above this."""


def checked_balances(balances: Mapping[str, object]) -> dict[str, Decimal]:
    """Return starting balances by asset as exact decimals, zeros kept; a float is taken as it is written.

    Raises ``InvalidInput``, naming asset and value, for text that is no number, NaN, infinity and negative amounts.
    """
    if not isinstance(balances, Mapping):
        raise InvalidInput(
            f"balances is {balances!r}; give a dict of amounts by asset, as in {{'USDT': 10000, 'BTC': '0.5'}}"
        )
    return {_asset(asset): _amount(asset, value) for asset, value in balances.items()}


def _asset(asset: object) -> str:
    if not isinstance(asset, str) or not asset:
        raise InvalidInput(f"balances names an asset {asset!r}; give its code as text, such as 'USDT'")
    return asset


def _amount(asset: object, value: object) -> Decimal:
    try:
        # A yes or no is a mistake, not 1 or 0.
        value = repr(value) if isinstance(value, bool) else value
        amount = Decimal(repr(float(value))) if isinstance(value, float) else Decimal(str(value))
    except (ArithmeticError, ValueError):
        raise InvalidInput(
            f"the balance of {asset} is {value!r}, which is no number; give 10000, '0.5' or a Decimal"
        ) from None
    if not amount.is_finite() or not 0 <= amount <= LARGEST:
        raise InvalidInput(f"the balance of {asset} is {value!r}; it must be from 0 to 10^18 {asset}")
    return amount


class _Hold:
    __slots__ = ("amount", "asset")

    def __init__(self, asset: str, amount: Decimal) -> None:
        self.asset = asset
        self.amount = amount


class Ledger:
    """Exact balances by asset; every posting has two sides, against the market or the exchange's fee account.

    What an order may cost is held from its placement until it is spent or released, so nothing is spent twice and no
    balance falls below zero. ``fees`` is what was paid by asset (negative: rebates earned).
    """

    def __init__(self, balances: Mapping[str, Decimal]) -> None:
        self._initial: dict[str, Decimal] = dict(balances)
        self._totals: dict[str, Decimal] = dict(balances)
        self._held: dict[str, Decimal] = {}
        self._holds: dict[int, _Hold] = {}
        self._market: dict[str, Decimal] = {}
        self.fees: dict[str, Decimal] = {}

    @property
    def assets(self) -> tuple[str, ...]:
        """Return every asset that the account has, or ever had."""
        return tuple(self._totals)

    def total(self, asset: str) -> Decimal:
        """Return what the account has of an asset, held or not."""
        return self._totals.get(asset, ZERO)

    def available(self, asset: str) -> Decimal:
        """Return what is not held by an order."""
        return EXACT.subtract(self._totals.get(asset, ZERO), self._held.get(asset, ZERO))

    def balance(self, asset: str) -> Balance:
        """Return both, as an exchange reports them."""
        return Balance(self._totals.get(asset, ZERO), self.available(asset))

    def deposit(self, asset: str, amount: Decimal) -> None:
        """Add an amount to what the account began with."""
        for amounts in (self._initial, self._totals):
            amounts[asset] = EXACT.add(amounts.get(asset, ZERO), amount)

    def hold(self, order_id: int, asset: str, amount: Decimal) -> None:
        """Set ``amount`` aside for an order. Raises ``InsufficientBalance``, with nothing held."""
        if amount > self.available(asset):
            raise InsufficientBalance(
                f"account has insufficient balance: the order needs {amount.normalize():f} {asset}, "
                f"{self.available(asset).normalize():f} {asset} is available of {self.total(asset).normalize():f}"
            )
        self._holds[order_id] = _Hold(asset, amount)
        self._held[asset] = EXACT.add(self._held.get(asset, ZERO), amount)

    def spend(self, order_id: int, hold: Decimal, paid: Decimal) -> None:
        """Pay ``paid`` to the market out of an order's hold, of which ``hold`` ends with it (the rest comes free)."""
        held = self._holds[order_id]
        asset = held.asset
        held.amount = EXACT.subtract(held.amount, hold)
        self._held[asset] = EXACT.subtract(self._held[asset], hold)
        self._post(asset, EXACT.minus(paid), self._market)
        if held.amount < 0 or paid > hold:
            raise InvariantBroken(f"order {order_id} paid {paid} {asset} out of a hold of {hold}, {held.amount} left")

    def receive(self, asset: str, amount: Decimal) -> None:
        """Take an amount from the market."""
        self._post(asset, amount, self._market)

    def charge(self, asset: str, fee: Decimal) -> None:
        """Pay a fee, or take a rebate where it is negative."""
        self._post(asset, EXACT.minus(fee), self.fees)

    def release(self, order_id: int) -> None:
        """End an order's hold; what is left of it comes free. Harmless for an order that holds nothing."""
        held = self._holds.pop(order_id, None)
        if held is not None:
            self._held[held.asset] = EXACT.subtract(self._held[held.asset], held.amount)

    def imbalances(self) -> dict[str, Decimal]:
        """Return by asset what the account has beyond its beginning, the market's side and the fees: all zero."""
        result = {}
        for asset, amount in self._totals.items():
            other = EXACT.add(self._market.get(asset, ZERO), self.fees.get(asset, ZERO))
            result[asset] = EXACT.subtract(EXACT.add(amount, other), self._initial.get(asset, ZERO))
        return result

    def _post(self, asset: str, change: Decimal, other: dict[str, Decimal]) -> None:
        total = self._totals[asset] = EXACT.add(self._totals.get(asset, ZERO), change)
        other[asset] = EXACT.subtract(other.get(asset, ZERO), change)
        if total < 0:
            raise InvariantBroken(f"the simulated balance of {asset} fell to {total}")
