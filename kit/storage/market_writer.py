"""The files of one market, written part by part and merged into few."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from kit.errors import InvalidInput
from kit.storage.events import NANOSECONDS, MarketEvents
from kit.storage.folder_lock import FolderLock
from kit.storage.parquet_files import PartFile, PartInfo, write_part
from kit.storage.part_names import DAY, PartName, day_folder, market_folder, parse, void

logger = logging.getLogger(__name__)

FULL: Final = 1_000_000
"""Rows of a file that is large enough: merging never makes more, so that it never takes long."""

FANOUT: Final = 32
"""How many files of about one size are merged into one while recording goes on."""


@dataclass(frozen=True)
class Part:
    """A file that is there."""

    folder: Path
    name: PartName
    rows: int
    size: int

    @property
    def path(self) -> Path:
        """Return where it is."""
        return self.folder / str(self.name)

    @property
    def full(self) -> bool:
        """Tell whether it is no more merged."""
        return self.rows * 2 > FULL


class MarketWriter:
    """Append events of one pair of one exchange to a recording.

    Used by one thread at a time. Raises ``InvalidInput`` when another writer is at work there, when the folder cannot
    be written or what is there cannot be read, and ``OSError``.
    """

    def __init__(self, root: Path, exchange: str, trading_pair: str) -> None:
        self.folder = market_folder(root, exchange, trading_pair)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.folder)
        except OSError as error:
            raise InvalidInput(f"nothing can be written into {root} ({error}); record into another folder") from error
        self._next: dict[Path, int] = defaultdict(lambda: 1)
        self._parts: dict[Path, list[Part]] = defaultdict(list)
        self._merged: set[Path] = set()
        self.last: int | None = None
        try:
            self._look_around((exchange, trading_pair))
        except BaseException:
            self._lock.release()
            raise

    @property
    def bytes(self) -> int:
        """Return the size of all files of the market on disk, in bytes."""
        return sum(part.size for parts in self._parts.values() for part in parts)

    def write(self, events: MarketEvents) -> int:
        """Write the first of the events into a file, up to the end of a UTC day or a million; return how many.

        Raises ``InvalidInput`` when local times descend or begin before what is recorded already, and ``OSError``;
        nothing is written then.
        """
        if not len(events):
            return 0
        self._check_order(events)
        end_of_day = (int(events.local_ts[0]) // DAY + 1) * DAY
        rows = min(int(np.searchsorted(events.local_ts, end_of_day)), FULL)
        self._write_one(events.rows(0, rows))
        return rows

    def _check_order(self, events: MarketEvents) -> None:
        times = events.local_ts
        falls = np.flatnonzero(np.diff(times) < 0)
        if len(falls):
            row = int(falls[0])
            raise InvalidInput(
                f"local times of {events.trading_pair} are not sorted: row {row + 1} is at {times[row + 1]} ns, the "
                f"one before at {times[row]} ns; sort the events by local_ts first"
            )
        if self.last is not None and times[0] < self.last:
            raise InvalidInput(
                f"the events of {events.trading_pair} begin at {times[0] / NANOSECONDS:.3f} s, before the end of what "
                f"{self.folder} holds already ({self.last / NANOSECONDS:.3f} s): was it written there before? Write "
                f"in the order of time, or into another folder"
            )

    def _write_one(self, events: MarketEvents) -> None:
        folder = day_folder(self.folder, int(events.local_ts[0]))
        folder.mkdir(exist_ok=True)
        number = self._next[folder]
        name = PartName(number, number)
        write_part(folder / str(name), events)
        self._next[folder] = number + 1
        self.last = int(events.local_ts[-1])
        self._parts[folder].append(self._part(folder, name, len(events)))

    # -- merging -------------------------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Merge files where many small ones have come together; takes a second or so at most."""
        *past, today = sorted(self._parts) or [self.folder]
        for folder in past:
            if folder not in self._merged:
                self._merge_all(folder)
        for limit in (1, FANOUT, FANOUT**2):
            run = self._tail(today, limit)
            if len(run) >= FANOUT or (len(run) > 1 and sum(part.rows for part in run) * 2 > FULL):
                self._merge(today, run)

    def _tail(self, folder: Path, limit: int) -> list[Part]:
        """Return the last files of a day that hold no more than ``limit`` as first written, while they make one."""
        run: list[Part] = []
        rows = 0
        for part in reversed(self._parts[folder]):
            rows += part.rows
            if part.full or part.name.span > limit or rows > FULL:
                break
            run.append(part)
        return run[::-1]

    def close(self) -> None:
        """Merge what is left into as few files as possible, and let other writers in; idempotent.

        Raises ``OSError``, and ``InvalidInput`` when a file of the market was damaged meanwhile; nothing is lost then.
        """
        try:
            for folder in self._parts:
                self._merge_all(folder)
        finally:
            self._lock.release()

    def abandon(self) -> None:
        """Let other writers in without merging."""
        self._lock.release()

    def _merge_all(self, folder: Path) -> None:
        run: list[Part] = []
        for part in list(self._parts[folder]):
            if part.full or sum(one.rows for one in run) + part.rows > FULL:
                self._merge(folder, run)
                run = []
            if not part.full:
                run.append(part)
        self._merge(folder, run)
        self._merged.add(folder)

    def _merge(self, folder: Path, run: list[Part]) -> None:
        if len(run) < 2:
            return
        name = PartName(run[0].name.first, run[-1].name.last)
        events = [_read(part.path) for part in run]
        info = {key: text for one in events for key, text in one.info.items()}
        write_part(folder / str(name), replace(MarketEvents.concat(events), info=info))
        rows = sum(part.rows for part in run)
        parts = self._parts[folder]
        at = parts.index(run[0])
        parts[at : at + len(run)] = [self._part(folder, name, rows)]
        for part in run:
            _delete(part.path)

    # -- what is there already -----------------------------------------------------------------------------------

    def _look_around(self, market: tuple[str, str]) -> None:
        """Clear away what a crash left, and find where the latest day goes on."""
        latest: list[tuple[PartName, Path]] = []
        for folder in sorted(self.folder.glob("date=*")):
            for leftover in [*folder.glob(".part-*.tmp"), *void(folder.iterdir())]:
                _delete(leftover)
            latest = sorted((name, path) for path in folder.iterdir() if (name := parse(path))) or latest
        for name, path in latest:
            info = _info(path)
            if (info.exchange, info.trading_pair) != market:
                raise InvalidInput(
                    f"{path} holds {info.trading_pair} of {info.exchange}, not {market[1]} of {market[0]}, whose name "
                    f"on disk is the same; record into another folder"
                )
            self._parts[path.parent].append(self._part(path.parent, name, info.rows))
            self._next[path.parent] = name.last + 1
            self.last = info.last

    @staticmethod
    def _part(folder: Path, name: PartName, rows: int) -> Part:
        return Part(folder, name, rows, (folder / str(name)).stat().st_size)


def _read(path: Path) -> MarketEvents:
    file = PartFile(path)
    try:
        return file.events(file.all_groups)
    finally:
        file.close()


def _info(path: Path) -> PartInfo:
    file = PartFile(path)
    file.close()
    return file.part


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # someone reads it, on systems where that forbids it; readers know that it is void
        logger.debug("%s is not deleted yet: %s", path, error)
