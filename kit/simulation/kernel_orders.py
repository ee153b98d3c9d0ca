"""Own orders, compiled: what a row of the market does to them, how a new one takes and rests.

Orders lie in one array in the order of their arrival. A row walks them only if its key lies between the best and the
worst own key of its side and a table of marks by hash says that some own order may have that key.
"""

from __future__ import annotations

from math import floor, inf

from kit.simulation.compile_cache import part
from kit.simulation.kernel_book import amount, beyond_known, next_level
from kit.simulation.kernel_layout import (
    ARG,
    BEST,
    EXPIRED,
    F_ID,
    F_KIND,
    F_LEAVES,
    F_LOTS,
    F_TICK,
    F_TS,
    FIFO,
    FILL_ROOM,
    FILL_WORDS,
    FILLS,
    FOK,
    GROW_FILLS,
    GROW_TAKEN,
    GTC,
    KNOWN,
    LAPSED,
    LOT,
    MAKER,
    MARKET,
    MARKS,
    NONE,
    O_FRONT,
    O_ID,
    O_KEY,
    O_LEAVES,
    O_SEQUENCE,
    O_SIDE,
    O_TRADED,
    ORDER_BYTES,
    ORDER_WORDS,
    ORDERS,
    OUT,
    OWN_BEST,
    OWN_WORST,
    P_FILLS,
    P_MARKS,
    P_ORDERS,
    P_TAKEN,
    PARTIAL,
    POST_ONLY,
    QUEUE,
    REFUSED,
    RESTING,
    RESTS,
    SEQUENCE,
    STP,
    STP_MAKER,
    STP_NONE,
    T_KEY,
    T_LOTS,
    T_SEEN,
    T_SIDE,
    TAKEN,
    TAKEN_LEVELS,
    TAKEN_ROOM,
    TAKEN_WORDS,
    TAKER,
)
from kit.simulation.kernel_memory import least, most, read_float, read_int, write_float, write_int
from kit.simulation.kernel_queue import queue_depth, queue_trade


@part
def record(state: int, order: int, ts: int, key: int, lots: int, kind: int) -> None:
    """Take lots off an order and write it down; the caller saw to the room."""
    count = read_int(state, FILLS)
    fill = read_int(state, P_FILLS) + 8 * FILL_WORDS * count
    leaves = read_int(order, O_LEAVES) - lots
    write_int(order, O_LEAVES, leaves)
    write_int(fill, F_ID, read_int(order, O_ID))
    write_int(fill, F_TS, ts)
    # A taker's fill is at a price of the other side.
    side = read_int(order, O_SIDE)
    write_int(fill, F_TICK, key ^ -(1 - side if kind == TAKER else side))
    write_int(fill, F_LOTS, lots)
    write_int(fill, F_KIND, kind)
    write_int(fill, F_LEAVES, leaves)
    write_int(state, FILLS, count + 1)


@part
def refresh(state: int) -> None:
    """Drop orders with nothing left and set the bounds and marks anew; hidden while the book is unknown."""
    marks = read_int(state, P_MARKS)
    for word in range(2 * MARKS):
        write_int(marks, word, 0)
    for side in range(2):
        write_int(state, OWN_BEST + side, NONE)
        write_int(state, OWN_WORST + side, -NONE)
    kept = 0
    for index in range(read_int(state, ORDERS)):
        order = read_int(state, P_ORDERS) + ORDER_BYTES * index
        if read_int(order, O_LEAVES) > 0:
            _keep(state, order, read_int(state, P_ORDERS) + ORDER_BYTES * kept)
            kept += 1
    write_int(state, ORDERS, kept)
    write_int(state, RESTING, kept)


@part
def _keep(state: int, order: int, to: int) -> None:
    for word in range(ORDER_WORDS):
        write_int(to, word, read_int(order, word))
    side, key = read_int(to, O_SIDE), read_int(to, O_KEY)
    if read_int(state, KNOWN):
        write_int(state, OWN_BEST + side, most(key, read_int(state, OWN_BEST + side)))
        write_int(state, OWN_WORST + side, least(key, read_int(state, OWN_WORST + side)))
        write_int(read_int(state, P_MARKS + side), key & (MARKS - 1), 1)


@part
def own_depth(state: int, side: int, key: int, before: float, after: float) -> None:
    """Move own orders in the queue of a level whose amount changed."""
    if read_int(state, QUEUE) == FIFO:
        return
    for index in range(read_int(state, ORDERS)):
        order = read_int(state, P_ORDERS) + ORDER_BYTES * index
        if read_int(order, O_KEY) == key and read_int(order, O_SIDE) == side:
            queue_depth(state, order, before, after)


@part
def own_crossed(state: int, ts: int, side: int, key: int) -> int:
    """Fill the own orders of ``side`` that the other side's new best ``key`` reaches; 1 if any was filled."""
    filled = 0
    for index in range(read_int(state, ORDERS)):
        order = read_int(state, P_ORDERS) + ORDER_BYTES * index
        own = read_int(order, O_KEY)
        if read_int(order, O_SIDE) == side and own + key >= -1:
            record(state, order, ts, own, read_int(order, O_LEAVES), MAKER)
            filled = 1
    if filled:
        refresh(state)
    return filled


