"""Times of unknown unit made into nanoseconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.storage.importers.errors import BadFile

_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
"""Below the first number (the year 5138 in that unit) a time is in units of the second, in ns."""


def nanoseconds(stamps: NDArray[np.int64], name: str, before: int = 0) -> NDArray[np.int64]:
    """Return times in ns since the epoch; s, ms, µs or ns are told apart by their size (of the first one).

    ``name`` is the file's, ``before`` the number of rows before these. Raises ``BadFile`` for times before
    1990 or of different units in one file.
    """
    if not len(stamps):
        return stamps.astype(np.int64)
    low, high = int(stamps.min()), int(stamps.max())
    scale = _scale(high)
    # 1990 is 6.3e8 s; what is below in the unit of the highest is of another unit, or no time
    if low * scale < 630_000_000 * 10**9:
        row = before + int(np.argmin(stamps)) + 1
        raise BadFile(f"{name}: the time {low} (data row {row}) is none, or not in the unit of {high}: split the file")
    return stamps.astype(np.int64) * scale


def _scale(stamp: int) -> int:
    return next((scale for limit, scale in _UNITS if stamp < limit), 1)
