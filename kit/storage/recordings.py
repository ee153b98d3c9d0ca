"""Recordings of markets, read: what there is, and the events of any span of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from kit.errors import InvalidInput
from kit.storage.clock_offset import shifted
from kit.storage.events import NANOSECONDS, EventFlag, EventKind, MarketEvents
from kit.storage.parquet_files import PartFile, PartInfo
from kit.storage.part_names import parse, void
from kit.storage.whole_books import last_whole_book

if TYPE_CHECKING:
    import pandas as pd

_T = TypeVar("_T")

BATCH: Final = 1_000_000
_LOOKS: Final = 50
"""How often a folder is looked through again while its files are merged."""

_INT64: Final = np.iinfo(np.int64)


@dataclass(frozen=True)
class _Part:
    path: Path
    info: PartInfo
    size: int
    after_hole: bool = False
    """Whether a file that was written before this one is not there."""


class Recording:
    """A folder of recorded markets, as it stood when it was opened; shows itself as a table in a notebook.

    Only what is asked for is read, from memory-mapped files. A recorder may go on writing meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._parts = _scan(path)

    @property
    def markets(self) -> list[tuple[str, str]]:
        """Return (exchange, pair) of everything recorded."""
        return list(self._parts)

    def span(self, trading_pair: str, exchange: str | None = None) -> tuple[float, float]:
        """Return the local times of the first and the last row, seconds since the epoch. Raises ``InvalidInput``."""
        parts = self._find(trading_pair, exchange)
        return parts[0].info.first / NANOSECONDS, parts[-1].info.last / NANOSECONDS

    def info(self, trading_pair: str, exchange: str | None = None) -> dict[str, str]:
        """Return what was noted at recording time, such as ``trading_rule`` (JSON). Raises ``InvalidInput``."""
        return _joined_info(self._find(trading_pair, exchange))

    @property
    def clock_offset(self) -> float:
        """Return the seconds by which local times are to be put forward so that nothing arrives before it happened.

        One constant for all markets, as one clock stamped them, by the rule of ``kit.correct_clock``; 0 where nothing
        arrives early. Backtests and ``kit.load_events`` add it, ``events`` does not.
        """
        told = (part.info.least_latency for part in chain(*self._parts.values()))
        return max(0, -min((least for least in told if least is not None), default=0)) / NANOSECONDS

    def corrected_events(
        self,
        trading_pair: str,
        exchange: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> MarketEvents:
        """Return what ``events`` does with ``clock_offset`` added to local times; ``start`` and ``end`` are such too.

        A span of a recording gets the constant of the whole, noted in ``info["clock_offset"]``.
        """
        offset = round(self.clock_offset * NANOSECONDS)
        span = (_ns(start, -inf, offset), _ns(end, inf, offset))
        return shifted(self._read(trading_pair, exchange, span), offset)

    def events_to_replay(
        self,
        trading_pair: str,
        exchange: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> MarketEvents:
        """Return what a replay from ``start`` to ``end`` needs of ``corrected_events``, and little more.

        That is from the last whole book received by ``start`` (recorders write one an hour; from the beginning where
        there is none) to the first row after ``end``. ``info["recorded"]`` tells the first and the last local time of
        all that is recorded (corrected, ns). Raises what ``events`` raises, and ``InvalidInput`` for an ``end`` before
        that.
        """
        return self._despite_merging(lambda: self._replayed(trading_pair, exchange, start, end))

    def _replayed(
        self, trading_pair: str, exchange: str | None, start: float | None, end: float | None
    ) -> MarketEvents:
        parts, offset = self._find(trading_pair, exchange), round(self.clock_offset * NANOSECONDS)
        begin, finish = _ns(start, -inf, offset), _ns(end, inf, offset)
        if finish < parts[0].info.first:
            begins = np.datetime64(parts[0].info.first + offset, "ns").astype("datetime64[us]")
            raise InvalidInput(f"end={end!r} is before {trading_pair} in {self.path.name} begins, at {begins} UTC")
        book = None if start is None else last_whole_book([(part.path, part.info) for part in parts], begin)
        first = int(_INT64.min) if book is None else book
        last = min(finish, int(_INT64.max) - 1) + 1
        events = self._read(trading_pair, exchange, (first, last))
        after = next(self._iterate(trading_pair, exchange, (last, int(_INT64.max)), 1), None)
        if after is not None:
            events = MarketEvents.concat([events, after])
        whole = f"{parts[0].info.first + offset} {parts[-1].info.last + offset}"
        return shifted(replace(events, info={**_joined_info(parts), "recorded": whole}), offset)

    def events(
        self,
        trading_pair: str,
        exchange: str | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> MarketEvents:
        """Return the events of a pair with ``start`` <= local time < ``end`` (seconds since the epoch, ``None``: all).

        ``exchange`` is needed where the pair was recorded on several. Raises ``InvalidInput`` for a market that is not
        recorded, and for damaged files, by name.
        """
        return self._read(trading_pair, exchange, (_ns(start, -inf), _ns(end, inf)))

    def _read(self, trading_pair: str, exchange: str | None, span: tuple[int, int]) -> MarketEvents:
        parts = self._find(trading_pair, exchange)
        info = _joined_info(parts)
        pieces = list(self._iterate(trading_pair, exchange, span, BATCH))
        if not pieces:
            name = parts[0].info
            pieces = [MarketEvents.from_rows(name.exchange, name.trading_pair, ())]
        joined = pieces[0] if len(pieces) == 1 else MarketEvents.concat(pieces)
        return replace(joined, info=info)

    def iter_events(
        self,
        trading_pair: str,
        exchange: str | None = None,
        start: float | None = None,
        end: float | None = None,
        *,
        batch: int = BATCH,
    ) -> Iterator[MarketEvents]:
        """Yield the events of a pair in pieces of at most ``batch`` rows, in order; arguments as for ``events``."""
        if batch < 1:
            raise InvalidInput(f"batch is {batch!r}; it must be 1 row or more")
        self._find(trading_pair, exchange)
        return self._iterate(trading_pair, exchange, (_ns(start, -inf), _ns(end, inf)), batch)

    def _iterate(
        self, trading_pair: str, exchange: str | None, span: tuple[int, int], batch: int
    ) -> Iterator[MarketEvents]:
        done = 0
        while True:
            skip = done
            try:
                for piece in self._pieces(self._find(trading_pair, exchange), span):
                    kept = piece.rows(min(skip, len(piece)), len(piece))
                    skip -= len(piece) - len(kept)
                    for first in range(0, len(kept), batch):
                        rows = kept.rows(first, min(first + batch, len(kept)))
                        done += len(rows)
                        yield rows
                return
            except FileNotFoundError:
                # A recorder has merged small files into a large one meanwhile; the rows are the same.
                self._parts = _scan(self.path)

    @staticmethod
    def _pieces(parts: Iterable[_Part], span: tuple[int, int]) -> Iterator[MarketEvents]:
        start, end = span
        for part in parts:
            if part.info.last < start or part.info.first >= end:
                continue
            if part.after_hole and part.info.first >= start:
                yield _gap(part)
            file = PartFile(part.path)
            try:
                for group in file.row_groups(start, end):
                    events = file.events([group])
                    first, last = np.searchsorted(events.local_ts, span)
                    if first < last:
                        yield events.rows(int(first), int(last))
            finally:
                file.close()

    def gaps(self) -> pd.DataFrame:
        """Return where events are missing: exchange, trading_pair, start, end (UTC), seconds.

        A gap lasts from the last event known before to the first known after; what comes before the first event of a
        market or after its last is none. A file that is missing between others is a gap, too.
        """
        import pandas as pd

        rows = []
        for exchange, pair in self.markets:
            for start, end in self._market_gaps(pair, exchange):
                rows.append((exchange, pair, start, end, (end - start) / NANOSECONDS))
        frame = pd.DataFrame(rows, columns=["exchange", "trading_pair", "start", "end", "seconds"])
        for name in ("start", "end"):
            frame[name] = pd.to_datetime(frame[name].astype("int64"), unit="ns", utc=True)
        return frame.astype({"seconds": "float64"})

    def _market_gaps(self, trading_pair: str, exchange: str) -> list[tuple[int, int]]:
        return self._despite_merging(lambda: self._gaps_of(self._find(trading_pair, exchange)))

    def _despite_merging(self, read: Callable[[], _T]) -> _T:
        """Read again where a recorder has merged small files into a large one meanwhile; the rows are the same."""
        while True:
            try:
                return read()
            except FileNotFoundError:
                self._parts = _scan(self.path)

    def _gaps_of(self, parts: Sequence[_Part]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        before: int | None = None  # local time of the last event
        missing = False
        for part in parts:
            if not part.info.count(EventKind.GAP):
                runs = [(False, part.info.first, part.info.last)]
            else:
                runs = self._runs(part)
            missing = missing or part.after_hole
            for is_gap, first, last in runs:
                if is_gap:
                    missing = True
                    continue
                if missing and before is not None:
                    found.append((before, first))
                missing, before = False, last
        return found

    @staticmethod
    def _runs(part: _Part) -> list[tuple[bool, int, int]]:
        """Return runs of rows that are gaps or not, with the local times of their first and last row."""
        file = PartFile(part.path)
        try:
            columns = file.read(file.all_groups, ("kind", "local_ts"))
        finally:
            file.close()
        is_gap, times = columns["kind"] == EventKind.GAP, columns["local_ts"]
        edges = [0, *(np.flatnonzero(np.diff(is_gap)) + 1).tolist(), len(times)]
        return [(bool(is_gap[a]), int(times[a]), int(times[b - 1])) for a, b in pairwise(edges)]

    def frame(self) -> pd.DataFrame:
        """Return a summary, one row a market: span (UTC), events, trades, snapshots, gaps, files, size on disk."""
        import pandas as pd

        rows = []
        for exchange, pair in self.markets:
            gaps, parts = self._market_gaps(pair, exchange), self._find(pair, exchange)
            events, size = sum(part.info.rows for part in parts), sum(part.size for part in parts)
            rows.append(
                {
                    "exchange": exchange,
                    "trading_pair": pair,
                    "start": pd.Timestamp(parts[0].info.first, unit="ns", tz="UTC"),
                    "end": pd.Timestamp(parts[-1].info.last, unit="ns", tz="UTC"),
                    "events": events,
                    "trades": sum(part.info.count(EventKind.TRADE) for part in parts),
                    "snapshots": sum(part.info.count(EventKind.CLEAR) for part in parts),
                    "gaps": len(gaps),
                    "files": len(parts),
                    "bytes": size,
                    "bytes_per_event": round(size / events, 2),
                }
            )
        return pd.DataFrame(rows)

    def _find(self, trading_pair: str, exchange: str | None) -> list[_Part]:
        wanted = trading_pair.upper()
        found = [
            market
            for market in self._parts
            if wanted in (market[1].upper(), market[1].replace("/", "-").upper()) and exchange in (None, market[0])
        ]
        if len(found) == 1:
            return self._parts[found[0]]
        if found:
            raise InvalidInput(
                f"{trading_pair} was recorded on {', '.join(name for name, _ in found)}; name one by exchange="
            )
        held = ", ".join(f"{pair} of {name}" for name, pair in self._parts)
        raise InvalidInput(
            f"{self.path} holds no {trading_pair}{f' of {exchange}' if exchange else ''}; it holds {held}"
        )

    def __repr__(self) -> str:
        rows = sum(part.info.rows for part in chain(*self._parts.values()))
        return f"<Recording {self.path}: {rows} events of {', '.join(pair for _, pair in self._parts)}>"

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False))


def open_recording(path: str | Path) -> Recording:
    """Open a recording: the folder given to a recorder, a folder inside it, or one of its files.

    Reads only what files say about themselves. Raises ``InvalidInput``, naming file or folder, where there is none, and
    for files that are truncated, damaged, of another program or of an unknown form.
    """
    return Recording(Path(path).expanduser())


def _scan(path: Path) -> dict[tuple[str, str], list[_Part]]:
    if not path.exists():
        raise InvalidInput(f"there is no {path}; record into it first, with core.record(…) or `kit record`")
    for again in range(_LOOKS, -1, -1):
        try:
            parts = [_open(file) for file in _files(path)]
            break
        except FileNotFoundError as error:  # merged by a recorder while we looked
            if not again:
                raise InvalidInput(
                    f"{error.filename or error} is in {path}, but not there: is it a broken link?"
                ) from error
    if not parts:
        raise InvalidInput(
            f"{path} holds no recording (no .parquet file); name the folder that was recorded into; a recorder's first "
            f"file comes some seconds after its start"
        )
    markets: dict[tuple[str, str], list[_Part]] = {}
    for part in sorted(parts, key=lambda part: (part.info.first, part.path.name)):
        markets.setdefault((part.info.exchange, part.info.trading_pair), []).append(part)
    for found in markets.values():
        for one, other in pairwise(found):
            if other.info.first < one.info.last:
                raise InvalidInput(
                    f"{other.path} begins before {one.path} ends: both recorded {one.info.trading_pair} at the same "
                    f"time; keep them in folders of their own"
                )
    return {market: _with_holes(found) for market, found in sorted(markets.items())}


def _with_holes(parts: Sequence[_Part]) -> list[_Part]:
    """Mark the files before which another one is missing: a writer numbers those of a day without a hole."""
    marked = list(parts[:1])
    for one, other in pairwise(parts):
        before, name = parse(one.path), parse(other.path)
        wanted = before.last + 1 if before is not None and one.path.parent == other.path.parent else 1
        marked.append(replace(other, after_hole=name is not None and before is not None and name.first != wanted))
    return marked


def _gap(part: _Part) -> MarketEvents:
    row = (0, part.info.first, EventKind.GAP, 0, 0.0, 0.0, 0, EventFlag.END)
    return MarketEvents.from_rows(part.info.exchange, part.info.trading_pair, [row])


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [file for file in path.rglob("*.parquet") if not file.name.startswith(".")]
    by_folder: dict[Path, list[Path]] = {}
    for file in found:
        by_folder.setdefault(file.parent, []).append(file)
    skip = {file for files in by_folder.values() for file in void(files)}
    return [file for file in found if file not in skip]


def _open(path: Path) -> _Part:
    file = PartFile(path)
    file.close()
    return _Part(path, file.part, path.stat().st_size)


def _joined_info(parts: Iterable[_Part]) -> dict[str, str]:
    return {key: text for part in parts for key, text in part.info.info.items()}


def _ns(seconds: float | None, default: float, offset: int = 0) -> int:
    """Return a time in ns, less an offset. Raises ``InvalidInput`` for what is no number."""
    value: Any = default if seconds is None else seconds
    if not isinstance(value, (int, float, np.number)) or np.isnan(value):
        raise InvalidInput(f"{seconds!r} is no time; give seconds since the epoch, such as 1723075200.5, or None")
    if value in (inf, -inf):
        return int(_INT64.max if value > 0 else _INT64.min)
    return round(value * NANOSECONDS) - offset
