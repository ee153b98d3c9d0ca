"""What fills were worth some seconds later: the price that informed counterparties make a market maker pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from kit.backtest.pnl import ValuedFill
from kit.backtest.run_record import Floats
from kit.backtest.valuation import Valuation

HORIZONS: Final = (1.0, 5.0, 30.0, 60.0)
"""Seconds after a fill at which it is looked at again."""


def mids_after(times: Floats, mids: Floats, at: Floats, max_gap: float) -> Floats:
    """Return the mid price at each time of ``at``: the straight line between the known samples around it.

    NaN before the first and after the last known sample, and where those around are more than ``max_gap`` seconds
    apart. ``times`` rise; NaN in ``mids`` is an unknown sample. Steps instead of lines would take the price of up to a
    tick earlier, and so hide a part of the move at short horizons.
    """
    known = np.isfinite(mids)
    times, mids = times[known], mids[known]
    if not len(times):
        return np.full(len(at), np.nan)
    after = np.clip(np.searchsorted(times, at, side="left"), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    exact_hit = times[after] == at
    gap = times[after] - times[before]
    inside = (at > times[0]) & (at < times[-1]) & (gap <= max_gap) & (gap > 0)
    share = np.divide(at - times[before], gap, out=np.zeros(len(at)), where=gap > 0)
    line = mids[before] + (mids[after] - mids[before]) * share
    return np.where(exact_hit, mids[after], np.where(inside, line, np.nan))


def moves_after(fills: Sequence[ValuedFill], valuation: Valuation, horizon: float, tick_size: float) -> Floats:
    """Return for each fill the mid price ``horizon`` seconds later less the mid price at the fill, in its pair's quote.

    The sign is the fill's: positive moves are in its favour. NaN where the run ended before, or prices were missing for
    longer than the horizon and two ticks.
    """
    moves = np.full(len(fills), np.nan)
    markets = np.array([fill.market for fill in fills], dtype=np.int64)
    at = np.array([fill.record.event.timestamp for fill in fills], dtype=np.float64)
    for market in np.unique(markets):
        mine = markets == market
        later = mids_after(valuation.times, valuation.raw_mids[:, market], at[mine] + horizon, horizon + 2 * tick_size)
        moves[mine] = later
    mids = np.array([fill.mid for fill in fills], dtype=np.float64)
    signs = np.array([fill.sign for fill in fills], dtype=np.float64)
    return signs * (moves - mids)
