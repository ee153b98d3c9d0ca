"""The book, compiled: a dense window of amounts by key for each side, a hash table for the levels outside of it.

The window holds the best level of its side at any moment; when the price leaves it, the run stops and the engine moves
it (rare, and done in numpy). Levels outside are kept, never lost.
"""

from __future__ import annotations

from kit.simulation.compile_cache import part
from kit.simulation.kernel_layout import (
    BASE,
    BEST,
    FAR_MASK,
    FAR_USED,
    GROW_FAR,
    LOG_TAIL,
    MOVE_WINDOW,
    NONE,
    P_DENSE,
    P_FAR,
    P_LOG,
    TARGET,
    U_BEFORE,
    U_BEST,
    U_KEY,
    U_ROW,
    U_SIDE,
    UNDO_WORDS,
    WINDOW,
)
from kit.simulation.kernel_memory import least, read_float, read_int, write_float, write_int

_HASH = 0x9E3779B97F4A7C15 - (1 << 64)


@part
def far_slot(table: int, mask: int, key: int) -> int:
    """Return the slot (in words) of a key in a far table, or of the empty slot where it would go."""
    slot = ((key * _HASH) >> 32) & mask
    while read_int(table, 2 * slot) != key and read_int(table, 2 * slot) != NONE:
        slot = (slot + 1) & mask
    return 2 * slot


@part
def amount(state: int, side: int, key: int) -> float:
    """Return the amount of a level, 0.0 if there is none."""
    k = key - read_int(state, BASE + side)
    if 0 <= k < read_int(state, WINDOW):
        return read_float(read_int(state, P_DENSE + side), k)
    table = read_int(state, P_FAR + side)
    slot = far_slot(table, read_int(state, FAR_MASK + side), key)
    return read_float(table, slot + 1) if read_int(table, slot) == key else 0.0


@part
def set_far(state: int, side: int, key: int, qty: float) -> int:
    """Set a level outside of the window; ``GROW_FAR`` if there is no room (and nothing was done)."""
    table, mask = read_int(state, P_FAR + side), read_int(state, FAR_MASK + side)
    slot = far_slot(table, mask, key)
    if read_int(table, slot) != key:
        if qty == 0.0:
            return 0
        used = read_int(state, FAR_USED + side) + 1
        if 2 * used > mask:
            return GROW_FAR
        write_int(state, FAR_USED + side, used)
        write_int(table, slot, key)
    write_float(table, slot + 1, qty)
    return 0


@part
def set_amount(state: int, side: int, key: int, qty: float) -> int:
    """Set a level without touching the best; 0 or ``GROW_FAR``."""
    k = key - read_int(state, BASE + side)
    if 0 <= k < read_int(state, WINDOW):
        write_float(read_int(state, P_DENSE + side), k, qty)
        return 0
    return set_far(state, side, key, qty)


@part
def best_far(state: int, side: int, limit: int) -> int:
    """Return the best key outside of the window that is not above ``limit``, ``NONE`` if there is none."""
    best = NONE
    table = read_int(state, P_FAR + side)
    if read_int(state, FAR_USED + side) == 0:
        return best
    for slot in range(read_int(state, FAR_MASK + side) + 1):
        key = read_int(table, 2 * slot)
        if best < key <= limit and read_float(table, 2 * slot + 1) > 0.0:
            best = key
    return best


@part
def next_level(state: int, side: int, limit: int) -> int:
    """Return the best key that is not above ``limit`` and not above the window, ``NONE`` if there is none."""
    base, dense = read_int(state, BASE + side), read_int(state, P_DENSE + side)
    k = least(limit - base, read_int(state, WINDOW) - 1)
    while k >= 0:
        if read_float(dense, k) > 0.0:
            return base + k
        k -= 1
    return best_far(state, side, least(limit, base - 1))


@part
def beyond_known(state: int, side: int, key: int) -> int:
    """Tell whether a key lies behind every level that is known: what stands there is not told."""
    if key >= read_int(state, BEST + side):
        return 0
    return 1 if next_level(state, side, key) == NONE else 0


@part
def log_change(state: int, row: int, side: int, key: int, before: float) -> None:
    """Write what undoes a change; the caller saw to the room."""
    tail = read_int(state, LOG_TAIL)
    undo = read_int(state, P_LOG) + 8 * UNDO_WORDS * tail
    write_int(undo, U_ROW, row)
    write_int(undo, U_SIDE, side)
    write_int(undo, U_KEY, key)
    write_float(undo, U_BEFORE, before)
    write_int(undo, U_BEST, read_int(state, BEST))
    write_int(undo, U_BEST + 1, read_int(state, BEST + 1))
    write_int(state, LOG_TAIL, tail + 1)


@part
def drop_best(state: int, side: int, limit: int) -> int:
    """Make the next level at or below ``limit`` the best; 0, or minus ``MOVE_WINDOW`` if it lies outside."""
    best = next_level(state, side, limit)
    write_int(state, BEST + side, best)
    if best != NONE and best < read_int(state, BASE + side):
        write_int(state, TARGET, side)
        write_int(state, TARGET + 1, best)
        return -MOVE_WINDOW
    return 0


@part
def outside(state: int, side: int, key: int, qty: float) -> int:
    """Set a level outside of the window, or ask for the window to move if it would be the best."""
    if qty > 0.0 and key > read_int(state, BEST + side):
        write_int(state, TARGET, side)
        write_int(state, TARGET + 1, key)
        return MOVE_WINDOW
    return set_far(state, side, key, qty)


@part
def new_best(state: int, side: int, key: int) -> int:
    """Make a level the best of its side; levels of the other side that it crosses are passed over (newest wins)."""
    write_int(state, BEST + side, key)
    if key + read_int(state, BEST + 1 - side) >= -1:
        return drop_best(state, 1 - side, -2 - key)
    return 0
