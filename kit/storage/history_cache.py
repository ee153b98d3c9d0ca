"""Downloaded history in Parquet files, one for each whole stretch of time, so that a stretch is asked for once."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

CANDLES: Final = {"time": "int64"} | dict.fromkeys(("open", "high", "low", "close", "volume"), "float64")
TRADES: Final = {"time": "int64", "id": "int64", "side": "int8", "price": "float64", "amount": "float64"}
"""Columns by dtype; times in ns since the epoch."""

_ASKED: Final = b"asked"

Stretch = dict[str, NDArray[Any]]


class HistoryCache:
    """The stretches of one market and one timeframe; without a folder nothing is kept.

    ``place`` names the market (``("binance", "BTC/USDT", "1m")``); ``columns`` are those above. A file is written under
    another name first, so that what has its own name is whole; a damaged one counts as absent and is replaced.
    """

    def __init__(self, folder: str | PathLike[str] | None, place: tuple[str, ...], columns: Mapping[str, str]) -> None:
        self._columns = columns
        self._refused = False
        self.folder: Path | None = None
        if folder is not None:
            self.folder = Path(folder).expanduser().joinpath(*(re.sub(r"[^\w.@-]", "-", part) for part in place))

    def read(self, start: int) -> tuple[Stretch, float] | None:
        """Return the stretch that starts at ``start`` and when it was asked for, both in seconds, or ``None``."""
        path = self._path(start)
        if path is None or not path.is_file():
            return None
        try:
            table = pq.read_table(path)
            asked = float((table.schema.metadata or {}).get(_ASKED, b"0"))
            return {name: table[name].to_numpy().astype(dtype) for name, dtype in self._columns.items()}, asked
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            logger.warning("%s is damaged and is asked for again: %s", path, error)
            return None

    def write(self, start: int, stretch: Stretch, asked: float) -> None:
        """Keep a stretch that was asked for at ``asked`` (seconds).

        Where the disk does not take it, that is logged once and nothing more is kept.
        """
        path = self._path(start)
        if path is None or self._refused:
            return
        part = path.with_suffix(f".{os.getpid()}.part")  # of this process, as another may keep the same
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pa.table(stretch).replace_schema_metadata({_ASKED: repr(asked)})
            pq.write_table(table, part, compression="zstd")
            part.replace(path)
        except OSError as error:
            logger.warning("history is not kept: %s cannot be written (%s)", path.parent, error)
            self._refused = True
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def join(self, stretches: list[Stretch]) -> Stretch:
        """Return stretches as one."""
        return {
            name: np.concatenate([np.empty(0, dtype=dtype), *(one[name] for one in stretches)]).astype(dtype)
            for name, dtype in self._columns.items()
        }

    def _path(self, start: int) -> Path | None:
        return None if self.folder is None else self.folder / f"{start}.parquet"
