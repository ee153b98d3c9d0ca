"""Market messages turned into rows of events, many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, TypeAlias

import numpy as np

from kit.storage.events import BUY, SELL, EventFlag, EventKind, MarketEvents
from kit.types.market import Level

Entry: TypeAlias = tuple[int, int, float, int, Sequence[Level], Sequence[Level]]
"""A message to be recorded: local time (ns), kind, exchange time (s, 0 unknown), id, bids, asks.

The kind is DEPTH (changed levels), SNAPSHOT (all levels), TRADE (one "level" on the taker's side) or GAP (none).
"""

_NOTHING: Final[Level] = (0.0, 0.0)

_GAP, _SNAPSHOT, _CLEAR = int(EventKind.GAP), int(EventKind.SNAPSHOT), int(EventKind.CLEAR)


def rows_of(entry: Entry) -> int:
    """Return how many rows an entry makes."""
    return len(entry[4]) + len(entry[5]) + (entry[1] in (_GAP, _SNAPSHOT))


def build(exchange: str, trading_pair: str, entries: Sequence[Entry], info: Mapping[str, str]) -> MarketEvents:
    """Return the rows of entries: a snapshot is a CLEAR row and its levels; the last row of each has the END flag."""
    levels: list[Sequence[Level]] = []
    kinds: list[int] = []
    sides: list[int] = []
    lengths: list[int] = []
    counts: list[int] = []
    for entry in entries:
        _, kind, _, _, bids, asks = entry
        if kind in (_GAP, _SNAPSHOT):
            levels.append((_NOTHING,))
            kinds.append(_GAP if kind == _GAP else _CLEAR)
            sides.append(0)
            lengths.append(1)
        levels += (bids, asks)
        kinds += (kind, kind)
        sides += (BUY, SELL)
        lengths += (len(bids), len(asks))
        counts.append(rows_of(entry))
    numbers = np.fromiter(chain.from_iterable(chain.from_iterable(levels)), np.float64, 2 * sum(lengths))
    flags = np.zeros(sum(lengths), np.uint8)
    flags[np.cumsum(counts) - 1] = EventFlag.END
    return MarketEvents(
        exchange,
        trading_pair,
        np.repeat(np.array([_nanoseconds(entry[2]) for entry in entries], np.int64), counts),
        np.repeat(np.array([entry[0] for entry in entries], np.int64), counts),
        np.repeat(np.array(kinds, np.uint8), lengths),
        np.repeat(np.array(sides, np.int8), lengths),
        np.ascontiguousarray(numbers[0::2]),
        np.ascontiguousarray(numbers[1::2]),
        np.repeat(np.array([entry[3] for entry in entries], np.int64), counts),
        flags,
        info,
    )


def _nanoseconds(seconds: float) -> int:
    """Return whole nanoseconds; exchanges tell no more than microseconds, the rest is the float's error."""
    return round(seconds * 1e6) * 1000
