"""Long times without any event that nothing in the data explains: a book may have gone stale there unnoticed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kit.backtest.moments import moment
from kit.simulation import kernel_layout as layout
from kit.simulation.feed import FeedColumns
from kit.storage.events import NANOSECONDS

LIMIT: Final = 60
"""Seconds without any row of a market that are worth a word, as in ``kit.check``."""

_STRIDE: Final = 1000


def silence_note(market: str, feed: FeedColumns, start: float, end: float) -> str:
    """Return what to tell of a feed that is silent for long between two times (seconds); empty where it is not.

    Silence that ends or begins with a gap is none: the book is not relied on then. Busy feeds cost next to nothing.
    """
    first, last = np.searchsorted(feed.local_ts, [round(start * NANOSECONDS), round(end * NANOSECONDS)])
    times = feed.local_ts[max(int(first) - 1, 0) : int(last) + 1]
    codes = feed.code[max(int(first) - 1, 0) : int(last) + 1]
    rows = [row for row in _before_silence(times).tolist() if layout.GAP not in codes[row : row + 2].tolist()]
    if not rows:
        return ""
    longest = max(rows, key=lambda row: int(times[row + 1] - times[row]))
    seconds = int(times[longest + 1] - times[longest]) / NANOSECONDS
    others = f", and {len(rows) - 1} times more for over {LIMIT} s" if len(rows) > 1 else ""
    return (
        f"The data of {market} are silent for {seconds:,.0f} s from {moment(int(times[longest]))}{others}, and tell no "
        "gap: orders met a book there that may have been out of date."
    )


def _before_silence(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows after which nothing comes for longer than the limit; looks at every thousandth row first."""
    marks = np.append(np.arange(0, len(times) - 1, _STRIDE), len(times) - 1)
    slow = np.flatnonzero(np.diff(times[marks]) > LIMIT * NANOSECONDS)
    found = [
        np.flatnonzero(np.diff(times[marks[at] : marks[at + 1] + 1]) > LIMIT * NANOSECONDS) + marks[at] for at in slow
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