@part
def own_trade(state: int, ts: int, side: int, key: int, qty: float, sequence: int) -> int:
    """Fill own orders of ``side`` after a trade at ``key``; 1 if any was filled.

    Orders at a better price are filled whole. At the same price the queue decides; with partial fills what our first
    order took does not reach our next one. ``sequence`` (order by order) is the arrival of the market's order.
    """
    filled, left, partial = 0, qty, read_int(state, PARTIAL)
    for index in range(read_int(state, ORDERS)):
        order = read_int(state, P_ORDERS) + ORDER_BYTES * index
        own = read_int(order, O_KEY)
        if read_int(order, O_SIDE) != side or own < key:
            continue
        lots = leaves = read_int(order, O_LEAVES)
        if own == key:
            if sequence >= 0:
                reached = floor(left / read_float(state, LOT) + 0.5) if partial else 1
                lots = reached if read_int(order, O_SEQUENCE) < sequence else 0
            else:
                lots = queue_trade(state, order, qty, left)
            if lots > 0 and (not partial or lots > leaves):
                lots = leaves
            if partial:
                taken = lots * read_float(state, LOT)
                left = left - taken if left > taken else 0.0
        if lots > 0:
            record(state, order, ts, own, lots, MAKER)
            filled = 1
    if filled:
        refresh(state)
    return filled


@part
def find_order(state: int, order_id: int) -> int:
    """Return the address of an own order, 0 if there is none of that id."""
    for index in range(read_int(state, ORDERS)):
        if read_int(read_int(state, P_ORDERS) + ORDER_BYTES * index, O_ID) == order_id:
            return read_int(state, P_ORDERS) + ORDER_BYTES * index
    return 0


@part
def _own_crossing(state: int, side: int, limit: int) -> int:
    """Return the index of the own order of ``side`` that a taker of that limit meets first, -1 if there is none."""
    found, best = -1, limit - 1
    for index in range(read_int(state, ORDERS)):
        order = read_int(state, P_ORDERS) + ORDER_BYTES * index
        if read_int(order, O_SIDE) == side and read_int(order, O_LEAVES) > 0 and read_int(order, O_KEY) > best:
            found, best = index, read_int(order, O_KEY)
    return found


@part
def _taken(state: int, side: int, key: int) -> int:
    """Return the address of what we took of a level, of the empty place where it would go if there is nothing."""
    entry = read_int(state, P_TAKEN)
    for _ in range(read_int(state, TAKEN_LEVELS)):
        if read_int(entry, T_KEY) == key and read_int(entry, T_SIDE) == side:
            return entry
        entry += 8 * TAKEN_WORDS
    return entry


@part
def _forget_changed(state: int) -> None:
    """Drop what was taken of levels whose amount is another by now: what came new is there for us."""
    table, kept = read_int(state, P_TAKEN), 0
    for index in range(read_int(state, TAKEN_LEVELS)):
        entry, to = table + 8 * TAKEN_WORDS * index, table + 8 * TAKEN_WORDS * kept
        if amount(state, read_int(entry, T_SIDE), read_int(entry, T_KEY)) == read_float(entry, T_SEEN):
            for word in range(TAKEN_WORDS):
                write_int(to, word, read_int(entry, word))
            kept += 1
    write_int(state, TAKEN_LEVELS, kept)


@part
def _note_taken(state: int, side: int, key: int, lots: int) -> None:
    entry = _taken(state, side, key)
    count = read_int(state, TAKEN_LEVELS)
    if entry == read_int(state, P_TAKEN) + 8 * TAKEN_WORDS * count:
        write_int(entry, T_SIDE, side)
        write_int(entry, T_KEY, key)
        write_int(entry, T_LOTS, 0)
        write_float(entry, T_SEEN, amount(state, side, key))
        write_int(state, TAKEN_LEVELS, count + 1)
    write_int(entry, T_LOTS, read_int(entry, T_LOTS) + lots)


@part
def _lots_at(state: int, side: int, key: int) -> int:
    lots = floor(amount(state, side, key) / read_float(state, LOT) + 1e-9)
    entry = _taken(state, side, key)
    if entry == read_int(state, P_TAKEN) + 8 * TAKEN_WORDS * read_int(state, TAKEN_LEVELS):
        return lots
    return most(lots - read_int(entry, T_LOTS), 0)


@part
def _reach(state: int, side: int, limit: int, lots: int) -> tuple[int, int]:
    """Return the lots displayed down to ``limit`` (at most ``lots``) and the number of levels that takes."""
    reached, levels = 0, 0
    key = read_int(state, BEST + side)
    while key >= limit and key != NONE and reached < lots:
        reached += _lots_at(state, side, key)
        levels += 1
        key = next_level(state, side, key - 1)
    return least(reached, lots), levels


