"""Floats that came from decimal text, kept as scaled integers: smaller on disk, and exact."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_DECIMALS: Final = 22
"""Powers of ten up to this one are exact floats, so that dividing by them rounds correctly."""

_MAX_SCALED: Final = float(2**53)
_PROBE: Final = 256


def scale(values: NDArray[np.float64], decimals: int = 0) -> tuple[NDArray[np.int64], int] | None:
    """Return integers and a number of decimals, at least ``decimals``, with ``unscale(...) == values`` exactly.

    ``None`` when there is none: NaN, infinities, and floats that no decimal number of 15 digits or so comes out as.
    """
    probe = values[:: max(len(values) // _PROBE, 1)]
    while decimals <= MAX_DECIMALS:
        if _scaled(probe, decimals) is not None and (scaled := _scaled(values, decimals)) is not None:
            return scaled, decimals
        decimals += 1
    return None


def unscale(scaled: NDArray[np.int64], decimals: int) -> NDArray[np.float64]:
    """Return the floats nearest to ``scaled`` / 10**``decimals``."""
    return scaled / 10.0**decimals


def _scaled(values: NDArray[np.float64], decimals: int) -> NDArray[np.int64] | None:
    power = 10.0**decimals
    with np.errstate(invalid="ignore", over="ignore"):
        rounded = np.rint(values * power)
        # Above 2**53 the integer need not survive; NaN fails the comparison too.
        if not np.all(np.abs(rounded) < _MAX_SCALED) or not np.array_equal(rounded / power, values):
            return None
    return rounded.astype(np.int64)
