"""Market events in columns: the one form that recorders write, importers make and simulations read."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

NANOSECONDS: Final = 1_000_000_000

COLUMNS: Final[Mapping[str, str]] = {
    "exch_ts": "int64",
    "local_ts": "int64",
    "kind": "uint8",
    "side": "int8",
    "price": "float64",
    "amount": "float64",
    "update_id": "int64",
    "flags": "uint8",
}
"""Name and dtype of every column, in order."""


class EventKind(IntEnum):
    """What a row tells; numbers up to 13 are hftbacktest's."""

    DEPTH = 1
    """One level's new absolute amount; 0 removes the level."""
    TRADE = 2
    """A public trade; the side is the taker's."""
    CLEAR = 3
    """All levels of the side (side 0: of both) are gone; a snapshot follows. The price is not used."""
    SNAPSHOT = 4
    """One level of a snapshot."""
    BBO = 5
    """The best level of a side, from a ticker stream."""
    ADD = 10
    """Order by order: an order came to rest. ``update_id`` holds the order's id in kinds 10 to 13."""
    CANCEL = 11
    MODIFY = 12
    FILL = 13
    GAP = 20
    """Events are missing here: the stream was lost, or the recorder was not running. Side, price, amount are 0."""


class EventFlag(IntFlag):
    """Bits of the ``flags`` column."""

    NONE = 0
    END = 1
    """The last row of one message of the exchange: only here is the book in a state that the exchange showed."""
    SYNTHETIC = 2
    """Not told by the exchange but derived (candles, a stated assumption)."""


_SHOWN: Final = 10
"""Rows that a notebook shows of events."""

BUY: Final = 1
SELL: Final = -1


@dataclass(frozen=True, slots=True)
class MarketEvents:
    """Events of one pair of one exchange, a row each, in the order in which they were received.

    Arrays are one-dimensional, of one length, with the dtypes of ``COLUMNS``: ``exch_ts`` and ``local_ts`` in ns since
    the epoch (``exch_ts`` 0: the exchange did not tell), ``side`` 1 bid or buying taker, -1 ask or selling taker, 0
    neither; ``price`` in quote, ``amount`` in base; ``update_id`` the id of the book update, of the trade, or of the
    order, by kind (0: not told). Raises ``InvalidInput`` for arrays of another shape or dtype.
    """

    exchange: str
    trading_pair: str
    exch_ts: NDArray[np.int64]
    local_ts: NDArray[np.int64]
    kind: NDArray[np.uint8]
    side: NDArray[np.int8]
    price: NDArray[np.float64]
    amount: NDArray[np.float64]
    update_id: NDArray[np.int64]
    flags: NDArray[np.uint8]
    info: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dtype in COLUMNS.items():
            column = getattr(self, name)
            if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype != dtype:
                shape = getattr(column, "shape", type(column).__name__)
                raise InvalidInput(
                    f"column {name} of {self.trading_pair} is {getattr(column, 'dtype', '?')} of shape {shape}; it "
                    f"must be a one-dimensional array of {dtype}"
                )
            if len(column) != len(self.exch_ts):
                raise InvalidInput(
                    f"column {name} of {self.trading_pair} has {len(column)} rows, exch_ts has {len(self.exch_ts)}"
                )

    @classmethod
    def from_rows(cls, exchange: str, trading_pair: str, rows: Iterable[tuple[Any, ...]]) -> MarketEvents:
        """Build from rows in the order of ``COLUMNS``; for tests and small imports."""
        table = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
        columns: dict[str, Any] = {
            name: np.array(values, dtype=dtype) for (name, dtype), values in zip(COLUMNS.items(), table, strict=True)
        }
        return cls(exchange, trading_pair, **columns)

    @classmethod
    def concat(cls, parts: Iterable[MarketEvents]) -> MarketEvents:
        """Join parts of one pair in the order given. Raises ``InvalidInput`` for none or for different pairs."""
        parts = list(parts)
        if not parts:
            raise InvalidInput("no events to join: give at least one part")
        names = {(part.exchange, part.trading_pair) for part in parts}
        if len(names) > 1:
            raise InvalidInput(f"events of different markets cannot be joined: {sorted(names)}")
        columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
        return cls(parts[0].exchange, parts[0].trading_pair, **columns, info=parts[0].info)

    def __len__(self) -> int:
        return len(self.exch_ts)

    def rows(self, start: int, stop: int) -> MarketEvents:
        """Return the rows ``start`` to ``stop`` (not included) without copying."""
        return replace(self, **{name: getattr(self, name)[start:stop] for name in COLUMNS})

    def __repr__(self) -> str:
        if not len(self):
            return f"<MarketEvents {self.trading_pair} on {self.exchange}: none>"
        first, last = (np.datetime64(int(self.local_ts[row]), "ns").astype("datetime64[ms]") for row in (0, -1))
        kinds, counts = np.unique(self.kind, return_counts=True)
        names = {int(kind): kind.name.lower() for kind in EventKind}
        told = ", ".join(
            f"{count:,} {names.get(kind, f'of kind {kind}')}"
            for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)
        )
        return f"<MarketEvents {self.trading_pair} on {self.exchange}: {told}; received {first} to {last} UTC>"

    def _repr_html_(self) -> str:
        count = len(self)
        ends = [self] if count <= _SHOWN else [self.rows(0, _SHOWN // 2), self.rows(count - _SHOWN // 2, count)]
        frame = MarketEvents.concat(ends).frame()
        if len(ends) > 1:
            frame.index = [*range(_SHOWN // 2), *range(count - _SHOWN // 2, count)]
        table: str = frame.to_html()
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{table}"

    def between(self, start: float, end: float) -> MarketEvents:
        """Return the rows with ``start`` <= local time < ``end`` (seconds since the epoch); local times must ascend."""
        first, last = np.searchsorted(self.local_ts, [_ns(start), _ns(end)])
        return self.rows(int(first), int(last))

    def frame(self) -> pd.DataFrame:
        """Return a DataFrame with the columns of ``COLUMNS``, times as UTC timestamps, kind and side by name."""
        import pandas as pd

        names = {int(kind): kind.name.lower() for kind in EventKind}
        sides = {BUY: "buy", SELL: "sell", 0: ""}
        frame = pd.DataFrame({name: getattr(self, name) for name in COLUMNS})
        frame["exch_ts"] = pd.to_datetime(frame["exch_ts"], unit="ns", utc=True)
        frame["local_ts"] = pd.to_datetime(frame["local_ts"], unit="ns", utc=True)
        frame["kind"] = frame["kind"].map(names)
        frame["side"] = frame["side"].map(sides)
        return frame


def _ns(seconds: float) -> int:
    """Return whole nanoseconds; infinities become the ends of the int64 range."""
    limits = np.iinfo(np.int64)
    if seconds in (float("inf"), float("-inf")):
        return int(limits.max if seconds > 0 else limits.min)
    return round(seconds * NANOSECONDS)
