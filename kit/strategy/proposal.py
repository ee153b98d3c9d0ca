"""What a strategy would like to have in the market, before it is sent: prices and sizes of both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple, cast

from kit.errors import InvalidInput


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


def checked(made: object, stage: str) -> Proposal:
    """Return what a stage made, its sides as tuples; raises ``InvalidInput`` that names the stage for what is none."""
    if not isinstance(made, Proposal):
        what = "None" if made is None else f"a {type(made).__name__}"
        raise InvalidInput(
            f"stage {stage} returned {what}; a stage returns a kit.Proposal, such as the one it was given"
        )
    return Proposal(*(_side(name, entries, stage) for name, entries in zip(made._fields, made, strict=True)))


def _side(name: str, entries: object, stage: str) -> tuple[PriceSize, ...]:
    if not isinstance(entries, Iterable):
        raise InvalidInput(f"stage {stage} made {name} of {entries!r}; give a tuple of kit.PriceSize")
    side = tuple(entries)
    for entry in side:
        if not isinstance(entry, PriceSize):
            raise InvalidInput(f"stage {stage} has {entry!r} among its orders; an order is a kit.PriceSize")
        for what, number in (("price", entry.price), ("size", entry.size)):
            if not (isinstance(number, Decimal) and number.is_finite()):
                raise InvalidInput(
                    f"stage {stage} made a {what} of {number!r} ({type(number).__name__}); give a Decimal, such as "
                    f"entry.{what} * Decimal('0.99')"
                )
    return side


EMPTY = Proposal()
"""The proposal that wishes nothing; what the first stage of a pipeline receives."""
