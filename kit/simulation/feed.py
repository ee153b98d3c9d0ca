"""Market events as the kernel reads them: sorted by exchange time, prices in ticks, 29 bytes an event."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.simulation import kernel_layout as layout
from kit.storage.events import COLUMNS, EventKind, MarketEvents

_log = logging.getLogger(__name__)

_DTYPES: Final = {"exch_ts": np.int64, "local_ts": np.int64, "code": np.uint8, "tick": np.int32, "qty": np.float64}
_VERSION: Final = 1
_TICKS: Final = 2**31 - 2
_LEVELS: Final = (EventKind.DEPTH, EventKind.SNAPSHOT, EventKind.BBO)

# Codes of the rows that have a side: the bid's; an ask's is one more. A trade's side is the passive one.
_SIDED: Final = {
    EventKind.DEPTH: layout.DEPTH,
    EventKind.TRADE: layout.TRADE,
    EventKind.SNAPSHOT: layout.SNAPSHOT,
    EventKind.BBO: layout.BBO,
    EventKind.ADD: layout.ADD,
    EventKind.CANCEL: layout.CANCEL,
    EventKind.MODIFY: layout.MODIFY,
    EventKind.FILL: layout.FILL,
}


@dataclass(frozen=True, slots=True)
class FeedColumns:
    """Events of one pair, ready for ``MatchingEngine.load``.

    Arrays of one length: ``exch_ts`` and ``local_ts`` (int64, ns, both ascending), ``code`` (uint8, what and which
    side; ``kernel_layout``), ``tick`` (int32, price / ``tick_size``), ``qty`` (float64, base; exactly 0.0 below half a
    lot), and ``order_id`` (int64) for order-by-order feeds, else ``None``.
    """

    exch_ts: NDArray[np.int64]
    local_ts: NDArray[np.int64]
    code: NDArray[np.uint8]
    tick: NDArray[np.int32]
    qty: NDArray[np.float64]
    tick_size: Decimal
    lot_size: Decimal
    order_id: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.code)

    @classmethod
    def empty(cls, tick_size: Decimal, lot_size: Decimal) -> FeedColumns:
        """Return a feed without events."""
        columns: dict[str, Any] = {name: np.zeros(0, dtype) for name, dtype in _DTYPES.items()}
        return cls(**columns, tick_size=tick_size, lot_size=lot_size)

    @property
    def nbytes(self) -> int:
        """Return the size of the columns in bytes."""
        return sum(getattr(self, name).nbytes for name in _DTYPES)

    @classmethod
    def from_events(
        cls,
        events: MarketEvents,
        tick_size: Decimal | float | str,
        lot_size: Decimal | float | str,
        *,
        use_bbo: bool | None = None,
    ) -> FeedColumns:
        """Convert events (in the order received) for a market of that tick and lot size.

        Rows are sorted by exchange time, stably; a row without one keeps its place behind the row before it. The local
        time becomes the running maximum of local times and is never before the row's exchange time: what overtook on
        the way is seen with what it overtook, nothing is seen before it happened (a feed whose clocks disagree should
        go through ``kit.storage``'s clock correction first; this warns). ``use_bbo``: apply best-price rows;
        ``None``: only if there are no depth rows. Asks too far away to have an int32 tick number are left out, as
        nothing can reach them, and so are trades of unknown taker (this warns). Raises ``InvalidInput`` for other
        prices that have none, and for other rows without a side.
        """
        tick_size, lot_size = _positive("tick_size", tick_size), _positive("lot_size", lot_size)
        events = _without_unreachable(_without_sideless(_without_unused(events, use_bbo)), tick_size)
        exch = _known_times(events)
        order = None if _ascends(exch) else np.argsort(exch, kind="stable")
        pick = _picker(order)
        exch, local = pick(exch), pick(events.local_ts)
        code = _codes(pick(events.kind), pick(events.side), events.trading_pair)
        by_order = bool(np.any((code >= layout.ADD) & (code < layout.CLEAR)))
        return cls(
            exch,
            _seen_times(exch, local, events.trading_pair),
            code,
            _ticks(pick(events.price), tick_size, events.trading_pair),
            _amounts(pick(events.amount), lot_size),
            tick_size,
            lot_size,
            pick(events.update_id) if by_order else None,
        )

    def rows(self, start: int, stop: int) -> FeedColumns:
        """Return the rows ``start`` to ``stop`` (not included) without copying."""
        ids = None if self.order_id is None else self.order_id[start:stop]
        parts: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in _DTYPES}
        return FeedColumns(**parts, tick_size=self.tick_size, lot_size=self.lot_size, order_id=ids)

    @classmethod
    def concat(cls, first: FeedColumns, second: FeedColumns) -> FeedColumns:
        """Join two feeds of one market, the second later than the first; its times are raised where they are not."""
        if (first.tick_size, first.lot_size) != (second.tick_size, second.lot_size):
            raise InvalidInput("feeds of different tick or lot size cannot be joined: convert both with the same")
        parts: dict[str, Any] = {
            name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in _DTYPES
        }
        for times in (parts["exch_ts"], parts["local_ts"]):
            np.maximum.accumulate(times, out=times)
        ids = None
        if first.order_id is not None and second.order_id is not None:
            ids = np.concatenate([first.order_id, second.order_id])
        return cls(**parts, tick_size=first.tick_size, lot_size=first.lot_size, order_id=ids)

    def save(self, folder: str | Path) -> None:
        """Write the columns as .npy files into ``folder`` (made if absent), to be opened by any number of processes."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*_DTYPES, "order_id"):
            column = getattr(self, name)
            if column is not None:
                np.save(folder / f"{name}.npy", column)
        meta = {"version": _VERSION, "tick_size": str(self.tick_size), "lot_size": str(self.lot_size)}
        meta |= {"rows": str(len(self)), "by_order": str(self.order_id is not None)}
        # The description is written last: a folder without it was not finished.
        (folder / "feed.json").write_text(json.dumps(meta), encoding="utf-8")

    @classmethod
    def open(cls, folder: str | Path) -> FeedColumns:
        """Map a saved feed into memory, read-only: pages are shared between processes and dropped under pressure.

        Raises ``InvalidInput`` if the folder holds no complete feed of this version.
        """
        folder = Path(folder)
        try:
            meta = json.loads((folder / "feed.json").read_text(encoding="utf-8"))
            if meta["version"] != _VERSION:
                raise InvalidInput(f"{folder} holds a feed of version {meta['version']}, not {_VERSION}: convert again")
            names = [*_DTYPES, *(["order_id"] if meta["by_order"] == "True" else [])]
            columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
            feed = cls(**columns, tick_size=Decimal(meta["tick_size"]), lot_size=Decimal(meta["lot_size"]))
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(f"{folder} holds no complete feed ({error}): convert the events again") from error
        if {len(column) for column in columns.values()} != {int(meta["rows"])}:
            raise InvalidInput(f"{folder} holds columns of different lengths: convert the events again")
        return feed


def cache_key(source: str | Path, tick_size: Decimal, lot_size: Decimal) -> str:
    """Return the name under which a converted file is kept: another file, size, time of change or step is another."""
    path = Path(source).resolve()
    state = path.stat()
    told = f"{path}|{state.st_size}|{state.st_mtime_ns}|{tick_size}|{lot_size}|{_VERSION}"
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def _positive(name: str, value: Decimal | float | str) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite() or number <= 0:
        raise InvalidInput(f"{name} is {value!r}; it must be a finite number above 0, as the exchange's rules tell")
    return number


def _without_unused(events: MarketEvents, use_bbo: bool | None) -> MarketEvents:
    bbo = events.kind == EventKind.BBO
    if use_bbo is None:
        use_bbo = not bool(np.any((events.kind == EventKind.DEPTH) | (events.kind == EventKind.SNAPSHOT)))
    if use_bbo or not bool(bbo.any()):
        return events
    keep = ~bbo
    return replace(events, **{name: getattr(events, name)[keep] for name in COLUMNS})


def _without_sideless(events: MarketEvents) -> MarketEvents:
    """Leave out trades of which nobody knows who took: they could fill either side."""
    trades = events.kind == EventKind.TRADE
    sideless = trades & (events.side == 0)
    count = int(np.count_nonzero(sideless))
    if not count:
        return events
    _log.warning(
        "%s: %d of %d trades do not tell whether the buyer or the seller took; they are left out and fill nothing",
        *(events.trading_pair, count, np.count_nonzero(trades)),
    )
    keep = ~sideless
    return replace(events, **{name: getattr(events, name)[keep] for name in COLUMNS})


def _without_unreachable(events: MarketEvents, tick_size: Decimal) -> MarketEvents:
    """Leave out asks beyond every tick number: on some exchanges one rests at 9,999,999,999.99."""
    far = events.price >= float(tick_size) * _TICKS
    if not bool(far.any()):
        return events
    keep = ~(far & np.isfinite(events.price) & (events.side < 0) & np.isin(events.kind, _LEVELS))
    return replace(events, **{name: getattr(events, name)[keep] for name in COLUMNS})


def _known_times(events: MarketEvents) -> NDArray[np.int64]:
    """Return the exchange times, for rows without one the latest told before them.

    Where none was told before, the first told after, or when they were received if that was earlier.
    """
    exch = events.exch_ts
    unknown = exch <= 0
    if not bool(unknown.any()):
        return exch
    if bool(unknown.all()):
        return np.maximum.accumulate(events.local_ts)
    first = int(exch[np.argmin(unknown)])
    filled = np.maximum.accumulate(np.where(unknown, np.minimum(first, events.local_ts), exch))
    later = np.minimum(filled, np.maximum(events.local_ts, first))
    leading = ~np.maximum.accumulate(~unknown)
    return np.where(leading, filled, np.where(unknown, later, exch))


def _ascends(times: NDArray[np.int64]) -> bool:
    return bool(np.all(times[1:] >= times[:-1]))


def _picker(order: NDArray[np.int64] | None) -> Callable[[Any], Any]:
    return (lambda column: column) if order is None else (lambda column: column[order])


def _seen_times(exch: NDArray[np.int64], local: NDArray[np.int64], pair: str) -> NDArray[np.int64]:
    early = int(np.count_nonzero(local < exch))
    if early:
        _log.warning(
            "%s: %d of %d events were received before the exchange says they happened (by up to %.3f s): the clocks "
            "disagree; they are taken as seen when they happened. Correct the clock first for honest latencies.",
            *(pair, early, len(exch), float(np.max(exch - local)) / 1e9),
        )
    return np.maximum.accumulate(np.maximum(exch, local))


def _codes(kind: NDArray[np.uint8], side: NDArray[np.int8], pair: str) -> NDArray[np.uint8]:
    table = np.full(256, 255, np.uint8)
    for event, code in _SIDED.items():
        table[event] = code
    codes = table[kind]
    ask = (side < 0).astype(np.uint8)
    trades = kind == EventKind.TRADE
    # The taker who sells hits the bids.
    codes = codes + np.where(trades, 1 - ask, ask).astype(np.uint8)
    codes[kind == EventKind.GAP] = layout.GAP
    clear = kind == EventKind.CLEAR
    codes[clear] = np.where(side[clear] == 0, layout.CLEAR_ALL, layout.CLEAR + ask[clear])
    bad = (table[kind] == 255) & ~clear & (kind != EventKind.GAP)
    sideless = (side == 0) & ~clear & (kind != EventKind.GAP)
    for rows, what in ((bad, "are of no known kind"), (sideless, "have no side")):
        if bool(rows.any()):
            first = int(np.argmax(rows))
            raise InvalidInput(
                f"{int(rows.sum())} events of {pair} {what}, the first is row {first} (kind {kind[first]}, side "
                f"{side[first]}): see kit.storage.events for what a row holds"
            )
    return codes.astype(np.uint8)


def _ticks(price: NDArray[np.float64], tick_size: Decimal, pair: str) -> NDArray[np.int32]:
    up, down = tick_size.as_integer_ratio()
    ticks = np.rint(price * down / up) if down > 1 else np.rint(price / up)
    good = np.isfinite(ticks) & (ticks >= 0) & (ticks < _TICKS)
    if not bool(good.all()):
        first = int(np.argmin(good))
        raise InvalidInput(
            f"row {first} of {pair} has the price {price[first]}: with tick size {tick_size} that is no number of "
            "ticks between 0 and 2,147,483,645. Check the tick size and the data."
        )
    return ticks.astype(np.int32)


def _amounts(amount: NDArray[np.float64], lot_size: Decimal) -> NDArray[np.float64]:
    good = np.isfinite(amount) & (amount >= 0)
    if not bool(good.all()):
        first = int(np.argmin(good))
        raise InvalidInput(f"row {first} has the amount {amount[first]}: it must be a finite number of 0 or more")
    return np.where(amount < float(lot_size) / 2, 0.0, amount)
