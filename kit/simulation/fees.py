"""What a fill costs: a fraction of its value, apart for makers and takers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from kit.errors import InvalidInput


@dataclass(frozen=True)
class Fees:
    """Fees as fractions of a fill's quote value: ``Decimal("0.001")`` is 0.1 %; a negative one is a rebate.

    Raises ``InvalidInput`` for values outside of -0.1 to 0.1, which are percentages by mistake.
    """

    maker: Decimal
    taker: Decimal

    def __post_init__(self) -> None:
        for name in ("maker", "taker"):
            given = getattr(self, name)
            try:
                value = Decimal(str(given))
            except ArithmeticError as error:
                raise InvalidInput(f"{name} fee is {given!r}; give a number such as Decimal('0.001')") from error
            if not (value.is_finite() and abs(value) <= Decimal("0.1")):
                raise InvalidInput(
                    f"{name} fee is {given!r}; fees are fractions between -0.1 and 0.1 (0.1 % is Decimal('0.001'), a "
                    "rebate is negative)"
                )
            object.__setattr__(self, name, value)

    def rate(self, *, maker: bool) -> Decimal:
        """Return the fraction that a maker's or taker's fill costs."""
        return self.maker if maker else self.taker

    def of(self, quote: Decimal, *, maker: bool) -> Decimal:
        """Return the fee of a fill worth ``quote``, in quote; negative is a rebate."""
        return quote * (self.maker if maker else self.taker)
