"""Where in a recording a replay may begin: at rows that tell the whole book, whatever came before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kit.storage.events import BUY, SELL, EventKind
from kit.storage.parquet_files import PartFile, PartInfo


def last_whole_book(parts: Iterable[tuple[Path, PartInfo]], until: int) -> int | None:
    """Return the local time (ns) of the last whole book received by ``until``, ``None`` if there is none.

    ``parts`` are the files in order of time; they are looked at from the latest on, and only a few columns of a few
    row groups. Raises ``InvalidInput`` for damage and ``FileNotFoundError``.
    """
    for path, info in reversed(list(parts)):
        if info.first > until or not info.count(EventKind.CLEAR):
            continue
        file = PartFile(path)
        try:
            for group in reversed(file.row_groups(info.first, until + 1)):
                found = _last_clear(file, group, until)
                if found is not None:
                    return found
        finally:
            file.close()
    return None


def _last_clear(file: PartFile, group: int, until: int) -> int | None:
    """Return the time of a row group's last message that clears both sides, which a snapshot follows."""
    columns = file.read([group], ("local_ts", "kind", "side"))
    clears = (columns["kind"] == EventKind.CLEAR) & (columns["local_ts"] <= until)
    times, sides = columns["local_ts"][clears], columns["side"][clears]
    both = times[sides == 0]
    apart = np.intersect1d(times[sides == BUY], times[sides == SELL])
    return max((int(found[-1]) for found in (both, apart) if len(found)), default=None)
