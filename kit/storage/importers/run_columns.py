"""From runs of rows that share everything but price and amount to columns."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.storage.events import EventFlag, EventKind

Columns = dict[str, NDArray[Any]]

END = int(EventFlag.END)


class Runs:
    """Collects runs; ``texts`` holds price, amount, price, amount … of all their rows, as the exchange wrote them."""

    __slots__ = ("_runs", "lines", "texts")

    def __init__(self) -> None:
        self._runs: list[tuple[int, int, int, int, int, int, int]] = []
        self.lines: list[int] = []
        self.texts: list[str] = []

    def __len__(self) -> int:
        return len(self._runs)

    def levels(
        self,
        kind: EventKind,
        line: int,
        exch_ts: int,
        local_ts: int,
        update_id: int,
        bids: list[list[str]],
        asks: list[list[str]],
        flags: int = END,
    ) -> None:
        """Add levels of one message, bids first; the last row gets ``flags``. Raises ``ValueError`` for a bad level."""
        texts, bid_count, ask_count = self.texts, len(bids), len(asks)
        before = len(texts)
        texts.extend(chain.from_iterable(bids))
        texts.extend(chain.from_iterable(asks))
        if len(texts) - before != 2 * (bid_count + ask_count):
            raise ValueError("a level is not a pair of price and amount")
        if bid_count:
            self._runs.append((kind, 1, bid_count, exch_ts, local_ts, update_id, 0 if ask_count else flags))
            self.lines.append(line)
        if ask_count:
            self._runs.append((kind, -1, ask_count, exch_ts, local_ts, update_id, flags))
            self.lines.append(line)

    def row(
        self,
        kind: EventKind,
        line: int,
        exch_ts: int,
        local_ts: int,
        update_id: int,
        side: int = 0,
        price: str = "0",
        amount: str = "0",
        flags: int = END,
    ) -> None:
        """Add one row."""
        self._runs.append((kind, side, 1, exch_ts, local_ts, update_id, flags))
        self.lines.append(line)
        self.texts.append(price)
        self.texts.append(amount)

    def columns(self) -> Columns:
        """Return the rows as columns. Raises ``BadRow`` where a price or an amount is no finite number from 0 up."""
        runs = np.array(self._runs, dtype=np.int64).reshape(len(self._runs), 7)
        counts = runs[:, 2]
        numbers = self._numbers(counts).reshape(-1, 2)
        flags = np.zeros(len(numbers), dtype=np.uint8)
        flags[np.cumsum(counts) - 1] = runs[:, 6]
        return {
            "exch_ts": np.repeat(runs[:, 3], counts),
            "local_ts": np.repeat(runs[:, 4], counts),
            "kind": np.repeat(runs[:, 0].astype(np.uint8), counts),
            "side": np.repeat(runs[:, 1].astype(np.int8), counts),
            "price": np.ascontiguousarray(numbers[:, 0]),
            "amount": np.ascontiguousarray(numbers[:, 1]),
            "update_id": np.repeat(runs[:, 5], counts),
            "flags": flags,
        }

    def _numbers(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        texts = self.texts
        try:
            numbers = np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
        except (ValueError, TypeError):
            wrong = next(index for index, text in enumerate(texts) if not _is_number(text))
        else:
            fine = np.isfinite(numbers) & (numbers >= 0)
            if fine.all():
                return numbers
            wrong = int(np.argmin(fine))
        run = int(np.searchsorted(np.cumsum(counts), wrong // 2, side="right"))
        what = "amount" if wrong % 2 else "price"
        raise BadRow(self.lines[run], f"{what} {texts[wrong]!r} is no finite number from 0 up")


class BadRow(Exception):
    """A row of ``line`` does not hold what it should."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _is_number(text: object) -> bool:
    try:
        float(text)  # type: ignore[arg-type]  # this is what is being found out
    except (ValueError, TypeError):
        return False
    return True
