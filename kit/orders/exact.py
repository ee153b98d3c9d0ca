"""Decimal arithmetic that does not depend on the precision a notebook may have set."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal

EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
"""Sums and products of amounts and prices are exact in it: exchanges send at most some thirty digits."""

QUOTIENT = Context(prec=34, rounding=ROUND_DOWN)
"""Quotients have no exact form; they are cut, never rounded up, so that nothing derived from them overspends."""

_SHARE = Context(prec=34, rounding=ROUND_CEILING)

ZERO = Decimal(0)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum, zero for nothing."""
    result = ZERO
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def floor_to_step(amount: Decimal, step: Decimal) -> Decimal:
    """Return the greatest multiple of ``step`` that is not above ``amount``; a step of zero or less means no steps.

    ``amount`` is finite and not negative.
    """
    if step <= 0:
        return amount
    return EXACT.multiply(EXACT.divide_int(amount, step), step)


def share_of(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """Return ``amount * part / whole``, rounded up so that what is held for a part never falls short of it."""
    return _SHARE.divide(EXACT.multiply(amount, part), whole)
