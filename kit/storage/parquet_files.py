"""One Parquet file of a recording: market events of one pair and one day, with what must be known about them.

Prices and amounts are integers scaled by decimals that stand in the file's metadata, so that they come back exactly;
where no such integers exist the floats themselves are stored. Pages are checksummed. Of the encodings measured on
recorded books, plain values under zstd were the smallest, except for prices, whose bytes are split; delta encodings
made every column of these streams larger, as they hide from zstd what repeats.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.storage.clock_offset import fastest
from kit.storage.events import COLUMNS, EventKind, MarketEvents
from kit.storage.scaled import scale, unscale

VERSION: Final = 1
ROW_GROUP: Final = 1 << 17
"""Rows of one row group, the smallest piece that is read by itself."""

_KEY: Final = "kit.recording"
_FORM: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": False,
    "column_encoding": {name: "BYTE_STREAM_SPLIT" if name == "price" else "PLAIN" for name in COLUMNS},
    "write_statistics": ["local_ts"],
    "write_page_checksum": True,
    "store_schema": False,
}
_SCALED: Final = ("price", "amount")


@dataclass(frozen=True)
class PartInfo:
    """What a file says about its rows, without reading them.

    ``first`` and ``last`` are local times in ns, of all rows; ``first_event`` and ``last_event`` those of rows other
    than gaps, ``None`` without any. ``kinds`` counts rows by ``EventKind``; ``decimals`` of price and amount are
    ``None`` where floats are stored. ``info`` is that of the ``MarketEvents``. ``least_latency`` is the smallest local
    less exchange time (ns), ``None`` where no row tells the exchange's.
    """

    version: int
    exchange: str
    trading_pair: str
    rows: int
    first: int
    last: int
    first_event: int | None
    last_event: int | None
    kinds: dict[str, int]
    decimals: dict[str, int | None]
    info: dict[str, str] = field(default_factory=dict)
    least_latency: int | None = None

    def count(self, kind: EventKind) -> int:
        """Return how many rows are of a kind."""
        return self.kinds.get(kind.name, 0)


def write_part(path: Path, events: MarketEvents, *, durable: bool = True) -> PartInfo:
    """Write a file that appears under its name only when it is whole; an existing one is replaced.

    ``durable``: wait until the disk has it, so that it also survives a power cut. Raises ``OSError``.
    """
    columns: dict[str, Any] = {name: getattr(events, name) for name in COLUMNS}
    decimals: dict[str, int | None] = {}
    for name in _SCALED:
        scaled = scale(columns[name])
        decimals[name] = None if scaled is None else scaled[1]
        columns[name] = columns[name] if scaled is None else scaled[0]
    part = _describe(events, decimals)
    table = pa.Table.from_arrays([_arrow(array) for array in columns.values()], names=list(columns))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            with pq.ParquetWriter(file, table.schema, **_FORM) as writer:
                writer.write_table(table, row_group_size=ROW_GROUP)
                writer.add_key_value_metadata({_KEY: json.dumps(asdict(part))})
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # a disk that is full is not to be kept full
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return part


def _arrow(array: np.ndarray[Any, Any]) -> pa.Array:
    """Hand an array over as it lies in memory; ``pa.array`` would import pandas, for a second or two."""
    buffer = pa.py_buffer(np.ascontiguousarray(array))
    return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, buffer])


def _numpy(chunk: pa.Array, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a view; ``to_numpy`` would import pandas."""
    buffer = chunk.buffers()[1]
    if buffer is None:
        return np.empty(0, dtype)
    return np.frombuffer(buffer, dtype, len(chunk), chunk.offset * dtype.itemsize)


def _describe(events: MarketEvents, decimals: dict[str, int | None]) -> PartInfo:
    values, counts = np.unique(events.kind, return_counts=True)
    times = events.local_ts[events.kind != EventKind.GAP]
    return PartInfo(
        VERSION,
        events.exchange,
        events.trading_pair,
        len(events),
        int(events.local_ts[0]),
        int(events.local_ts[-1]),
        int(times[0]) if len(times) else None,
        int(times[-1]) if len(times) else None,
        _named(values, counts, events.trading_pair),
        decimals,
        dict(events.info),
        fastest(events),
    )