@part
def _walk(state: int, order: int, ts: int, side: int, start: int, limit: int) -> int:
    """Take from ``start`` down to ``limit``; returns the next key that was not taken from."""
    key = start
    while key >= limit and key != NONE and read_int(order, O_LEAVES) > 0:
        lots = least(_lots_at(state, side, key), read_int(order, O_LEAVES))
        if lots > 0:
            record(state, order, ts, key, lots, TAKER)
            _note_taken(state, side, key, lots)
        key = next_level(state, side, key - 1)
    return key


@part
def _take(state: int, order: int, ts: int, side: int, limit: int) -> int:
    """Walk the displayed book, minding own orders in the way; returns 1 if they end the taker."""
    prevention = read_int(state, STP)
    key = read_int(state, BEST + side)
    while read_int(order, O_LEAVES) > 0:
        met = _own_crossing(state, side, limit) if prevention != STP_NONE else -1
        if met < 0:
            _walk(state, order, ts, side, key, limit)
            return 0
        maker = read_int(state, P_ORDERS) + ORDER_BYTES * met
        key = _walk(state, order, ts, side, key, read_int(maker, O_KEY) + 1)
        if read_int(order, O_LEAVES) == 0:
            return 0
        if prevention >= STP_MAKER:
            record(state, maker, ts, read_int(maker, O_KEY), 0, EXPIRED)
            write_int(maker, O_LEAVES, 0)
        if prevention != STP_MAKER:
            return 1
    return 0


@part
def _first_own(state: int, side: int, limit: int) -> int:
    """Return the limit down to which nothing of our own stands in the way."""
    met = _own_crossing(state, side, limit)
    if met < 0 or read_int(state, STP) in (STP_NONE, STP_MAKER):
        return limit
    return read_int(read_int(state, P_ORDERS) + ORDER_BYTES * met, O_KEY) + 1


@part
def submit(state: int) -> None:
    """Let an order arrive. ARG: id, side, key, lots, kind, time in force, time; OUT: outcome, leaves, need of room."""
    side, key, kind, force = (
        read_int(state, ARG + 1),
        read_int(state, ARG + 2),
        read_int(state, ARG + 4),
        read_int(state, ARG + 5),
    )
    other, lots, ts = 1 - side, read_int(state, ARG + 3), read_int(state, ARG + 6)
    limit = NONE + 1 if kind == MARKET else -1 - key
    write_int(state, OUT + 2, 0)
    crosses = read_int(state, BEST + other) >= limit
    if read_int(state, STP) != STP_NONE and _own_crossing(state, other, limit) >= 0:
        crosses = True
    if kind == POST_ONLY and crosses:
        write_int(state, OUT, REFUSED)
        write_int(state, OUT + 1, lots)
        return
    order = read_int(state, P_ORDERS) + ORDER_BYTES * read_int(state, ORDERS)
    _new_order(state, order, side, key, lots)
    ended = 0
    if crosses:
        _forget_changed(state)
        _, levels = _reach(state, other, limit, lots)
        if read_int(state, FILLS) + levels + read_int(state, ORDERS) + 2 > read_int(state, FILL_ROOM):
            write_int(state, OUT + 2, GROW_FILLS)
            return
        if read_int(state, TAKEN_LEVELS) + levels > read_int(state, TAKEN_ROOM):
            write_int(state, OUT + 2, GROW_TAKEN)
            return
        if not read_int(state, PARTIAL):
            record(state, order, ts, read_int(state, BEST + other), lots, TAKER)
        elif force == FOK and _reach(state, other, _first_own(state, other, limit), lots)[0] < lots:
            ended = 1
        else:
            ended = _take(state, order, ts, other, limit)
    _settle(state, order, 1 if kind == MARKET or force != GTC else ended)


@part
def _new_order(state: int, order: int, side: int, key: int, lots: int) -> None:
    sequence = read_int(state, SEQUENCE) + 1
    write_int(state, SEQUENCE, sequence)
    write_int(order, O_ID, read_int(state, ARG))
    write_int(order, O_SIDE, side)
    write_int(order, O_KEY, key)
    write_int(order, O_LEAVES, lots)
    write_int(order, O_SEQUENCE, sequence)
    ahead = amount(state, side, key)
    if ahead == 0.0 and beyond_known(state, side, key):
        ahead = inf
    write_float(order, O_FRONT, ahead)
    write_float(order, O_TRADED, 0.0)


@part
def _settle(state: int, order: int, lapses: int) -> None:
    leaves = read_int(order, O_LEAVES)
    if leaves == 0:
        write_int(state, OUT, TAKEN)
        write_int(state, OUT + 1, 0)
    elif lapses:
        write_int(order, O_LEAVES, 0)
        write_int(state, OUT, LAPSED)
        write_int(state, OUT + 1, leaves)
    else:
        write_int(state, OUT, RESTS)
        write_int(state, OUT + 1, leaves)
        write_int(state, ORDERS, read_int(state, ORDERS) + 1)
    refresh(state)
