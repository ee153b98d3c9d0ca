"""What a strategy would like to have in the market, before it is sent: prices and sizes of both sides."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple, cast


class PriceSize(NamedTuple):
    """One wished order: ``price`` in quote, ``size`` in base.

    ``level`` counts from 0, the nearest to the reference price, and stays with the order when stages drop others.
    A tuple, as a tick makes dozens of them; ``entry._replace(size=…)`` gives a changed copy.
    """

    price: Decimal
    size: Decimal
    level: int | None = None


price_size: Final = cast(
    "Callable[[tuple[Decimal, Decimal, int | None]], PriceSize]", partial(tuple.__new__, PriceSize)
)
"""Make a ``PriceSize`` of a tuple, at a third of the cost of calling the class: for loops over levels."""


class Proposal(NamedTuple):
    """The wished orders of both sides, nearest level first. Immutable: a stage returns a new one."""

    buys: tuple[PriceSize, ...] = ()
    sells: tuple[PriceSize, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether neither side wishes anything."""
        return not self.buys and not self.sells

    def __repr__(self) -> str:
        def side(entries: tuple[PriceSize, ...]) -> str:
            return ", ".join(f"{entry.size} @ {entry.price}" for entry in entries) or "none"

        return f"Proposal(buys: {side(self.buys)}; sells: {side(self.sells)})"


EMPTY = Proposal()
"""The proposal that wishes nothing; what the first stage of a pipeline receives."""