def _named(kinds: NDArray[np.uint8], counts: NDArray[np.int64], trading_pair: str) -> dict[str, int]:
    try:
        return {EventKind(kind).name: int(count) for kind, count in zip(kinds, counts, strict=True)}
    except ValueError as error:
        known = ", ".join(f"{int(kind)} {kind.name}" for kind in EventKind)
        raise InvalidInput(f"the events of {trading_pair} cannot be stored: {error}; kinds are {known}") from error


class PartFile:
    """A file of a recording, opened memory-mapped; ``part`` is what it says about itself.

    Raises ``InvalidInput``, naming the file, when it is truncated, damaged, foreign or of an unknown form, and
    ``FileNotFoundError``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(path, error) from error
        self._schema = self._file.schema_arrow
        self.part = self._read_info()
        self._check_columns()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @property
    def all_groups(self) -> range:
        """Return the numbers of all row groups."""
        return range(self._file.metadata.num_row_groups)

    def row_groups(self, start: int, end: int) -> list[int]:
        """Return the numbers of the row groups that may hold rows with ``start`` <= local time < ``end`` (ns)."""
        metadata = self._file.metadata
        column = self._schema.get_field_index("local_ts")
        found = []
        for number in range(metadata.num_row_groups):
            times = metadata.row_group(number).column(column).statistics
            if times is None or not times.has_min_max or (times.max >= start and times.min < end):
                found.append(number)
        return found

    def read(self, groups: Iterable[int], columns: Iterable[str] = tuple(COLUMNS)) -> dict[str, np.ndarray[Any, Any]]:
        """Read row groups; returns arrays with the dtypes of ``COLUMNS`` by name. Raises ``InvalidInput``."""
        try:
            table = self._file.read_row_groups(list(groups), columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(self.path, error) from error
        return {name: self._array(name, table.column(name)) for name in columns}

    def events(self, groups: Iterable[int]) -> MarketEvents:
        """Read row groups as events. Raises ``InvalidInput``."""
        return MarketEvents(self.part.exchange, self.part.trading_pair, **self.read(groups), info=self.part.info)

    def _array(self, name: str, column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
        if column.null_count:
            raise InvalidInput(f"{self.path} has empty cells in column {name}; was it changed by another program?")
        decimals = self.part.decimals.get(name)
        dtype = np.dtype(COLUMNS[name] if decimals is None else np.int64)
        array = np.concatenate([np.empty(0, dtype), *(_numpy(chunk, dtype) for chunk in column.chunks)])
        return array if decimals is None else unscale(array, decimals)

    def _read_info(self) -> PartInfo:
        text = (self._file.metadata.metadata or {}).get(_KEY.encode())
        if text is None:
            raise InvalidInput(
                f"{self.path} is a Parquet file, but no recording of kit's (columns: {', '.join(self._schema.names)}); "
                f"move it out of the folder, or bring it in with kit.load_events or an importer"
            )
        try:
            values: Mapping[str, Any] = json.loads(text)
            if values["version"] != VERSION:
                raise InvalidInput(
                    f"{self.path} is a recording of form {values['version']}, this kit reads form {VERSION}; "
                    f"update kit, or record again"
                )
            return PartInfo(**values)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise _damaged(self.path, error) from error

    def _check_columns(self) -> None:
        wanted = {name: "int64" if self.part.decimals.get(name) is not None else COLUMNS[name] for name in COLUMNS}
        wanted = {name: "double" if dtype == "float64" else dtype for name, dtype in wanted.items()}
        found = {column.name: str(column.type) for column in self._schema}
        for problem, names in (
            ("unknown columns", [name for name in found if name not in wanted]),
            ("no columns", [name for name in wanted if name not in found]),
            ("columns of another type", [name for name in found if found[name] != wanted.get(name)]),
        ):
            if names:
                raise InvalidInput(
                    f"{self.path} has {problem} {', '.join(names)}; a recording has {', '.join(wanted)}. Was it "
                    f"changed by another program? Write it again with RecordingWriter, or move it out of the folder"
                )
        if self._file.metadata.num_rows != self.part.rows:
            raise InvalidInput(
                f"{self.path} has {self._file.metadata.num_rows} rows, but says that it has {self.part.rows}; it was "
                f"changed by another program; move it out of the folder, the other files stay readable"
            )


def _damaged(path: Path, error: Exception) -> InvalidInput:
    size = path.stat().st_size if path.exists() else 0
    return InvalidInput(
        f"{path} ({size} bytes) cannot be read: it is truncated, damaged or no Parquet file ({error}). Move it out of "
        f"the folder: the other files stay readable, the time it covered is missing then"
    )
