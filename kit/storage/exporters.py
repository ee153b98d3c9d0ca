"""Events written for hftbacktest; ``MarketEvents.frame()`` gives them to pandas."""

from __future__ import annotations

from bisect import bisect_left
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidInput
from kit.storage.events import EventKind, MarketEvents
from kit.storage.hftbacktest_form import BUY_FLAG, EVENT_DTYPE, EXCH, KINDS, LOCAL, ORDER_KINDS, SELL_FLAG


def to_hftbacktest(events: MarketEvents, path: str | PathLike[str] | None = None) -> NDArray[Any]:
    """Return the events as hftbacktest's rows, and write them to ``path`` (.npz with the key ``data``, or .npy).

    Rows count in the order of exchange time, in that of local time, or in both: an event whose place differs between
    the two orders is written twice, once for each. As few as possible are: the longest sequence that ascends in both
    is kept whole. A CLEAR gets the price of the last level of the snapshot after it, as hftbacktest's own converters
    write it, so that hftbacktest keeps levels beyond the snapshot's; GAP rows are left out; an exchange time that was
    not told becomes the local one. ``update_id`` goes to ``order_id`` (order by order) or ``ival``.

    Correct the clock first (``correct_clock``): hftbacktest wants local times after exchange times. Raises
    ``InvalidInput`` for another ending, and where an event arrives before it happened.
    """
    target = None if path is None else Path(path)
    if target is not None and target.suffix not in (".npz", ".npy"):
        raise InvalidInput(f"{target.name} ends in {target.suffix!r}; hftbacktest reads .npz and .npy")
    rows = _rows(events)
    early = rows["local_ts"] < rows["exch_ts"]
    if early.any():
        raise InvalidInput(
            f"{int(early.sum())} events arrive before they happened (row {int(np.argmax(early))} first): the clocks "
            "differ; export correct_clock(events)"
        )
    made = _in_both_orders(rows)
    if target is not None:
        _save(target, made)
    return made


def _rows(events: MarketEvents) -> NDArray[Any]:
    kept = np.flatnonzero(np.isin(events.kind, KINDS))
    kind, side, ids = events.kind[kept], events.side[kept], events.update_id[kept]
    rows = np.zeros(len(kept), dtype=EVENT_DTYPE)
    flags = np.where(side > 0, BUY_FLAG, np.where(side < 0, SELL_FLAG, 0)).astype(np.uint64)
    rows["ev"] = kind.astype(np.uint64) | flags
    rows["local_ts"] = events.local_ts[kept]
    rows["exch_ts"] = np.where(events.exch_ts[kept] > 0, events.exch_ts[kept], events.local_ts[kept])
    rows["px"], rows["qty"] = events.price[kept], events.amount[kept]
    orders = np.isin(kind, ORDER_KINDS)
    rows["order_id"] = np.where(orders, ids, 0).astype(np.uint64)
    rows["ival"] = np.where(orders, 0, ids)
    _price_clears(rows["px"], kind, side)
    return rows


def _price_clears(price: NDArray[np.float64], kind: NDArray[np.uint8], side: NDArray[np.int8]) -> None:
    """Give each CLEAR the price of the last level of the snapshot of its side right after it; 0 without one."""
    clears = np.flatnonzero(kind == EventKind.CLEAR)
    price[clears] = 0.0
    clears = clears[clears < len(kind) - 1]
    followed = (kind[clears + 1] == EventKind.SNAPSHOT) & (side[clears + 1] == side[clears])
    clears = clears[followed]
    ends = np.append(np.flatnonzero((np.diff(kind) != 0) | (np.diff(side) != 0)), len(kind) - 1)
    price[clears] = price[ends[np.searchsorted(ends, clears + 1)]]


def _in_both_orders(rows: NDArray[Any]) -> NDArray[Any]:
    """Flag rows by the orders that they count in; write those twice whose place differs."""
    count = len(rows)
    by_exch = np.argsort(rows["exch_ts"], kind="stable")
    by_local = np.argsort(rows["local_ts"], kind="stable")
    place = np.empty(count, dtype=np.int64)
    place[by_exch] = np.arange(count)
    both = np.zeros(count, dtype=bool)
    both[by_local[_longest_ascent(place[by_local])]] = True
    # each row once, or twice, is put after the number of common rows that come before it in its order
    exch_after = np.cumsum(both[by_exch]) - both[by_exch]
    local_after = np.cumsum(both[by_local]) - both[by_local]
    only_exch, only_local = ~both[by_exch], ~both[by_local]
    common = by_exch[both[by_exch]]
    index = np.concatenate([by_exch[only_exch], by_local[only_local], common])
    after = np.concatenate([exch_after[only_exch], local_after[only_local], np.arange(len(common))])
    sizes = (int(only_exch.sum()), int(only_local.sum()), len(common))
    order = np.lexsort((np.repeat([0, 1, 2], sizes), after))
    flags = np.repeat(np.array([EXCH, LOCAL, EXCH | LOCAL], dtype=np.uint64), sizes)
    made: NDArray[Any] = rows[index[order]]
    made["ev"] |= flags[order]
    return made


def _longest_ascent(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of a longest ascending subsequence of distinct numbers (patience sorting)."""
    tails: list[int] = []
    holders: list[int] = []
    before: list[int] = []
    for place, value in enumerate(values.tolist()):
        if not tails or value > tails[-1]:
            before.append(holders[-1] if holders else -1)
            tails.append(value)
            holders.append(place)
        else:
            pile = bisect_left(tails, value)
            before.append(holders[pile - 1] if pile else -1)
            tails[pile], holders[pile] = value, place
    chain = []
    at = holders[-1] if holders else -1
    while at >= 0:
        chain.append(at)
        at = before[at]
    return np.array(chain[::-1], dtype=np.int64)


def _save(path: Path, rows: NDArray[Any]) -> None:
    """Write a file under another name first, so that no half of it is ever found under its own."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        if path.suffix == ".npz":
            np.savez_compressed(file, data=rows)
        else:
            np.save(file, rows, allow_pickle=False)
    part.replace(path)
