"""The base of what tells a strategy a price, and how its answers are read."""

from __future__ import annotations

import inspect
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from kit.core.clock import Clock
from kit.errors import InvalidInput
from kit.types.market import PriceType

NAN: Final = Decimal("NaN")
_LOWEST: Final = Decimal("1e-15")
_HIGHEST: Final = Decimal("1e15")


class PriceSource:
    """Something that knows a price in quote. A subclass needs ``price`` only.

    A strategy calls ``start`` and ``stop`` as it starts and stops, and ``tick`` once before it asks. ``knows_types``
    tells that ``price`` minds the type that it is asked for, as a market does; others know one price.
    """

    name: str = "price source"
    knows_types: bool = False

    def __repr__(self) -> str:
        problem = f": {self.problem}" if self.problem else ""
        return f"<{type(self).__name__} {self.name}{problem}>"

    def start(self, clock: Clock) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""

    def tick(self, now: float, interval: float, stale_after: float | None) -> None:
        """Take note of the time and of the settings, all in seconds."""

    def price(self, price_type: PriceType) -> Decimal | float | str | None:
        """Return the price, as any kind of number; ``None`` or NaN where there is none."""
        raise NotImplementedError

    @property
    def problem(self) -> str:
        """Return why there is no price now; empty where there is one."""
        return ""


def is_price(number: Decimal) -> bool:
    """Tell whether a number may be a price: from 1e-15 to 1e15, beyond which nothing is traded, nor exact."""
    return number.is_finite() and _LOWEST <= number <= _HIGHEST


def read_price(source: PriceSource, answer: Any) -> Decimal:
    """Return what ``price`` answered as a ``Decimal``, NaN for ``None``; raises ``InvalidInput`` for no number."""
    if isinstance(answer, Decimal):
        return answer
    if answer is None:
        return NAN
    if isinstance(answer, int | float | str) and not isinstance(answer, bool):
        try:
            return Decimal(str(answer).strip())
        except InvalidOperation:
            pass
    if inspect.iscoroutine(answer):
        answer.close()
        raise InvalidInput(
            f"price() of price source {source.name} must answer at once, but it is async; give the async function "
            f"itself as price_source, and it is awaited in the background"
        )
    raise InvalidInput(
        f"price() of price source {source.name} returned {str(answer)[:40]!r} ({type(answer).__name__}), which is no "
        f"price; return a Decimal, int, float or a text such as '101.5', and None where there is no price"
    )
