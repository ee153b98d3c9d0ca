"""Columns completed, joined and put in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.storage.events import COLUMNS, EventFlag, MarketEvents
from kit.storage.importers.errors import BadFile


def filled(length: int, **columns: Any) -> dict[str, NDArray[Any]]:
    """Return every column with its dtype; scalars are spread, columns not given are 0, flags END."""
    values = {"flags": EventFlag.END} | columns
    return {
        name: np.ascontiguousarray(np.broadcast_to(np.asarray(values.get(name, 0)).astype(dtype), (length,)))
        for name, dtype in COLUMNS.items()
    }


class GrowingColumns:
    """Columns made a part at a time, in arrays that grow in place: the whole is in memory once, not twice."""

    def __init__(self) -> None:
        self.count = 0
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, dtype=dtype) for name, dtype in COLUMNS.items()}

    def append(self, part: Mapping[str, NDArray[Any]]) -> None:
        """Add rows."""
        count = self.count + len(part["local_ts"])
        for name, column in self._columns.items():
            if count > len(column):
                column.resize(count + count // 4, refcheck=False)  # nobody else has them yet
            column[self.count : count] = part[name]
        self.count = count

    def continue_message(self) -> None:
        """Take END off the last row."""
        self._columns["flags"][self.count - 1] &= ~np.uint8(EventFlag.END)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the whole; nothing may be added any more."""
        for column in self._columns.values():
            column.resize(self.count, refcheck=False)
        return self._columns


def merged(parts: Iterable[MarketEvents]) -> MarketEvents:
    """Join events of one pair in order of local time; at one time those of an earlier part come first.

    Raises ``InvalidInput`` for none, or for different markets.
    """
    given = list(parts)
    parts = [part for part in given if len(part)] or given
    if len(parts) == 1:
        return parts[0]
    joined = MarketEvents.concat(parts)
    sources = [part.info["source"] for part in parts if "source" in part.info]
    return ordered(replace(joined, info={**joined.info, "source": ", ".join(sources)}))


def ordered(events: MarketEvents) -> MarketEvents:
    """Return the events in order of local time; rows of one time keep their order."""
    if not (np.diff(events.local_ts) < 0).any():
        return events
    order = np.argsort(events.local_ts, kind="stable")
    return replace(events, **{name: getattr(events, name)[order] for name in COLUMNS})


def must_be_numbers(columns: Mapping[str, NDArray[Any]], names: Iterable[str], file: str, before: int = 0) -> None:
    """Raise ``BadFile`` for a value that is missing, infinite or negative, naming the row; ``before`` came others."""
    for name in names:
        fine = np.isfinite(columns[name]) & (columns[name] >= 0)
        if not fine.all():
            row = int(np.argmin(fine))
            raise BadFile(
                f"{file}, data row {before + row + 1}: {name} is {columns[name][row]}, no finite number from 0 up"
            )


def must_ascend(local_ts: NDArray[np.int64], name: str, first_row: int = 1) -> None:
    """Raise ``InvalidInput`` where times go back, naming the row."""
    falls = np.flatnonzero(np.diff(local_ts) < 0)
    if len(falls):
        back = (local_ts[falls[0]] - local_ts[falls[0] + 1]) / 1e9
        raise InvalidInput(
            f"{name}: the time goes back by {back:.6f} s in data row {int(falls[0]) + 1 + first_row}; sort the file by "
            "time"
        )
