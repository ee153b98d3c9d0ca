"""Trading symbols of the test exchange, and the integers that the engine counts in.

Inside the engine nothing is a ``Decimal``: a price is a number of *ticks*, a quantity a number of *lots* (steps), and
every amount in the ledger a number of *units* of 1e-8. ``SymbolInfo`` holds the factors between them and refuses a
symbol whose factors are not whole, so that ``ticks * lots * quote_units`` is exact and needs no rounding anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Literal, TypeAlias

from kit.errors import InvalidInput

UNITS = 10**8
"""Ledger units in one whole coin of any asset."""

Side: TypeAlias = Literal["BUY", "SELL"]


MAX_DIGITS = 30
"""Amounts of more digits before the point are refused: no exchange deals in them, and they only cost time."""


def to_units(amount: Decimal) -> int | None:
    """Return ``amount`` in units of 1e-8, exactly; ``None`` when it is no finite, sane multiple of 1e-8."""
    if not amount.is_finite():
        return None
    if not amount:
        return 0
    if not -8 <= amount.adjusted() < MAX_DIGITS:
        return None
    numerator, denominator = amount.as_integer_ratio()
    units, rest = divmod(numerator * UNITS, denominator)
    return None if rest else units


def units_text(units: int) -> str:
    """Return ledger units as the exchange writes amounts: eight decimals, such as ``"0.00100000"``."""
    if units < 0:
        return "-" + units_text(-units)
    whole, rest = divmod(units, UNITS)
    return f"{whole}.{rest:08d}"


def _whole(value: Decimal, what: str, symbol: str) -> int:
    units = to_units(value)
    if units is None:
        raise InvalidInput(f"{what} {value} of {symbol} is not a whole number of 1e-8; choose coarser steps")
    return units


@dataclass(frozen=True)
class SymbolInfo:
    """What the exchange states about one symbol.

    ``tick_size``, ``min_price`` and ``max_price`` are in quote per base, ``step_size``, ``min_qty`` and ``max_qty`` in
    base, ``min_notional`` and ``max_notional`` in quote. ``percent_price_up`` and ``percent_price_down`` multiply the
    average price of the last five minutes and bound a limit price. Fees are fractions (0.001 is 0.1 %) and are taken
    from what a fill returns: base for a buyer, quote for a seller.
    Raises ``InvalidInput`` when the steps are not whole in ledger units.
    """

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    step_size: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    max_notional: Decimal = Decimal(9_000_000)
    min_price: Decimal | None = None
    max_price: Decimal = Decimal(1_000_000)
    max_num_orders: int = 200
    percent_price_up: Decimal = Decimal(5)
    percent_price_down: Decimal = Decimal("0.2")
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")
    default_stp_mode: str = "EXPIRE_MAKER"

    def __post_init__(self) -> None:
        for name, size in (("tick_size", self.tick_size), ("step_size", self.step_size)):
            if not (size.is_finite() and size > 0):
                raise InvalidInput(f"{name} of {self.symbol} is {size}; it must be above zero")
        _ = self.quote_units, self.percent_units  # so that a bad symbol fails when it is made, not in a trade

    @cached_property
    def tick_units(self) -> int:
        """Quote units of one tick of price (for one whole base coin)."""
        return _whole(self.tick_size, "tick_size", self.symbol)

    @cached_property
    def lot_units(self) -> int:
        """Base units of one lot."""
        return _whole(self.step_size, "step_size", self.symbol)

    @cached_property
    def quote_units(self) -> int:
        """Quote units of one lot at one tick: a trade is worth ``ticks * lots * quote_units``."""
        return _whole(self.tick_size * self.step_size, "tick_size times step_size", self.symbol)

    @cached_property
    def percent_units(self) -> tuple[int, int]:
        """The price filter's (down, up) multipliers in units of 1e-8."""
        return (
            _whole(self.percent_price_down, "percent_price_down", self.symbol),
            _whole(self.percent_price_up, "percent_price_up", self.symbol),
        )

    def ticks(self, price: Decimal) -> int | None:
        """Return a price in ticks, ``None`` when it is not a multiple of the tick size."""
        return _multiple(price, self.tick_units)

    def lots(self, qty: Decimal) -> int | None:
        """Return a quantity in lots, ``None`` when it is not a multiple of the step size."""
        return _multiple(qty, self.lot_units)

    def price(self, ticks: int) -> Decimal:
        """Return a price in quote per base."""
        return ticks * self.tick_size

    def qty(self, lots: int) -> Decimal:
        """Return a quantity in base."""
        return lots * self.step_size

    def price_text(self, ticks: int) -> str:
        """Return a price as the wire writes it, with eight decimals."""
        return units_text(ticks * self.tick_units)

    def qty_text(self, lots: int) -> str:
        """Return a quantity as the wire writes it, with eight decimals."""
        return units_text(lots * self.lot_units)


def _multiple(value: Decimal, step_units: int) -> int | None:
    units = to_units(value)
    if units is None:
        return None
    count, rest = divmod(units, step_units)
    return None if rest else count


BTCUSDT = SymbolInfo(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.01"),
    step_size=Decimal("0.00001"),
    min_qty=Decimal("0.00001"),
    max_qty=Decimal(9000),
    min_notional=Decimal(5),
)
ETHUSDT = SymbolInfo(
    symbol="ETHUSDT",
    base="ETH",
    quote="USDT",
    tick_size=Decimal("0.01"),
    step_size=Decimal("0.0001"),
    min_qty=Decimal("0.0001"),
    max_qty=Decimal(9000),
    min_notional=Decimal(5),
)
DEFAULT_SYMBOLS: tuple[SymbolInfo, ...] = (BTCUSDT, ETHUSDT)
"""The symbols of a test exchange that was asked for no others, with Binance's filters of 2024."""
