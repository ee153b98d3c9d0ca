"""Where the files of a recording lie, and how they are named.

``folder/exchange=binance/pair=BTC-USDT/date=2024-08-08/part-00000001-00000032.parquet``: files of a day are numbered in
the order in which they were written, and a file that merges others is named by the first and the last number in it. A
file whose numbers lie within those of another is therefore a leftover of a merge that was interrupted, and void.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from kit.storage.events import NANOSECONDS

DAY: Final = 86_400 * NANOSECONDS

_NAME: Final = re.compile(r"part-(\d{8,})-(\d{8,})\.parquet")


class PartName(NamedTuple):
    """The first and the last number that a file holds."""

    first: int
    last: int

    @property
    def span(self) -> int:
        """Return how many files as first written it holds."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """Return the file's name."""
        return f"part-{self.first:08d}-{self.last:08d}.parquet"


def parse(path: Path) -> PartName | None:
    """Read a file's name, ``None`` for names of another form."""
    match = _NAME.fullmatch(path.name)
    return PartName(int(match[1]), int(match[2])) if match else None


def void(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files of one folder that another file of it contains."""
    named = sorted((name.first, -name.last, path) for path in paths if (name := parse(path)) is not None)
    covered = -1
    for _, minus_last, path in named:
        if -minus_last <= covered:
            yield path
        covered = max(covered, -minus_last)


def market_folder(root: Path, exchange: str, trading_pair: str) -> Path:
    """Return the folder of a market; names that file systems cannot hold are only approximated there."""
    pair = trading_pair.replace("/", "-").replace(":", "_")
    return root / f"exchange={_plain(exchange)}" / f"pair={_plain(pair)}"


def day_folder(market: Path, local_ns: int) -> Path:
    """Return the folder of the UTC day of a local time in ns."""
    return market / f"date={datetime.fromtimestamp(local_ns // DAY * 86_400, UTC):%Y-%m-%d}"


def _plain(text: str) -> str:
    return re.sub(r"[^\w.+-]", "_", text)
