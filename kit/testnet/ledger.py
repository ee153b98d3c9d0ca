"""Accounts and the double-entry ledger of the test exchange.

Every movement takes units from one account and gives the same units to another, so that each asset sums to zero over
all accounts, always: what traders hold, what the exchange earned in fees, and, negative, what came in from outside.
``Ledger.imbalances`` adds it up from the balances themselves.
"""

from __future__ import annotations

from decimal import Decimal

from kit.errors import InvalidInput
from kit.testnet.symbols import UNITS, SymbolInfo, to_units


class Account:
    """A trader's account; balances in units of 1e-8 by asset.

    ``unlimited`` accounts (the market's own) may go negative, lock nothing for their orders and get no execution
    reports. ``fee_rates`` holds (maker, taker) in units of 1e-8 by symbol where they differ from the symbol's own.
    """

    __slots__ = (
        "account_id",
        "api_key",
        "fee_free",
        "fee_rates",
        "free",
        "locked",
        "name",
        "secret",
        "unlimited",
        "updated_ms",
    )

    def __init__(
        self,
        name: str,
        api_key: str = "",
        secret: str = "",
        *,
        fee_free: bool = False,
        unlimited: bool = False,
        account_id: int = 0,
    ) -> None:
        self.name = name
        self.api_key = api_key
        self.secret = secret
        self.fee_free = fee_free
        self.unlimited = unlimited
        self.account_id = account_id
        self.fee_rates: dict[str, tuple[int, int]] = {}
        self.free: dict[str, int] = {}
        self.locked: dict[str, int] = {}
        self.updated_ms = 0

    def __repr__(self) -> str:
        return f"Account({self.name!r})"

    @property
    def has_stream(self) -> bool:
        """Tell whether the account's orders are indexed and reported (all but the market's own)."""
        return not self.unlimited

    def total(self, asset: str) -> int:
        """Return free plus locked units of an asset."""
        return self.free.get(asset, 0) + self.locked.get(asset, 0)

    def can_pay(self, asset: str, units: int) -> bool:
        """Tell whether that many units are free; always so for unlimited accounts."""
        return self.unlimited or self.free.get(asset, 0) >= units

    def rates(self, info: SymbolInfo) -> tuple[int, int]:
        """Return the (maker, taker) fee rates on a symbol in units of 1e-8."""
        if self.fee_free:
            return (0, 0)
        known = self.fee_rates.get(info.symbol)
        if known is None:
            known = self.fee_rates[info.symbol] = (rate_units(info.maker_fee), rate_units(info.taker_fee))
        return known

    def set_fees(self, symbol: str, maker: Decimal, taker: Decimal) -> None:
        """Give the account its own fee fractions on a symbol."""
        self.fee_rates[symbol] = (rate_units(maker), rate_units(taker))


def rate_units(rate: Decimal) -> int:
    """Return a fee fraction in units of 1e-8; raises ``InvalidInput`` unless -1 < rate < 1 with 8 decimals."""
    units = to_units(rate)
    if units is None or not -UNITS < units < UNITS:
        raise InvalidInput(f"fee {rate} is not a fraction between -1 and 1 with at most 8 decimals")
    return units


def fee_units(units: int, rate: int) -> int:
    """Return the fee on ``units`` received at ``rate`` (1e-8), cut towards zero to a whole unit."""
    return units * rate // UNITS if rate >= 0 else -(units * -rate // UNITS)


class Ledger:
    """Moves units between accounts and proves that none were made or lost."""

    def __init__(self) -> None:
        self.outside = Account("outside", unlimited=True)
        self.fees = Account("fees", unlimited=True)
        self.accounts: list[Account] = [self.outside, self.fees]

    def open(self, account: Account) -> None:
        """Add an account to the books."""
        self.accounts.append(account)

    def deposit(self, account: Account, asset: str, units: int) -> None:
        """Bring units in from outside (negative: take them out); raises ``InvalidInput`` when more than is free."""
        if not account.can_pay(asset, -units):
            raise InvalidInput(
                f"cannot take {-units} units of {asset} out of {account.name}: only {account.free.get(asset, 0)} free"
            )
        self.move(asset, units, self.outside, account)

    @staticmethod
    def move(asset: str, units: int, source: Account, target: Account) -> None:
        """Move free units from one account to another: the one posting that all others are made of."""
        free = source.free
        free[asset] = free.get(asset, 0) - units
        free = target.free
        free[asset] = free.get(asset, 0) + units

    @staticmethod
    def lock(account: Account, asset: str, units: int) -> None:
        """Hold free units for an open order (negative: give them back)."""
        account.free[asset] = account.free.get(asset, 0) - units
        account.locked[asset] = account.locked.get(asset, 0) + units

    def imbalances(self) -> dict[str, int]:
        """Return the sum of every asset over all accounts, which is zero unless a posting was one-sided."""
        sums: dict[str, int] = {}
        for account in self.accounts:
            for balances in (account.free, account.locked):
                for asset, units in balances.items():
                    sums[asset] = sums.get(asset, 0) + units
        return sums
