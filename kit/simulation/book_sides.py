"""One side of the kernel's book, read like ``kit.market.book_side.BookSide``."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import inf

import numpy as np
from numpy.typing import NDArray

from kit.simulation import kernel_layout as layout
from kit.simulation.kernel_state import KernelState
from kit.types.market import Level

_CHUNK = 64
_ALL = 1 << 40


class KernelSide:
    """Read one side of the view: prices in quote, amounts in base, both float. Every read is of the view's moment."""

    __slots__ = ("_best", "_divide", "_flip", "_floats", "_multiply", "_qty", "_side", "_state", "_words", "is_bid")

    def __init__(self, state: KernelState, side: int, tick_size: Decimal) -> None:
        self.is_bid = side == 0
        self._state, self._words, self._floats = state, state.words, state.floats
        self._side, self._flip = side, -side
        self._best, self._qty = layout.VIEW_BEST + side, layout.VIEW_QTY + side
        # tick * multiply / divide rounds once: the float nearest to the decimal price.
        self._multiply, self._divide = tick_size.as_integer_ratio()

    @property
    def best_tick(self) -> int | None:
        """Return the best price in ticks, ``None`` if the side is empty."""
        key = self._words[self._best]
        return None if key == layout.NONE else key ^ self._flip

    @property
    def top(self) -> float:
        """Return the best price; for an empty side 0.0 (bids) or infinity (asks)."""
        key = self._words[self._best]
        if key == layout.NONE:
            return 0.0 if self.is_bid else inf
        return (key ^ self._flip) * self._multiply / self._divide

    @property
    def best(self) -> Level | None:
        """Return the best level as (price, amount), ``None`` if the side is empty."""
        key = self._words[self._best]
        if key == layout.NONE:
            return None
        return (key ^ self._flip) * self._multiply / self._divide, self._floats[self._qty]

    def amount_at(self, tick: int) -> float:
        """Return the amount (base) displayed at a price in ticks, 0.0 if none."""
        words = self._words
        words[layout.ARG], words[layout.ARG + 1] = self._side, tick ^ self._flip
        self._state.act(layout.AMOUNT)
        return self._floats[layout.OUT]

    def ticks(self, count: int = _ALL) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return prices (ticks) and amounts (base) of up to ``count`` levels, best first."""
        keys, amounts = self._state.read_levels(self._side, count)
        return keys[:count] ^ self._flip, amounts[:count]

    def first(self, count: int) -> list[Level]:
        """Return up to ``count`` levels as (price, amount), best first."""
        ticks, amounts = self.ticks(count)
        prices = ticks * self._multiply / self._divide
        return list(zip(prices.tolist(), amounts.tolist(), strict=True))

    def walk(self) -> Iterator[Level]:
        """Yield the levels, best first; the first ones are read at once, all others when the walk gets there."""
        levels = self.first(_CHUNK)
        yield from levels
        if len(levels) == _CHUNK:
            yield from self.first(_ALL)[_CHUNK:]

    @property
    def levels(self) -> dict[float, float]:
        """Return all levels, price to amount, best first."""
        return dict(self.first(_ALL))

    def __len__(self) -> int:
        return len(self.ticks()[0])
